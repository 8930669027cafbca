"""Examining a store: whether it does what a queue needs, and how a queue in it is doing."""

from taquba.doctor._check import Check, CheckStatus, Diagnosis
from taquba.doctor._examine import examine

__all__ = ["Check", "CheckStatus", "Diagnosis", "examine"]
