"""Memos: what steps remember, and the store of memos."""
