"""Faults for benchmarks/chaos.py: what is done to a build, where it runs, and what became of it."""
