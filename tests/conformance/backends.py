"""The stores that the suite runs on, and one test's place in each."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import obstore

from taquba import OpenOptions, Queue
from taquba.store import MemoryStore
from tests.conformance import gcs_fake
from tests.conformance.address import OTHER_AZURE_KEY, Address
from tests.conftest import close

NO_SUCH_BUCKET = "no-such-bucket"


@dataclass(frozen=True)
class Backend:
    """One kind of store."""

    name: str
    address: Address | None
    """`None` for memory, which no other process can reach."""
    fsync: bool = True
    is_atomic: bool = True
    """Whether of several that create one object at the same time exactly one succeeds."""
    checks_keys: bool = True

    def missing(self) -> Address | None:
        """A bucket that is not there, if the store has buckets."""
        if self.address is None or self.address.kind == "local":
            return None
        return replace(self.address, bucket=NO_SUCH_BUCKET)

    def denied(self) -> Address | None:
        """The same bucket with credentials that are refused, if the store looks at them."""
        if self.address is None or self.address.kind == "local" or not self.checks_keys:
            return None
        if self.address.kind == "azure":
            return replace(self.address, secret=OTHER_AZURE_KEY)
        if self.address.kind == "gcs":
            return replace(self.address, bucket=gcs_fake.DENIED)
        return replace(self.address, secret="another-secret")


@dataclass
class Place:
    """Where one test keeps its queue. Queues that it opens are closed at its end."""

    backend: Backend
    path: str
    stack: AsyncExitStack
    store: Any = field(default=None)

    def __post_init__(self) -> None:
        """Makes the store that all openings of this test share."""
        address = self.backend.address
        self.store = MemoryStore() if address is None else address.store()

    async def open(self, **options: Any) -> Queue:
        """Opens the queue and closes it at the end of the test."""
        options = {"fsync": self.backend.fsync} | options
        queue = await Queue.open(self.store, self.path, OpenOptions(**options))
        self.stack.push_async_callback(close, queue)
        return queue

    def payload_objects(self) -> list[str]:
        """The payload objects that are there; only where `backend.address` is there."""
        assert self.backend.address is not None, "memory cannot be looked at from outside"
        pages = obstore.list(self.backend.address.outside(), prefix=f"{self.path}/payloads")
        return sorted(entry["path"] for page in pages for entry in page)

    def put_object(self, name: str, content: bytes) -> None:
        """Writes an object below the queue's path."""
        assert self.backend.address is not None, "memory cannot be reached from outside"
        obstore.put(self.backend.address.outside(), f"{self.path}/{name}", content)

    def child_arguments(self) -> list[str]:
        """How a child process finds this place; only where `backend.address` is there."""
        assert self.backend.address is not None, "memory cannot be reached from elsewhere"
        return [self.backend.address.to_text(), self.path, str(int(self.backend.fsync))]


def local(directory: Path, *, fsync: bool) -> Backend:
    """A directory."""
    name = "disk with fsync" if fsync else "disk without fsync"
    return Backend(name, Address("local", str(directory)), fsync=fsync)
