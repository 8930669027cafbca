"""Runs: steps, outcomes, retries, hooks, resuming."""
