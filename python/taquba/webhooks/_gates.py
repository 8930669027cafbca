"""Gates: one per host, so that a receiver that is dead or slow holds up nobody else.

Invariants:
    1. Of one host at most `host_concurrency` deliveries are under way.
    2. A delivery waits at a gate for a bounded time. A gate at which one has waited in vain lets
       nobody wait for as long again: the places of the worker go to other hosts.
    3. Whatever happens to a delivery, its place is free afterwards.
    4. A gate is kept while it is in use or remembers failures; of the latter a bounded number.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Callable
from typing import Final, final

from taquba.webhooks._circuit import Breaker, Circuit
from taquba.worker import Postponed

__all__ = ["Gates", "Passage"]

_logger = logging.getLogger("taquba.webhooks")

# Longer than a receiver needs that keeps up, shorter than the timeout of one that does not.
_WAIT_SECONDS: Final = 5.0

_GATE_COUNT_MAX: Final = 10_000


@final
class Passage:
    """One delivery's way through a gate. Says at its end how the host behaved."""

    __slots__ = ("_gate", "_is_judged", "_is_probe", "_now", "host")

    def __init__(
        self, gate: "_Gate", now: Callable[[], float], *, host: str, is_probe: bool
    ) -> None:
        self.host = host
        self._gate = gate
        self._now = now
        self._is_probe = is_probe
        self._is_judged = False

    def succeed(self) -> None:
        """Note that the host has answered, whatever it said."""
        self._is_judged = True
        self._gate.breaker.succeed()

    def fail(self) -> None:
        """Note that it has not, or that it is broken."""
        self._is_judged = True
        if self._gate.breaker.fail(self._now(), is_probe=self._is_probe):
            count = self._gate.breaker.failure_count
            _logger.warning("host %s has failed %d times in a row", self.host, count)

    def end(self) -> None:
        """Note that the delivery is over."""
        if not self._is_judged:
            self._gate.breaker.give_up(is_probe=self._is_probe)


@final
class Gates:
    """The gates of one worker. Used from one event loop.

    Args:
        circuit: When a host is left alone.
        host_concurrency: Most deliveries of one host under way.
        now: Seconds of a clock that never jumps.
    """

    def __init__(self, circuit: Circuit, host_concurrency: int, now: Callable[[], float]) -> None:
        self._circuit = circuit
        self._host_concurrency = host_concurrency
        self._now = now
        self._gates: dict[str, _Gate] = {}

    @contextlib.asynccontextmanager
    async def enter(self, host: str) -> AsyncIterator[Passage]:
        """Wait for a place, and keep it for the length of the context.

        Args:
            host: The receiver's host.

        Raises:
            Postponed: The host is left alone, or has too much to do.
        """
        gate = self._gates.get(host)
        if gate is None:
            gate = self._gates[host] = _Gate(self._circuit, self._host_concurrency)
        gate.user_count += 1
        try:
            self._check_circuit(gate, host)
            async with self._place(gate, host):
                # It may have opened meanwhile.
                self._check_circuit(gate, host)
                is_probe = gate.breaker.enter(self._now())
                passage = Passage(gate, self._now, host=host, is_probe=is_probe)
                try:
                    yield passage
                finally:
                    passage.end()
        finally:
            gate.user_count -= 1
            self._forget_idle(host, gate)

    def _check_circuit(self, gate: "_Gate", host: str) -> None:
        wait = gate.breaker.wait(self._now())
        if wait is not None:
            count = gate.breaker.failure_count
            text = f"host `{host}` has failed {count} times in a row and is left alone"
            raise _turned_away(text, wait)

    @contextlib.asynccontextmanager
    async def _place(self, gate: "_Gate", host: str) -> AsyncIterator[None]:
        text = f"host `{host}` is busy with {self._host_concurrency} other deliveries"
        if gate.places.locked() and self._now() < gate.crowded_until:
            raise _turned_away(text, _WAIT_SECONDS)
        try:
            async with asyncio.timeout(_WAIT_SECONDS) as scope:
                await gate.places.acquire()
        except TimeoutError:
            if not scope.expired():
                raise
            gate.crowded_until = self._now() + _WAIT_SECONDS
            raise _turned_away(text, _WAIT_SECONDS) from None
        try:
            yield
        finally:
            gate.places.release()

    def _forget_idle(self, host: str, gate: "_Gate") -> None:
        if gate.user_count == 0 and gate.breaker.failure_count == 0:
            self._gates.pop(host, None)
        if len(self._gates) > _GATE_COUNT_MAX:
            idle = (name for name, other in self._gates.items() if other.user_count == 0)
            oldest = next(idle, None)
            if oldest is not None:
                del self._gates[oldest]

    def __len__(self) -> int:
        """Return how many hosts are remembered."""
        return len(self._gates)


@final
class _Gate:
    __slots__ = ("breaker", "crowded_until", "places", "user_count")

    def __init__(self, circuit: Circuit, host_concurrency: int) -> None:
        self.breaker = Breaker(circuit)
        self.places = asyncio.Semaphore(host_concurrency)
        self.crowded_until = float("-inf")
        self.user_count = 0


def _turned_away(text: str, wait: float) -> Postponed:
    # Spread, so that what was turned away together does not come back together.
    spread = wait * random.uniform(1.0, 1.5)  # noqa: S311 - nobody gains by guessing it
    return Postponed(text, retry_after=spread)
