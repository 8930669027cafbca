"""SIGKILL cycles of a service, and the judgement of what it was promised."""
