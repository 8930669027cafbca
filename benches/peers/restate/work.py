# mypy: disable-error-code="import-not-found, import-untyped"
"""Restate's workloads: a client here, one server, one worker process.

A job is a call of a handler without steps, left with the server; a run is a call of a handler whose
steps are `ctx.run`, and ends when the caller has its result.
"""

import time

import uvloop

from benches.peers.protocol import (
    PAYLOAD_BYTES,
    STEPS_PER_RUN,
    Arguments,
    arguments,
    begin,
    check,
    end,
    in_turns,
    warm_up_count,
)
from benches.peers.restate import stack

# What the server gives to the worker at once. Jobs that are only enqueued shall not be dispatched,
# and 1 is the least there is.
DISPATCHED_MAX = {"enqueue": 1, "drain": 128, "steps": 1000, "latency": 1000}
ENQUEUE_LANES = 64


def payload(number: int) -> str:
    """64 characters that say which job or run this is."""
    return f"{number:010d}".ljust(PAYLOAD_BYTES, ".")


async def fill(site: stack.Stack, numbers: range, width: int) -> None:
    """Leaves one job for each number with the server."""
    ids = set()

    async def call(number: int) -> None:
        ids.add(await site.send("job", payload(number)))

    await in_turns(numbers, width, call)
    check(len(ids), len(numbers))


async def enqueue(said: Arguments, site: stack.Stack) -> None:
    """One call for each job; all but one wait in the server."""
    warm = warm_up_count(said.count)
    await fill(site, range(warm), said.in_flight)
    begin()
    start = time.monotonic()
    await fill(site, range(warm, warm + said.count), said.in_flight)
    seconds = time.monotonic() - start
    end(
        said.count, seconds, f"{warm + said.count:,} ids, as many calls not completed in the server"
    )
    check(await site.count("status <> 'completed'"), warm + said.count)


async def drain(said: Arguments, site: stack.Stack) -> None:
    """The worker lets in the jobs that it has and all that follow."""
    warm = warm_up_count(said.count)
    await fill(site, range(warm), ENQUEUE_LANES)
    site.worker.open(warm)
    await site.worker.wait_for("all")
    await fill(site, range(warm, warm + said.count), ENQUEUE_LANES)
    begin()
    site.worker.open(said.count)
    first = await site.worker.wait_for("first")
    last = await site.worker.wait_for("all")
    end(said.count, last - first, f"{said.count:,} payloads handled, all calls completed")
    await site.until_all_completed()


async def runs(said: Arguments, site: stack.Stack) -> None:
    """Runs of ten steps, or of one: also the workload `latency`."""
    name, step_count = ("one", 1) if said.workload == "latency" else ("ten", STEPS_PER_RUN)
    latencies: list[float] = []

    async def run(number: int) -> None:
        start = time.monotonic()
        result = await site.call(name, payload(number))
        latencies.append(time.monotonic() - start)
        check(result, payload(number))

    warm = warm_up_count(said.count)
    await in_turns(range(warm), said.in_flight, run)
    latencies.clear()
    begin()
    start = time.monotonic()
    await in_turns(range(warm, warm + said.count), said.in_flight, run)
    seconds = time.monotonic() - start
    end(said.count * step_count, seconds, f"{said.count:,} results equal to inputs", latencies)


WORKLOADS = {"enqueue": enqueue, "drain": drain, "steps": runs, "latency": runs}


async def main(said: Arguments) -> None:
    """Starts everything, then does one workload."""
    async with stack.running(said.directory, DISPATCHED_MAX[said.workload]) as site:
        await WORKLOADS[said.workload](said, site)


if __name__ == "__main__":
    uvloop.run(main(arguments()))
