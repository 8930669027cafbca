"""The S3 server, if its packages are installed."""

import importlib.util
from collections.abc import Iterator

import pytest

from tests.needs import missing
from tests.stores.s3 import S3Server, s3_server


@pytest.fixture
def s3() -> Iterator[S3Server]:
    """A running S3 server with one empty bucket."""
    if importlib.util.find_spec("moto") is None or importlib.util.find_spec("flask") is None:
        missing("an S3 server: pip install --requirement tests/requirements-dev.txt")
    with s3_server() as server:
        yield server
