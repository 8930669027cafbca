"""Metrics and traces, as other systems see them."""
