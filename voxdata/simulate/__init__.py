"""A procedural corpus of people with a known link between voice and face."""
