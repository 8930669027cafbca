# mypy: disable-error-code="import-not-found, import-untyped, untyped-decorator"
"""The worker process: one Restate service, served over HTTP/2.

Usage: service.py PORT. It writes `ready` when it listens. Jobs wait until `open COUNT` arrives on
the standard input; it writes `first SECONDS` and `all SECONDS` when the first and the last of COUNT
jobs are handled, on the clock that all processes of the machine share. It ends with its input.
"""

import asyncio
import sys
import time

import restate
import uvloop
from hypercorn.asyncio import serve
from hypercorn.config import Config
from restate import Context, RunOptions, Service

STEPS_PER_RUN = 10
# The values that Restate's documentation gives for production.
UNBOUNDED = 2**31 - 1

bench = Service("Bench")


class Gate:
    """Where jobs wait until they may be handled, and are counted."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.seen: set[str] = set()
        self.wanted_count = 0

    def open(self, count: int) -> None:
        """Lets everybody in who waits or comes."""
        self.seen.clear()
        self.wanted_count = count
        self.opened.set()

    async def pass_through(self, content: str) -> None:
        """A job is handled once it is through; one that comes again is counted once."""
        await self.opened.wait()
        if not self.seen:
            tell(f"first {time.monotonic()}")
        self.seen.add(content)
        if len(self.seen) == self.wanted_count:
            tell(f"all {time.monotonic()}")
            self.opened.clear()


gate = Gate()
options: RunOptions[str] = RunOptions()


def tell(line: str) -> None:
    """Says something to the process that started this one."""
    print(line, flush=True)


async def step(content: str) -> str:
    """The handler: gives back what it got."""
    return content


@bench.handler()
async def job(_context: Context, content: str) -> str:
    """A job without steps."""
    await gate.pass_through(content)
    return content


@bench.handler()
async def one(context: Context, content: str) -> str:
    """A run of one step."""
    result: str = await context.run_typed("step", step, options, content)
    return result


@bench.handler()
async def ten(context: Context, content: str) -> str:
    """A run of ten steps; each gets the result of the one before."""
    for _ in range(STEPS_PER_RUN):
        content = await context.run_typed("step", step, options, content)
    return content


async def listen_to_parent() -> None:
    """Does what it is told until there is nobody who tells."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    tell("ready")
    async for line in reader:
        gate.open(int(line.split()[1]))


async def main(port: int) -> None:
    """Serves until the parent closes its end."""
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.h2_max_concurrent_streams = UNBOUNDED
    config.keep_alive_max_requests = UNBOUNDED
    config.keep_alive_timeout = UNBOUNDED
    config.errorlog = None
    await serve(restate.app([bench]), config, shutdown_trigger=listen_to_parent)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
