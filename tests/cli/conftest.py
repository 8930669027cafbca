"""Commands, run in this process."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from taquba.cli import main
from tests.cli.places import OwnerThread, fill


@dataclass(frozen=True)
class Ended:
    """What became of a command."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Its output, as one JSON value."""
        return json.loads(self.out)

    def lines(self) -> list[Any]:
        """Its output, as JSON in each line."""
        return [json.loads(line) for line in self.out.splitlines()]


Taquba = Callable[..., Ended]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is taken from the environment of whoever runs the tests."""
    for name in ("TAQUBA_URL", "TAQUBA_ADMIN", "TAQUBA_ADMIN_TOKEN", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def taquba(capfdbinary: pytest.CaptureFixture[bytes]) -> Taquba:
    """Runs a command."""

    def run(*arguments: object) -> Ended:
        capfdbinary.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = capfdbinary.readouterr()
        return Ended(code, out.decode(errors="backslashreplace"), err.decode())

    return run


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with some of everything, which no test changes."""
    store = tmp_path_factory.mktemp("filled") / "store"
    asyncio.run(fill(store))
    return store


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[OwnerThread]:
    """An owner of a store of its own, filled, that listens and works."""
    store = tmp_path / "store"
    asyncio.run(fill(store))
    with OwnerThread(store) as owner:
        yield owner


@pytest.fixture
def ask(taquba: Taquba, owner: OwnerThread) -> Taquba:
    """Runs a command that asks that owner."""

    def run(*arguments: object) -> Ended:
        return taquba(*arguments, "--admin", owner.address)

    return run
