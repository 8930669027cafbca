"""Records of what the native code says, and stores that make it say something."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final, final

import pytest

from taquba import OpenOptions, Queue, logs
from tests.waiting import eventually

FAST: Final = OpenOptions(fsync=False)


@final
class Records(logging.Handler):
    """Keeps what is logged below `taquba.native`, and what forwarding says of itself."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.kept.append(record)

    def named(self, name: str) -> list[logging.LogRecord]:
        """Those of a logger and of all below it."""
        return [kept for kept in self.kept if f"{kept.name}.".startswith(f"{name}.")]

    def saying(self, text: str) -> list[logging.LogRecord]:
        """Those with a text in their message."""
        return [kept for kept in self.kept if text in kept.getMessage()]

    async def said(self, text: str) -> logging.LogRecord:
        """Wait for the first one with a text in its message."""

        async def probe() -> list[logging.LogRecord]:
            return self.saying(text)

        return (await eventually(probe, f"a record that says `{text}`"))[0]


@pytest.fixture
def records() -> Iterator[Records]:
    """All records, of every level; forwarding ends with the test."""
    handler = Records()
    loggers = [logging.getLogger("taquba.native"), logging.getLogger("taquba.logs")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(1)
    try:
        yield handler
    finally:
        logs.stop()
        for logger in loggers:
            logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)


async def open_and_close(directory: Path) -> None:
    """Open a store, which says a lot."""
    async with Queue.open(directory, options=FAST):
        pass


async def warned(records: Records, directory: Path) -> logging.LogRecord:
    """Have the engine warn of an object named `stranger`, and return the record."""
    await open_and_close(directory)
    payloads = directory / "taquba" / "payloads"
    payloads.mkdir(exist_ok=True)
    (payloads / "stranger").write_bytes(b"")
    # The sweep goes on beside the loop, and is given up at the close.
    async with Queue.open(directory, options=FAST):
        return await records.said("not a payload of ours")
