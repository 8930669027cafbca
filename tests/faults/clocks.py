"""A process whose calendar is hours off, though the machine's is not.

    python -m tests.faults.clocks STORE TASK      # CLOCK_SHIFT_SECONDS says how far off

A library in front of the C library moves the calendar of a process, and nothing else: monotonic
clocks and the time stamps of files stay as they are. It is compiled when it is needed.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from taquba import EnqueueOptions, OpenOptions, Queue
from taquba.workflow import RunSpec, Step, StepOutcome, WorkflowRuntime

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = "clock_shift.so"
SHIFT = "CLOCK_SHIFT_SECONDS"
HOUR = 3600
JOB_COUNT = 10
DELAY_SECONDS = 0.3
QUEUE = "emails"
LATER = "later"

SOURCE = r"""
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long shift(void) {
    const char *text = getenv("CLOCK_SHIFT_SECONDS");
    return text ? atol(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int answer = (int)syscall(SYS_clock_gettime, clock, now);
    if (answer == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += shift();
    return answer;
}

int gettimeofday(struct timeval *now, void *zone) {
    (void)zone;
    struct timespec precise;
    int answer = clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return answer;
}

time_t time(time_t *now) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now) *now = precise.tv_sec;
    return precise.tv_sec;
}
"""


def compiler() -> str | None:
    """A C compiler of this machine."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def build(directory: Path) -> Path:
    """Compiles the library."""
    program = compiler()
    assert program is not None, "look for it before"
    library = directory / LIBRARY
    command = [program, "-shared", "-fPIC", "-O1", "-x", "c", "-o", str(library), "-"]
    subprocess.run(command, input=SOURCE, text=True, check=True)
    return library


def run_shifted(library: Path, store: Path, task: str, seconds: float) -> dict[str, Any]:
    """Does a task in a process whose calendar is so far off; returns what it tells."""
    environment = {**os.environ, "LD_PRELOAD": str(library), SHIFT: str(int(seconds))}
    command = [sys.executable, "-m", "tests.faults.clocks", str(store), task]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


async def do_step(step: Step) -> StepOutcome:
    """A run of two steps."""
    return StepOutcome.Continue(b"2") if step.step_number == 0 else StepOutcome.Succeed(b"3")


async def write(queue: Queue, name: str) -> dict[str, Any]:
    """Enqueues jobs, now and for later, and submits a run; tells how long the first one took."""
    begun = time.monotonic()
    ids = [await queue.enqueue(QUEUE, f"{name}-0".encode())]
    first_seconds = time.monotonic() - begun
    ids += [await queue.enqueue(QUEUE, f"{name}-{n}".encode()) for n in range(1, JOB_COUNT)]
    later = EnqueueOptions(delay=DELAY_SECONDS)
    await queue.enqueue(LATER, f"{name}-later".encode(), later)
    runtime = WorkflowRuntime(queue, do_step)
    await runtime.submit(RunSpec(b"1", run_id=f"{name}-run"))
    return {"ids": ids, "first_seconds": first_seconds}


async def read(queue: Queue) -> dict[str, Any]:
    """Tells what is delivered, in its order, and how long that took which is for later."""
    begun = time.monotonic()
    delivered, waited = [], dict[str, float]()
    while (claim := await queue.claim(QUEUE)) is not None:
        delivered.append(claim.payload.decode())
        await queue.ack(claim)
    while (claim := await queue.claim_with_wait(LATER, timeout=2.0)) is not None:
        waited[claim.payload.decode()] = time.monotonic() - begun
        await queue.ack(claim)
    ends = {}
    async with WorkflowRuntime(queue, do_step) as runtime:
        for run in (await queue.list_runs()).runs:
            outcome = await runtime.handle(run.run_id).outcome(timeout=20)
            ends[run.run_id] = str(outcome.status)
    return {"delivered": delivered, "waited": waited, "ends": ends}


async def do(store: Path, task: str) -> None:
    """Does one task: `write-closed` and `write-killed` begin, `write-read` ends."""
    clock = {"year": datetime.now(UTC).year, "at": time.time()}
    async with Queue.open(store, options=OpenOptions(fsync=False)) as queue:
        told = await write(queue, task.partition("-")[2])
        if task == "write-read":
            told |= await read(queue)
        print(json.dumps({**clock, **told}), flush=True)
        if task == "write-killed":
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    asyncio.run(do(Path(sys.argv[1]), sys.argv[2]))
