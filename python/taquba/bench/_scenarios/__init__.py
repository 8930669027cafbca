"""The scenarios, one module each."""

from taquba.bench._scenarios.registry import SCENARIOS

__all__ = ["SCENARIOS"]
