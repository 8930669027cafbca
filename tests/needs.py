"""What to do when a test needs something that this machine lacks."""

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Skips on a developer's machine, loudly; fails where everything has to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"needed for a complete run: {what}")
    pytest.skip(f"MISSING: {what}")
