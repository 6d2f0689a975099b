"""Every column of every table."""
