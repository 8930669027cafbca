"""How many listen to events, and whether they still should."""

import asyncio
from typing import final

__all__ = ["Streams"]


@final
class Streams:
    """The streams of one app."""

    def __init__(self) -> None:
        self.count = 0
        self.stopped = asyncio.Event()
