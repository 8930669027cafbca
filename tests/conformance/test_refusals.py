"""What a store says to strangers, told as typed errors that name the way out."""

import pytest

from taquba import Queue
from taquba.exceptions import StoreNotFoundError, StorePermissionError
from tests.conformance.address import SECRET
from tests.conformance.backends import NO_SUCH_BUCKET, Backend


async def test_a_bucket_that_is_not_there_is_named(backend: Backend) -> None:
    address = backend.missing()
    if address is None:
        pytest.skip("has no buckets")

    with pytest.raises(StoreNotFoundError, match=NO_SUCH_BUCKET) as caught:
        await Queue.open(address.store())

    assert "create it" in str(caught.value)


async def test_credentials_that_are_refused_are_named_and_not_shown(backend: Backend) -> None:
    address = backend.denied()
    if address is None:
        pytest.skip("looks at no credentials")

    with pytest.raises(StorePermissionError) as caught:
        await Queue.open(address.store())

    assert "credentials" in str(caught.value)
    assert address.secret not in str(caught.value)
    assert SECRET not in str(caught.value)
