"""Following a batch of runs to its end.

Invariants:
    1. Each run is asked for once, when the tracking begins; its end is told, never looked for.
    2. Of a run that has ended nothing is kept but the count: no result, no error, no handle.
    3. A tracker has no task of its own. One that is dropped or closed, however its loop was left,
       takes back what it asked for and leaves the terminal as it was.
"""

import asyncio
import contextvars
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Self, final

from taquba._checks import Seconds, check_between, check_instance, refuse, refuse_type
from taquba._taquba import RunOutcome, check_run_id, duration
from taquba.exceptions import RunNotFoundError
from taquba.progress._display import Display, choose
from taquba.progress._progress import Progress, Window
from taquba.queue import Queue
from taquba.workflow import RunHandle, TerminalStatus

if TYPE_CHECKING:
    from taquba._port import Waiting

__all__ = ["Tracker", "track"]

_INTERVAL_MIN: Final = duration("interval", 0.02)
_INTERVAL_MAX: Final = duration("interval", 3600)
_WINDOW_MIN: Final = duration("window", 1)
_WINDOW_MAX: Final = duration("window", 24 * 3600)

# Runs that are asked for before the event loop does anything else.
_ASKED_AT_ONCE: Final = 500

_MISSING: Final = "missing"


def track(
    runs: Iterable[RunHandle | str],
    *,
    queue: Queue | None = None,
    interval: Seconds = 1.0,
    window: Seconds = 30.0,
    show: bool | Display = False,
) -> "Tracker":
    """Follow a batch of runs until all of them have ended.

    Results are not kept: `RunHandle.outcome` has those, also afterwards.

    Cancellation: the runs go on; tracking them again counts those that have ended by then.

    Args:
        runs: Handles, or run ids with `queue`. Kept in memory until their runs have ended.
        queue: The queue that owns the store of those runs; needed for ids only.
        interval: How often to tell, 0.02 to 3,600 seconds. The last one comes when all have ended.
        window: What `Progress.rate` looks back at, 1 second to 1 day.
        show: Whether to show it to people too, on the standard error: `rich` in a terminal, `tqdm`
            in a notebook if both are installed, else a line every 10 seconds. Or what shows it.

    Returns:
        To be iterated with `async for`. The first `Progress` comes at once.

    Raises:
        InvalidArgumentError: `interval` or `window` is out of bounds, or ids came without a queue.
        InvalidRunIdError: A text is no run id.

    Example:
        >>> handles = await runtime.submit_many(RunSpec(page) for page in pages)
        >>> async for progress in track(handles, show=True):
        ...     if progress.failed_count > 100:
        ...         break
    """
    interval, window = duration("interval", interval), duration("window", window)
    check_between("interval", interval, _INTERVAL_MIN, _INTERVAL_MAX)
    check_between("window", window, _WINDOW_MIN, _WINDOW_MAX)
    shown = choose() if show is True else None if show is False else show
    return Tracker(
        [_place(run, queue) for run in runs],
        interval_seconds=interval.total_seconds(),
        window=Window(window.total_seconds()),
        display=shown,
    )


