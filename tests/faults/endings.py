"""Runners, workers and hooks that end their process, in every position.

    python -m tests.faults.endings

Each case is started again and again until it ends by itself, as a supervisor would do. The last
line of output is a JSON object: by kind and position, what was not as it has to be.
"""

import asyncio
import atexit
import ctypes
import json
import logging
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taquba import (
    Claim,
    EnqueueOptions,
    JobState,
    OpenOptions,
    Queue,
    QueueConfig,
    RetryJitter,
    run_worker,
)
from taquba.exceptions import ClosedError
from taquba.workflow import RunOutcome, RunSpec, Step, StepError, StepOutcome, WorkflowRuntime

POSITIONS = ("first step", "later step", "retry", "hook", "worker")
JOBS = "emails"
VICTIM, HEALTHY = "victim", "healthy"
MAX_ATTEMPTS = 3
# A process that is killed in the first moments of a delivery may not have counted it, once.
UNCOUNTED_MAX = 1
# How often a hook ends its process before it hears.
HOSTILE_HOOK_CALLS = 2
PATIENCE_SECONDS = 30.0
SHUTDOWN_SECONDS = 0.1
LOOK_EVERY_SECONDS = 0.01
# What the process ends with; the first one is what `os._exit` and `sys.exit` are asked for.
ASKED, INTERRUPTED, STOPPED, CANCELLED, CLOSED = 3, 130, 70, 71, 72


async def exit_at_once(queue: Queue) -> None:
    """Ends the process without a word."""
    assert queue
    os._exit(ASKED)


async def read_nowhere(queue: Queue) -> None:
    """Reads memory that is not there, as a broken library does."""
    assert queue
    ctypes.string_at(0)


async def abort(queue: Queue) -> None:
    """Gives up, as a library does that finds itself broken."""
    assert queue
    os.abort()


async def kill_itself(queue: Queue) -> None:
    """Dies as of lack of memory."""
    assert queue
    os.kill(os.getpid(), signal.SIGKILL)


async def leave(queue: Queue) -> None:
    """Asks the interpreter to end."""
    assert queue
    sys.exit(ASKED)


async def interrupt(queue: Queue) -> None:
    """Raises what Ctrl-C raises."""
    assert queue
    raise KeyboardInterrupt


async def signal_itself(queue: Queue) -> None:
    """Presses Ctrl-C."""
    assert queue
    signal.raise_signal(signal.SIGINT)
    await asyncio.sleep(2 * PATIENCE_SECONDS)


async def stop_the_loop(queue: Queue) -> None:
    """Stops the loop that runs it."""
    assert queue
    asyncio.get_running_loop().stop()
    await asyncio.sleep(2 * PATIENCE_SECONDS)


async def cancel_everything(queue: Queue) -> None:
    """Cancels every task of the loop."""
    assert queue
    for task in asyncio.all_tasks():
        task.cancel()
    await asyncio.sleep(2 * PATIENCE_SECONDS)


async def close_the_queue(queue: Queue) -> None:
    """Closes the queue that its own work is in."""
    await queue.close()


@dataclass(frozen=True)
class Ending:
    """One way to end a process.

    Args:
        act: Does it.
        code: What the process ends with.
    """

    act: Callable[[Queue], Awaitable[None]]
    code: int


ENDINGS = {
    "os._exit": Ending(exit_at_once, ASKED),
    "a segmentation fault": Ending(read_nowhere, -signal.SIGSEGV),
    "abort": Ending(abort, -signal.SIGABRT),
    "SIGKILL": Ending(kill_itself, -signal.SIGKILL),
    "SystemExit": Ending(leave, ASKED),
    "KeyboardInterrupt": Ending(interrupt, INTERRUPTED),
    "SIGINT": Ending(signal_itself, INTERRUPTED),
    "a stopped loop": Ending(stop_the_loop, STOPPED),
    "all tasks cancelled": Ending(cancel_everything, CANCELLED),
    "a closed queue": Ending(close_the_queue, CLOSED),
}


