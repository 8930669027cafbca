"""Promises at the moment of death: what was acknowledged stays, and poison is given up."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from taquba import OpenOptions, Queue
from taquba.workflow import RunSpec, Step, StepOutcome, TerminalStatus, WorkflowRuntime
from tests.waiting import drain

pytestmark = pytest.mark.timeout(120)

ACK_AND_DIE = """
import asyncio, os, signal, sys
from taquba import Queue
from taquba.workflow import RunSpec, WorkflowRuntime

async def main():
    queue = await Queue.open(sys.argv[1])
    await queue.enqueue("emails", b"settled before the end")
    [claim] = await queue.claim_batch("emails", 1, lease=30.0)
    await queue.ack(claim)
    await queue.enqueue("emails", b"acknowledged")
    await queue.enqueue_batch("emails", [b"batch"] * 3)
    await WorkflowRuntime(queue, lambda step: None).submit(RunSpec(b"in", run_id="run"))
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""

POISON = """
import asyncio, os, signal, sys
from taquba import Queue
from taquba.workflow import RunSpec, Succeed, WorkflowRuntime

async def runner(step):
    with open(sys.argv[2], "a") as log:
        log.write(f"{step.attempts}\\n")
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    async with Queue.open(sys.argv[1]) as queue, WorkflowRuntime(queue, runner) as runtime:
        handle = await runtime.submit(RunSpec(b"", run_id="poison", max_attempts=2))
        print((await handle.outcome()).status)

asyncio.run(main())
"""


def run_child(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs a program of its own."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


async def test_what_was_acknowledged_is_there_after_sigkill(tmp_path: Path) -> None:
    child = run_child(ACK_AND_DIE, tmp_path / "store")
    assert child.returncode == -signal.SIGKILL, child.stderr

    async def runner(step: Step) -> StepOutcome:
        return StepOutcome.Succeed(step.payload)

    async with Queue.open(tmp_path / "store", options=OpenOptions(fsync=False)) as queue:
        payloads = [claim.payload for claim in await drain(queue, "emails")]
        async with WorkflowRuntime(queue, runner) as runtime:
            handle = await runtime.submit(RunSpec(b"in", run_id="run"))
            outcome = await handle.outcome(timeout=20)

    assert payloads == [b"acknowledged", b"batch", b"batch", b"batch"]
    assert handle.newly_submitted is False
    assert outcome.result == b"in"


async def test_a_step_that_kills_its_process_is_given_up_after_its_attempts(tmp_path: Path) -> None:
    log = tmp_path / "deliveries"
    for _ in range(6):
        child = run_child(POISON, tmp_path / "store", log)
        if child.returncode == 0:
            break
        assert child.returncode == -signal.SIGKILL, child.stderr

    assert child.stdout.strip() == str(TerminalStatus.Failed)
    deliveries = log.read_text().split()
    # Two attempts, and at most one more: a claim younger than a commit may go uncounted, once.
    assert 2 <= len(deliveries) <= 3
    assert deliveries == sorted(deliveries)
