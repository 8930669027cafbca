"""Benchmarks that anybody can run: `python -m taquba.bench`.

What the scenarios measure, and how to read them, is in `docs/benchmarks.md`. Nothing here is needed
by a queue: the rest of taquba does not import it.
"""

from taquba.bench._command import main

__all__ = ["main"]
