"""Hostile runners, workers and hooks: the work goes on, or the process ends as it was asked to."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.faults.endings import ENDINGS
from tests.faults.endings import POSITIONS as ENDING_POSITIONS
from tests.faults.kinds import KINDS, needs_loop
from tests.simulator import ROOT

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


def told_by(*command: str) -> dict[str, Any]:
    """What one of the programs says in its last line."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.mark.parametrize(
    ("form", "count"),
    [
        ("coroutine", len(KINDS)),
        ("function", sum(not needs_loop(kind) for kind in KINDS.values())),
    ],
)
def test_whatever_is_raised_or_returned_fails_its_own_work_only(form: str, count: int) -> None:
    assert count >= 40

    told = told_by("tests.faults.hostile", form)

    assert told == {"kinds": count, "wrong": {}}


def test_work_that_ends_its_process_is_given_up_and_the_rest_is_done() -> None:
    told = told_by("tests.faults.endings")

    assert told == {"cases": len(ENDINGS) * len(ENDING_POSITIONS), "wrong": {}}


FORK = """
import asyncio, os, warnings
from taquba import Queue
from taquba.exceptions import ForkError
from taquba.workflow import RunSpec, Succeed, WorkflowRuntime

warnings.simplefilter("ignore", DeprecationWarning)

async def refused(queue, step):
    calls = [
        lambda: queue.enqueue("emails", b"from the child"),
        lambda: queue.stats(),
        lambda: step.memo.put("key", b"from the child"),
        lambda: Queue.open("memory://"),
    ]
    count = 0
    for call in calls:
        try:
            await call()
        except ForkError:
            count += 1
    return count

async def runner(step):
    child = os.fork()
    if child == 0:
        try:
            # For asyncio, no loop runs in a forked child: it starts one of its own.
            os._exit(asyncio.run(refused(queue, step)))
        finally:
            os._exit(99)
    _, status = os.waitpid(child, 0)
    await step.memo.put("key", b"from the parent")
    return Succeed(b"%d" % os.waitstatus_to_exitcode(status))

async def main():
    global queue
    async with Queue.open("memory://") as queue, WorkflowRuntime(queue, runner) as runtime:
        handles = await runtime.submit_many([RunSpec(b"")] * 3)
        for handle in handles:
            print((await handle.outcome(timeout=20)).result.decode())
        print(list((await queue.stats()).queues))

asyncio.run(main())
"""


def test_a_step_that_forks_goes_on_and_its_child_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "4\n4\n4\n['workflow']\n"), done.stderr
