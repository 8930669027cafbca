"""Fixtures: the servers, once per session, and each test's place on each of the stores."""

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.conformance import servers
from tests.conformance.address import Address
from tests.conformance.backends import Backend, Place, local
from tests.needs import missing

# One session fixture per server, asked for by name: a parametrized one would be taken down and set
# up again whenever the random order of the tests changes from one store to another.
BACKENDS = ["memory", "disk-fsync", "disk", "s3", "azure", "gcs"]
INSTALL = "run `make servers`"


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Address]]:
    """The best S3-compatible server of this machine, with its name."""
    name = servers.best_s3()
    if name is None:
        missing(f"an S3 server: {INSTALL} (S3Proxy needs java and mvn, versitygw needs go)")
    with getattr(servers, name)(tmp_path_factory.mktemp("s3")) as address:
        yield name, address


@pytest.fixture(scope="session")
def azure_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """Azurite."""
    if not servers.has_azurite():
        missing(f"Azurite: {INSTALL} (it needs node and npm)")
    with servers.azurite(tmp_path_factory.mktemp("azurite")) as address:
        yield address


@pytest.fixture(scope="session")
def gcs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """Our double of Google Cloud Storage."""
    with servers.gcs(tmp_path_factory.mktemp("gcs")) as address:
        yield address


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """Each of the stores."""
    kind = request.param
    if kind == "memory":
        return Backend("memory", None)
    if kind.startswith("disk"):
        return local(tmp_path / "store", fsync=kind == "disk-fsync")
    found = request.getfixturevalue(f"{kind}_server")
    if kind == "s3":
        name, address = found
        is_real = name != "moto"
        return Backend(name, address, is_atomic=is_real, checks_keys=is_real)
    return Backend(kind, found)


@pytest.fixture
async def place(backend: Backend) -> AsyncIterator[Place]:
    """A path of the store that no other test uses."""
    async with AsyncExitStack() as stack:
        yield Place(backend, f"test-{uuid.uuid4().hex}", stack)


@pytest.fixture
def shared_place(place: Place) -> Place:
    """The same, on the stores that another process can reach."""
    if place.backend.address is None:
        pytest.skip("another process cannot reach this one's memory")
    return place


@pytest.fixture
def atomic_place(place: Place) -> Place:
    """The same, on the stores whose conditional writes are atomic."""
    if not place.backend.is_atomic:
        missing(f"an S3 server that is atomic under racing creators, moto is not: {INSTALL}")
    return place
