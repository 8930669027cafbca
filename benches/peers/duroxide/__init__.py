"""Duroxide beside taquba."""