class Service:
    """A process with one victim and some healthy work."""

    def __init__(self, queue: Queue, log: Path, ending: Ending, position: str) -> None:
        self.queue = queue
        self.log = log
        self.ending = ending
        self.position = position

    async def strike(self, attempts: int) -> None:
        """Notes the delivery, and ends the process."""
        file = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(file, b"%d\n" % attempts)
        os.close(file)
        await self.ending.act(self.queue)

    async def run_step(self, step: Step) -> StepOutcome:
        """The runner."""
        if step.run_id == VICTIM and self.position in POSITIONS[:3]:
            if self.position == "later step" and step.step_number == 0:
                return StepOutcome.Continue(b"")
            if self.position == "retry" and step.attempts == 1:
                raise StepError.transient("the first attempt")
            await self.strike(step.attempts)
        return StepOutcome.Succeed(b"fine")

    async def process(self, job: Claim) -> None:
        """The worker."""
        if job.payload == VICTIM.encode() and self.position == "worker":
            await self.strike(job.attempts)

    async def hear(self, outcome: RunOutcome) -> None:
        """The hook."""
        if outcome.run_id == VICTIM and self.position == "hook":
            if len(deliveries(self.log)) < HOSTILE_HOOK_CALLS:
                await self.strike(0)
            else:
                self.log.with_suffix(".heard").touch()

    async def work(self) -> dict[str, Any]:
        """Works until everything has ended; tells how."""
        queue, shutdown = self.queue, asyncio.Event()
        once = EnqueueOptions(dedup_key="victim", dedup_scope="settled", max_attempts=MAX_ATTEMPTS)
        if not (await queue.stats()).queues:
            await queue.enqueue(JOBS, VICTIM.encode(), once)
            # It may be in flight each time that the other one ends the process.
            await queue.enqueue(JOBS, HEALTHY.encode(), EnqueueOptions(max_attempts=1000))
        worker = asyncio.create_task(
            run_worker(
                queue, JOBS, self.process, shutdown=shutdown, shutdown_timeout=SHUTDOWN_SECONDS
            )
        )
        async with WorkflowRuntime(
            queue, self.run_step, self.hear, shutdown_timeout=SHUTDOWN_SECONDS
        ) as runtime:
            specs = [RunSpec(b"", run_id=VICTIM, max_attempts=MAX_ATTEMPTS)]
            specs += [RunSpec(b"", run_id=HEALTHY, max_attempts=1000)]
            handles = await runtime.submit_many(specs)
            waiting = (handle.outcome(timeout=PATIENCE_SECONDS) for handle in handles)
            ends = {end.run_id: str(end.status) for end in await asyncio.gather(*waiting)}
            await self.await_quiet()
        shutdown.set()
        await worker
        jobs = (await queue.list_jobs(JOBS)).jobs
        dead = [job for job in jobs if job.state is JobState.DEAD]
        return {"ends": ends, "dead": len(dead), "done": len(jobs) - len(dead)}

    async def await_quiet(self) -> None:
        """Waits until nothing waits or runs."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                counts = (await self.queue.stats()).queues.values()
                if not any(c.pending_count + c.scheduled_count + c.claimed_count for c in counts):
                    return
                await asyncio.sleep(LOOK_EVERY_SECONDS)


def deliveries(log: Path) -> list[int]:
    """The attempts that were noted."""
    return [int(line) for line in log.read_text().split()] if log.exists() else []


async def serve(directory: Path, ending: Ending, position: str) -> None:
    """One life of the process."""
    brief = QueueConfig(retry_backoff_base=0, retry_jitter=RetryJitter.NONE, keep_done_jobs=3600.0)
    options = OpenOptions(fsync=False, default_queue_config=brief)
    async with Queue.open(directory / "store", options=options) as queue:
        told = await Service(queue, directory / "log", ending, position).work()
    (directory / "told").write_text(json.dumps(told))


def be_the_child(directory: Path, ending: Ending, position: str) -> None:
    """Runs it in the forked process, which never returns from here."""
    code = 1
    try:
        # Neither a core nor a word of it: the parent sees the code.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        file = os.open(directory / "stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        asyncio.run(serve(directory, ending, position))
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except KeyboardInterrupt:
        code = INTERRUPTED
    except asyncio.CancelledError:
        code = CANCELLED
    except (ClosedError, ExceptionGroup) as error:
        code = CLOSED
        traceback.print_exception(error)
    except RuntimeError as error:
        code = STOPPED if "stopped before" in str(error) else 1
        traceback.print_exception(error)
    except BaseException as error:  # noqa: BLE001 - the parent sees the code and reads the text
        traceback.print_exception(error)
    finally:
        # As the interpreter does at its end: what nobody closed is closed in order.
        atexit._run_exitfuncs()  # noqa: SLF001 - a forked child may not run its parent's end
        os._exit(code)


def live(directory: Path, ending: Ending, position: str) -> int:
    """One life of the process; returns what it ended with."""
    pid = os.fork()
    if pid == 0:
        be_the_child(directory, ending, position)
    deadline = time.monotonic() + 2 * PATIENCE_SECONDS
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(LOOK_EVERY_SECONDS / 2)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return 1


def judge(directory: Path, ending: Ending, position: str) -> str | None:
    """Starts it until it ends by itself; says what is wrong, if anything is."""
    codes = []
    for _ in range(MAX_ATTEMPTS + 3):
        codes.append(live(directory, ending, position))
        if codes[-1] not in (ending.code, 0):
            with suppress(OSError):
                print((directory / "stderr").read_text()[-3000:], file=sys.stderr)
            return f"its processes ended with {codes}, and not with {ending.code}"
        if codes[-1] == 0:
            break
    else:
        return f"it ended its process again and again: {codes}"
    return judge_end(directory, position)


def judge_end(directory: Path, position: str) -> str | None:
    """What is wrong with what is there in the end, if anything is."""
    told = json.loads((directory / "told").read_text())
    count = len(deliveries(directory / "log"))
    run = "succeeded" if position in ("hook", "worker") else "failed"
    jobs = (1, 1) if position == "worker" else (0, 2)
    most = HOSTILE_HOOK_CALLS if position == "hook" else MAX_ATTEMPTS + UNCOUNTED_MAX
    wrong = None
    if not 1 <= count <= most:
        wrong = f"it was delivered {count} times"
    elif told["ends"] != {VICTIM: run, HEALTHY: "succeeded"}:
        wrong = f"the runs ended as {told['ends']}"
    elif (told["dead"], told["done"]) != jobs:
        wrong = f"of the jobs {told['dead']} are dead and {told['done']} are done"
    elif position == "hook" and not (directory / "log.heard").exists():
        wrong = "the hook was never told"
    return wrong


def main() -> None:
    """Does every kind in every position."""
    logging.disable(logging.CRITICAL)
    wrong = {}
    root = Path(tempfile.mkdtemp(prefix="taquba-endings-"))
    for name, ending in ENDINGS.items():
        for position in POSITIONS:
            directory = root / f"{name}-{position}".replace(" ", "_")
            directory.mkdir()
            found = judge(directory, ending, position)
            if found is not None:
                wrong[f"{name}, {position}"] = found
    if not wrong:
        shutil.rmtree(root)
    print(json.dumps({"cases": len(ENDINGS) * len(POSITIONS), "wrong": wrong}))


if __name__ == "__main__":
    main()
