"""Native events in Python's logging."""
