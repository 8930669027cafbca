"""Counts, taken every few seconds while somebody looks.

The first request that needs them starts the sampling; it stops some minutes after the last one, and
when the queue is closed. So an app that nobody looks at costs nothing, and one that is mounted
needs no lifespan.

Invariants:
    1. One task samples, however many look.
    2. Memory is bounded: so many samples of a minute, an hour of points, for so many queues.
    3. However often something changes, it counts a few times a second at most.
"""

import asyncio
import time
from collections import deque
from typing import Final, final

from taquba.admin._history import History
from taquba.admin._sample import Sample
from taquba.admin._shared import Shared
from taquba.exceptions import Recovery, TaqubaError
from taquba.queue import Queue, QueueReader

__all__ = ["Sampler"]

# A reader asks the store, which costs a request or more each time.
_OWNER_SECONDS: Final = 2.0
_READER_SECONDS: Final = 5.0
_IDLE_SECONDS_MAX: Final = 300.0
_WINDOW_SECONDS: Final = 60.0
# Samples that are kept lie half an interval apart at least.
_SAMPLE_COUNT_MAX: Final = 64
_PAUSE_SECONDS: Final = 0.25


@final
class Sampler:
    """Counts a store every few seconds while somebody looks.

    Args:
        source: What to count.
    """

    def __init__(self, source: Queue | QueueReader) -> None:
        self._source = source
        self.interval_seconds: Final = (
            _OWNER_SECONDS if isinstance(source, Queue) else _READER_SECONDS
        )
        self.history: Final = History()
        self._samples: deque[Sample] = deque(maxlen=_SAMPLE_COUNT_MAX)
        self._looked_at = 0.0
        self._is_expired = False
        self._task: asyncio.Task[None] | None = None
        self._taking = Shared(self._take)

    async def latest(self) -> Sample:
        """Return counts that are hardly older than the interval, and go on sampling.

        Raises:
            TaqubaError: They cannot be had.
        """
        self._looked_at = time.monotonic()
        if self._is_stale():
            await self._taking.get()
        loop = asyncio.get_running_loop()
        task = self._task
        # Tests ask from one event loop after another.
        if task is None or task.done() or task.get_loop() is not loop:
            self._task = loop.create_task(self._sample(), name="taquba.admin sampler")
        return self._samples[-1]

    def minute_ago(self) -> Sample:
        """Return the oldest sample of the last minute. There is one once `latest` has returned."""
        return self._samples[0]

    def expire(self) -> None:
        """Have the next look count anew: something was changed."""
        self._is_expired = True

    def stop(self) -> None:
        """Stop until somebody looks again."""
        if self._task is not None:
            self._task.cancel()

    async def _sample(self) -> None:
        while time.monotonic() - self._looked_at < _IDLE_SECONDS_MAX:
            await asyncio.sleep(self.interval_seconds)
            try:
                await self._taking.get()
            except TaqubaError as error:
                # Whoever looks next is told; what may pass is tried again until then.
                if error.recovery is Recovery.REOPEN:
                    return

    async def _take(self) -> None:
        samples = self._samples
        if samples:
            await asyncio.sleep(samples[-1].at + _PAUSE_SECONDS - time.monotonic())
        # What is changed from here on may not be in it.
        self._is_expired = False
        try:
            sample = await Sample.take(self._source)
        except BaseException:
            self._is_expired = True
            raise
        # One that was taken because something changed makes room for the next.
        if len(samples) > 1 and samples[-1].at - samples[-2].at < self.interval_seconds / 2:
            samples.pop()
        samples.append(sample)
        while sample.at - samples[0].at > _WINDOW_SECONDS:
            samples.popleft()
        self.history.add(sample)

    def _is_stale(self) -> bool:
        if self._is_expired or not self._samples:
            return True
        return time.monotonic() - self._samples[-1].at > 1.5 * self.interval_seconds
