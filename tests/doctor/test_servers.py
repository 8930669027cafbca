"""The servers of the conformance suite, each in the words of its kind."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from taquba import Queue
from taquba.doctor import CheckStatus, examine
from tests.conformance import servers
from tests.conformance.address import Address
from tests.doctor.finding import found
from tests.needs import missing

# They take some seconds to start.
pytestmark = pytest.mark.timeout(120)

INSTALL = "run `make servers`"
RIGHTS = {
    "s3": ("s3:ListBucket", "s3:DeleteObject"),
    "azure": ("blobs/read (list)", "blobs/delete"),
    "gcs": ("storage.objects.list", "storage.objects.delete"),
}
# Our double of Google's API takes the end of an upload for the deletion of an object.
LACKS = {"gcs": {"right-to-abort"}}


@pytest.fixture(params=["s3", "azure", "gcs"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Address]:
    """An empty bucket of each kind."""
    with ExitStack() as stack:
        if request.param == "s3":
            name = servers.best_s3()
            if name is None:
                missing(f"an S3 server: {INSTALL} (S3Proxy needs java and mvn, versitygw needs go)")
            yield stack.enter_context(getattr(servers, name)(tmp_path))
        elif request.param == "azure":
            if not servers.has_azurite():
                missing(f"Azurite: {INSTALL} (it needs node and npm)")
            yield stack.enter_context(servers.azurite(tmp_path))
        else:
            yield stack.enter_context(servers.gcs(tmp_path))


async def test_a_server_that_holds_queues_is_found_to(address: Address) -> None:
    async with Queue.open(address.store(), "one/queue") as queue:
        await queue.enqueue("emails", b"x")
        before = names_below(address)

        diagnosis = await examine(address.store(), "one/queue")

        assert names_below(address) == before

    failed = {check.name for check in diagnosis.checks if check.status is CheckStatus.FAILURE}
    assert failed == LACKS.get(address.kind, set())
    to_list, to_delete = RIGHTS[address.kind]
    assert found(diagnosis, "right-to-list").seen == f"{to_list} is granted"
    assert found(diagnosis, "right-to-delete").seen == f"{to_delete} is granted"


def names_below(address: Address) -> list[str]:
    """Everything that is there but the sign of life, which its owner renews."""
    pages = address.outside().list()
    names = (entry["path"] for page in pages for entry in page)
    return sorted(name for name in names if "/owner/" not in name)
