"""Secrets: what the redactor takes out, and that no sink shows one."""
