"""Behaviour of the package, tested through its public API; one folder per area."""
