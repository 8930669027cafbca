"""How long a job takes from the instant it was due, at a rate that does not wait for anybody.

The instants are drawn before the round begins (Poisson arrivals, a fixed seed), and a thread of its
own sends each job at its instant, however late the others are. Latency counts from that instant: a
queue that stalls is charged for every job that it kept from being sent.
"""

import asyncio
import random
import threading
import time
from array import array
from collections.abc import Callable
from functools import partial

from taquba import Queue
from taquba.bench._lab import NUMBER_BYTES, Lab
from taquba.bench._latency import Latency
from taquba.bench._meter import Meter
from taquba.bench._result import Case, NotDoneError, Round
from taquba.bench._scenario import Bars, Curves, Scenario

_SEED = 20_301
# A queue that is this much behind at the end does not keep up with the rate.
_PATIENCE_SECONDS = 60.0
# The first instant is a little ahead, so that the thread is there in time.
_LEAD_SECONDS = 0.05


def arrivals(rate: float, seconds: float) -> list[float]:
    """The instants of a Poisson process in so many seconds; always the same ones, at least one."""
    source = random.Random(_SEED)  # noqa: S311 - repeatable, not secret
    instants = [source.expovariate(rate)]
    while (instant := instants[-1] + source.expovariate(rate)) < seconds:
        instants.append(instant)
    return instants


class _Ledger:
    """When each job was due, sent, enqueued, handled and acked."""

    def __init__(self, instants: list[float]) -> None:
        self.due = array("d", instants)
        self.sent = array("d", bytes(8 * len(instants)))
        self.enqueued = array("d", bytes(8 * len(instants)))
        self.handled = array("d", bytes(8 * len(instants)))
        self.acked = array("d", bytes(8 * len(instants)))
        self.acked_count = 0

    def sum_up(self, meter: Meter) -> Round:
        """The round that this was."""
        latencies = {
            "enqueued": self._latency(self.enqueued),
            "handled": self._latency(self.handled),
            "acked": self._latency(self.acked),
        }
        extra = {"late_ms_p99": self._latency(self.sent).ms["p99"]}
        return Round(count=len(self.due), cost=meter.cost, latencies=latencies, extra=extra)

    def _latency(self, instants: "array[float]") -> Latency:
        return Latency.of([at - due for at, due in zip(instants, self.due, strict=True)])


async def measure(lab: Lab) -> list[Case]:
    """Measures one rate."""
    rate = lab.settings.jobs_per_second
    instants = arrivals(rate, lab.seconds(20.0, 3.0))
    async with lab.open() as queue:
        rounds = await lab.rounds(partial(_round, lab, queue, instants))
    return [Case(f"{rate:,g} jobs/s offered", "job", rounds)]


async def _round(lab: Lab, queue: Queue, instants: list[float], number: int) -> Round:
    name = f"round-{number}"
    start = time.perf_counter() + _LEAD_SECONDS
    ledger = _Ledger([start + instant for instant in instants])
    seen = lab.seen(len(instants))
    all_acked = asyncio.Event()

    async def send(index: int) -> None:
        ledger.sent[index] = time.perf_counter()
        await queue.enqueue(name, lab.payload(index))
        ledger.enqueued[index] = time.perf_counter()

    async def take() -> None:
        while (claim := await queue.claim_with_wait(name)) is not None:
            handled = time.perf_counter()
            seen.add(claim.payload)
            index = int.from_bytes(claim.payload[:NUMBER_BYTES], "big")
            ledger.handled[index] = handled
            await queue.ack(claim)
            ledger.acked[index] = time.perf_counter()
            ledger.acked_count += 1
            if ledger.acked_count == len(instants):
                all_acked.set()

    patience = instants[-1] + _PATIENCE_SECONDS
    try:
        async with Meter(queue) as meter, asyncio.timeout(patience), asyncio.TaskGroup() as group:
            takers = [group.create_task(take()) for _ in range(lab.settings.in_flight)]
            await _send_all(ledger.due, lambda index: group.create_task(send(index)))
            await all_acked.wait()
            for taker in takers:
                taker.cancel()
    except TimeoutError:
        message = f"{ledger.acked_count} of {len(instants)} jobs were acked in time"
        raise NotDoneError(message) from None
    seen.check()
    return ledger.sum_up(meter)


async def _send_all(due: "array[float]", send: Callable[[int], object]) -> None:
    """Calls `send` in the event loop at each instant; returns after the last one."""
    loop = asyncio.get_running_loop()
    all_sent, is_stopped = asyncio.Event(), threading.Event()

    def run() -> None:
        for index, instant in enumerate(due):
            while (left := instant - time.perf_counter()) > 0:
                if is_stopped.wait(left):
                    return
            loop.call_soon_threadsafe(send, index)
        loop.call_soon_threadsafe(all_sent.set)

    clock = threading.Thread(target=run, name="bench-clock")
    clock.start()
    try:
        await all_sent.wait()
    finally:
        is_stopped.set()
        clock.join()


STEADY = Scenario(
    name="steady",
    summary="jobs at an offered rate (--rate): latency from the instant each was due",
    measure=measure,
    columns=("per_second", "cpu_us_each", "puts_per_1000", "put_kib_per_1000", "late_ms_p99"),
    panels=(Curves("time since the job was due"), Bars("cpu_us_each")),
)
