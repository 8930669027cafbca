"""Fixtures of the tests of `taquba.testing`."""

import pytest

from tests.testing.outside import Bank


@pytest.fixture
def bank() -> Bank:
    """A world outside in which nothing has happened."""
    return Bank()
