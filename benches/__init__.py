"""Benchmarks: what a step and a job cost."""
