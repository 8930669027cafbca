"""Fixtures: a small S3 server that can be told to be a bad one."""

from collections.abc import Iterator

import pytest

from tests.doctor.fake_s3 import FakeS3, fake_s3


@pytest.fixture
def s3() -> Iterator[FakeS3]:
    """A running server with one empty bucket."""
    with fake_s3() as running:
        yield running
