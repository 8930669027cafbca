"""Taskito on SQLite."""
