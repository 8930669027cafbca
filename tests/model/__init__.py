"""The public API against a plain model: `python -m tests.model --size N --seed S`."""
