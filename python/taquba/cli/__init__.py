"""The command `taquba`: what people do with a store from a shell."""

from taquba.cli._main import main

__all__ = ["main"]
