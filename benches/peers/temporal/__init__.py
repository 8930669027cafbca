"""Temporal beside taquba."""
