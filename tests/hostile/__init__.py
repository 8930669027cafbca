"""Odd values for every public argument: `python -m tests.hostile --size N [--seed S]`."""
