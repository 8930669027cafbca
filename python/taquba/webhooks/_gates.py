"""Gates: one per origin, so that a receiver that is dead or slow holds up nobody else.

An origin is scheme, host and port: whoever names another port of a host cannot have its receiver
left alone.

Invariants:
    1. At one gate at most `host_concurrency` deliveries are under way and as many wait, and so it
       holds at most twice as many places of the worker. Others are turned away at once.
    2. A delivery waits at a gate for a bounded time. A gate at which one has waited in vain lets
       nobody wait for as long again.
    3. Whatever happens to a delivery, its place is free afterwards.
    4. A gate is kept while it is in use, remembers failures or expects those that it has turned
       away; of those not in use a bounded number.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Callable
from typing import Final, final

from taquba import _taquba
from taquba.webhooks._backlog import Backlog
from taquba.webhooks._circuit import Breaker, Circuit
from taquba.worker import Postponed

__all__ = ["Gates", "Passage"]

_logger = logging.getLogger("taquba.webhooks")

# Longer than a receiver needs that keeps up, shorter than the timeout of one that does not.
_WAIT_SECONDS: Final = 5.0

_GATE_COUNT_MAX: Final = 10_000

_RETRY_SECONDS_MAX: Final = _taquba.DURATION_MAX.total_seconds()


@final
class Passage:
    """One delivery's way through a gate. Says at its end how the host behaved."""

    __slots__ = ("_breaker", "_generation", "_is_judged", "_now", "_origin", "host")

    def __init__(self, breaker: Breaker, now: Callable[[], float], host: str, origin: str) -> None:
        self.host = host
        self._origin = origin
        self._breaker = breaker
        self._now = now
        self._generation = breaker.enter(now())
        self._is_judged = False

    def succeed(self) -> None:
        """Note that the host has answered, whatever it said."""
        self._is_judged = True
        self._breaker.succeed()

    def fail(self) -> None:
        """Note that it has not, or that it is broken."""
        self._is_judged = True
        if self._breaker.fail(self._now(), self._generation):
            count = self._breaker.failure_count
            _logger.warning("%s has failed %d times in a row", self._origin, count)

    def end(self) -> None:
        """Note that the delivery is over."""
        if not self._is_judged:
            self._breaker.give_up(self._generation)


@final
class Gates:
    """The gates of one worker. Used from one event loop.

    Args:
        circuit: When a host is left alone.
        host_concurrency: Most deliveries of one origin under way.
        now: Seconds of a clock that never jumps.
    """

    def __init__(self, circuit: Circuit, host_concurrency: int, now: Callable[[], float]) -> None:
        self._circuit = circuit
        self._host_concurrency = host_concurrency
        self._now = now
        self._gates: dict[str, _Gate] = {}

    @contextlib.asynccontextmanager
    async def enter(self, host: str, origin: str) -> AsyncIterator[Passage]:
        """Wait for a place, and keep it for the length of the context.

        Args:
            host: The receiver's host.
            origin: Its scheme, host and port.

        Raises:
            Postponed: The receiver is left alone, or has too much to do.
        """
        gate = self._gates.get(origin)
        if gate is None:
            gate = _Gate(self._circuit, self._host_concurrency, self._now())
            self._gates[origin] = gate
        gate.user_count += 1
        try:
            self._check_circuit(gate, host)
            async with self._place(gate, host):
                # It may have opened meanwhile.
                self._check_circuit(gate, host)
                passage = Passage(gate.breaker, self._now, host, origin)
                started = self._now()
                gate.backlog.begin(started)
                try:
                    yield passage
                finally:
                    gate.backlog.end(started, self._now())
                    passage.end()
        finally:
            gate.user_count -= 1
            self._forget_idle(origin, gate)

    def _check_circuit(self, gate: "_Gate", host: str) -> None:
        wait = gate.breaker.wait(self._now())
        if wait is not None:
            count = gate.breaker.failure_count
            text = f"host `{host}` has failed {count} times in a row and is left alone"
            raise _turned_away(text, wait)

    @contextlib.asynccontextmanager
    async def _place(self, gate: "_Gate", host: str) -> AsyncIterator[None]:
        text = f"host `{host}` is busy with {self._host_concurrency} other deliveries"
        if gate.places.locked():
            is_crowded = self._now() < gate.crowded_until
            if is_crowded or gate.waiting_count >= self._host_concurrency:
                raise _turned_away(text, gate.wait(self._now()))
        gate.waiting_count += 1
        try:
            async with asyncio.timeout(_WAIT_SECONDS) as scope:
                await gate.places.acquire()
        except TimeoutError:
            if not scope.expired():
                raise
            gate.crowded_until = self._now() + _WAIT_SECONDS
            raise _turned_away(text, gate.wait(self._now())) from None
        finally:
            gate.waiting_count -= 1
        try:
            yield
        finally:
            gate.places.release()

    def _forget_idle(self, origin: str, gate: "_Gate") -> None:
        is_idle = gate.user_count == 0 and gate.breaker.failure_count == 0
        if is_idle and gate.backlog.is_empty(self._now()):
            self._gates.pop(origin, None)
        if len(self._gates) > _GATE_COUNT_MAX:
            idle = (name for name, other in self._gates.items() if other.user_count == 0)
            oldest = next(idle, None)
            if oldest is not None:
                del self._gates[oldest]

    def __len__(self) -> int:
        """Return how many receivers are remembered."""
        return len(self._gates)


@final
class _Gate:
    __slots__ = ("backlog", "breaker", "crowded_until", "places", "user_count", "waiting_count")

    def __init__(self, circuit: Circuit, host_concurrency: int, now: float) -> None:
        self.breaker = Breaker(circuit)
        self.backlog = Backlog(host_concurrency, now)
        self.places = asyncio.Semaphore(host_concurrency)
        self.crowded_until = float("-inf")
        self.waiting_count = 0
        self.user_count = 0

    def wait(self, now: float) -> float:
        """Turn a delivery away, and return for how many seconds."""
        wait = self.backlog.add(now, self.waiting_count)
        # Nobody found a place within that time.
        return max(wait, _WAIT_SECONDS) if now < self.crowded_until else wait


def _turned_away(text: str, wait: float) -> Postponed:
    # Spread, so that what was turned away together does not come back together.
    spread = wait * random.uniform(1.0, 1.5)  # noqa: S311 - nobody gains by guessing it
    return Postponed(text, retry_after=min(spread, _RETRY_SECONDS_MAX))