@final
class Tracker:
    """The progress of a batch of runs. Made by `track`."""

    def __init__(
        self,
        places: list[tuple[Queue, str]],
        *,
        interval_seconds: float,
        window: Window,
        display: Display | None,
    ) -> None:
        self._places = places
        self._total_count = len(places)
        self._interval_seconds = interval_seconds
        self._window = window
        self._display = display
        # Told of the ends in place of the tracker, which may go at any time.
        self._tally: _Tally | None = None
        self._began = 0.0
        self._is_over = False

    def __aiter__(self) -> Self:
        """Iterate: each value is a `Progress`."""
        return self

    async def __anext__(self) -> Progress:
        """Wait for the next instant at which to tell.

        Raises:
            FencedError: Another process owns the store now.
            ClosedError: The queue is closed, or was closed meanwhile.
            StopAsyncIteration: All have ended, and that was told.
        """
        if self._is_over:
            raise StopAsyncIteration
        try:
            if self._tally is None:
                self._tally = await self._begin()
            else:
                await self._tally.wait(self._interval_seconds)
            progress = self._look(self._tally)
            if self._display is not None:
                self._display.update(progress)
        except BaseException:
            self.close()
            raise
        if progress.is_done:
            self.close()
        return progress

    async def finish(self) -> Progress:
        """Wait until all have ended, and return the last progress.

        Raises:
            FencedError: Another process owns the store now.
            ClosedError: The queue is closed, or was closed meanwhile.
            RuntimeError: The tracker is at its end already.
        """
        progress: Progress | None = None
        async for each in self:
            progress = each
        if progress is None:
            message = "this tracker has told everything: call `track` again"
            raise RuntimeError(message)
        return progress

    def close(self) -> None:
        """Track no more: the runs go on. Closing twice is fine."""
        self._is_over = True
        self._places = []
        if self._tally is not None:
            self._tally.close()
        if self._display is not None:
            self._display.close()

    def __del__(self) -> None:
        """Close it: a loop that is left by `break` or by an error does not."""
        if not self._is_over:
            self.close()

    async def _begin(self) -> "_Tally":
        tally = _Tally()
        self._began = asyncio.get_running_loop().time()
        try:
            for index, (queue, run_id) in enumerate(self._places):
                if index % _ASKED_AT_ONCE == 0:
                    await queue.room()
                    await asyncio.sleep(0)
                tally.ask(queue, run_id)
        except BaseException:
            tally.close()
            raise
        self._places = []
        return tally

    def _look(self, tally: "_Tally") -> Progress:
        tally.check()
        now = asyncio.get_running_loop().time()
        counts = tally.counts
        rate = self._window.rate(now, counts.total())
        live_count = self._total_count - counts.total()
        return Progress(
            total_count=self._total_count,
            succeeded_count=counts[TerminalStatus.Succeeded],
            failed_count=counts[TerminalStatus.Failed],
            cancelled_count=counts[TerminalStatus.Cancelled],
            missing_count=counts[_MISSING],
            elapsed_seconds=now - self._began,
            rate=rate,
            eta_seconds=_eta(live_count, rate),
        )


@final
class _Tally:
    """What has ended, and what is still waited for."""

    def __init__(self) -> None:
        self.counts: Counter[TerminalStatus | str] = Counter()
        self._waiting: dict[asyncio.Future[RunOutcome], Waiting[RunOutcome]] = {}
        self._is_quiet = asyncio.Event()
        self._failure: BaseException | None = None
        # One for all: a copy for each run would cost more than all else.
        self._context = contextvars.copy_context()
        self._on_end = self._note

    def ask(self, queue: Queue, run_id: str) -> None:
        """Ask for the end of a run."""
        port = queue.port()
        waiting = port.wait(port.native.await_run, run_id)
        self._waiting[waiting.future] = waiting
        waiting.future.add_done_callback(self._on_end, context=self._context)

    async def wait(self, seconds: float) -> None:
        """Wait until nothing is waited for any more, but only so long."""
        if not self._waiting or self._failure is not None:
            return
        self._is_quiet.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._is_quiet.wait()
        except TimeoutError:
            return

    def check(self) -> None:
        """Raise what keeps the ends from being told."""
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Take back what was asked for."""
        waiting, self._waiting = self._waiting, {}
        for future, each in waiting.items():
            future.remove_done_callback(self._on_end)
            if not future.done():
                each.withdraw()
                future.cancel()

    def _note(self, future: "asyncio.Future[RunOutcome]") -> None:
        self._waiting.pop(future, None)
        error = None if future.cancelled() else future.exception()
        if isinstance(error, RunNotFoundError):
            self.counts[_MISSING] += 1
        elif error is not None:
            self._failure = error
        elif not future.cancelled():
            self.counts[future.result().status] += 1
        if not self._waiting or self._failure is not None:
            self._is_quiet.set()


def _eta(live_count: int, rate: float | None) -> float | None:
    if live_count == 0:
        return 0.0
    return live_count / rate if rate else None


def _place(run: Any, queue: Queue | None) -> tuple[Queue, str]:  # noqa: ANN401 - checked here
    if isinstance(run, RunHandle):
        return run._queue, run.run_id  # noqa: SLF001 - ours
    if not isinstance(run, str):
        refuse_type("runs", run, "give handles, or run ids with `queue`")
    check_run_id(run)
    if queue is None:
        refuse("queue", queue, "give the queue in which those run ids are")
    check_instance("queue", queue, Queue)
    return queue, run
