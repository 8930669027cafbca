"""Absurd on PostgreSQL."""
