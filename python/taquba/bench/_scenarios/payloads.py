"""What the size of a payload does to the cost of a job."""

from functools import partial

from taquba import Queue
from taquba.bench._lab import Lab, in_lanes
from taquba.bench._meter import Meter
from taquba.bench._result import Case, Round
from taquba.bench._scenario import Bars, Scenario
from taquba.bench._scenarios._by_hand import claim_and_ack

_KIB = 1024
_SIZES = {
    "64 B": 64,
    "1 KiB": _KIB,
    "16 KiB": 16 * _KIB,
    "64 KiB": 64 * _KIB,
    "256 KiB": 256 * _KIB,
    "1 MiB": _KIB * _KIB,
}
# A round moves so many bytes, and no more jobs than these.
_ROUND_BYTES = 128 * _KIB * _KIB
_ROUND_BYTES_QUICK = 16 * _KIB * _KIB
_JOBS_MAX = 20_000
_JOBS_MAX_QUICK = 4_000
# What is in flight is in memory, more than once.
_IN_FLIGHT_BYTES_MAX = 32 * _KIB * _KIB


async def measure(lab: Lab) -> list[Case]:
    """Measures each size."""
    cases = []
    for name, size in _SIZES.items():
        sized = lab.with_payload_bytes(size)
        count = lab.count(
            min(_JOBS_MAX, _ROUND_BYTES // size), min(_JOBS_MAX_QUICK, _ROUND_BYTES_QUICK // size)
        )
        async with sized.open() as queue:
            rounds = await sized.rounds(partial(_round, sized, queue, count))
        cases.append(Case(name, "job", rounds))
    return cases


async def _round(lab: Lab, queue: Queue, count: int, number: int) -> Round:
    name = f"round-{number}"
    size = lab.settings.payload_bytes
    width = max(1, min(lab.settings.in_flight, _IN_FLIGHT_BYTES_MAX // size))

    async def call(index: int) -> None:
        await queue.enqueue(name, lab.payload(index))

    async with Meter(queue) as meter:
        made = await in_lanes(width, count, call, lab.round_seconds_max)
        await claim_and_ack(queue, name, width, lab.seen(made))
    payload_bytes = made * size
    extra = {
        "mb_per_second": payload_bytes / meter.cost.wall_seconds / 1e6,
        "bytes_put_per_byte": meter.cost.counters["put_bytes"] / payload_bytes,
    }
    return Round(count=made, cost=meter.cost, extra=extra)


PAYLOADS = Scenario(
    name="payloads",
    summary="enqueue, claim and ack with payloads of 64 B to 1 MiB",
    measure=measure,
    columns=(
        "mb_per_second",
        "per_second",
        "cpu_us_each",
        "puts_per_1000",
        "bytes_put_per_byte",
        "resident_mib_peak",
    ),
    panels=(Bars("mb_per_second"), Bars("per_second"), Bars("bytes_put_per_byte")),
)
