"""Memos: what a step has found out, kept over its retries and restarts."""

from taquba.memo._memo import Memo
from taquba.memo._store import MemoStore, TerminalMarker

__all__ = ["Memo", "MemoStore", "TerminalMarker"]
