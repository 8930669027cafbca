"""Restate beside taquba."""
