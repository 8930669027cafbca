"""Webhooks: signed, guarded, retried."""
