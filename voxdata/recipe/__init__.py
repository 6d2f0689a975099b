"""Every setting of a build: its sections, how they are read, the reference."""
