"""Poison: a job that kills its process at once uses up its attempts, and one more at most."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from taquba import JobState, OpenOptions, Queue
from tests.waiting import drain

pytestmark = pytest.mark.timeout(180)

# Deliveries are written to a file before the process dies: the kernel keeps what was written.
WORKER = """
import asyncio, os, signal, sys
from taquba import EnqueueOptions, OpenOptions, Queue, run_worker

store, log, max_attempts = sys.argv[1], sys.argv[2], int(sys.argv[3])
file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

async def process(job):
    os.write(file, b"%s %d\\n" % (job.payload, job.attempts))
    if job.payload == b"poison":
        os.kill(os.getpid(), signal.SIGKILL)

async def claim_by_hand(queue):
    while (job := await queue.claim("emails")) is not None:
        await process(job)
        await queue.ack(job)

async def main():
    async with Queue.open(store, options=OpenOptions(fsync=False)) as queue:
        if not (await queue.stats()).queues:
            options = EnqueueOptions(max_attempts=max_attempts)
            await queue.enqueue("emails", b"poison", options)
            # It may be in flight each time that the other one kills the process.
            await queue.enqueue("emails", b"healthy", EnqueueOptions(max_attempts=100))
        if sys.argv[4] == "claim":
            await claim_by_hand(queue)
            return
        shutdown = asyncio.Event()
        worker = asyncio.create_task(run_worker(queue, "emails", process, shutdown=shutdown))
        while (await queue.stats()).queues["emails"].acked_total == 0:
            await asyncio.sleep(0.002)
        shutdown.set()
        await worker

asyncio.run(main())
"""


def work_until_it_ends(store: Path, log: Path, max_attempts: int, how: str) -> None:
    """Starts the worker again and again until it ends by itself."""
    command = [sys.executable, "-c", WORKER, str(store), str(log), str(max_attempts), how]
    for _ in range(max_attempts + 3):
        child = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if child.returncode == 0:
            return
        assert child.returncode == -signal.SIGKILL, child.stderr
    raise AssertionError("the poison was delivered again and again")


@pytest.mark.parametrize("max_attempts", [1, 3])
@pytest.mark.parametrize("how", ["run_worker", "claim"])
async def test_a_job_that_kills_its_process_each_time_is_given_up(
    tmp_path: Path, how: str, max_attempts: int
) -> None:
    store, log = tmp_path / "store", tmp_path / "deliveries"
    work_until_it_ends(store, log, max_attempts, how)

    lines = log.read_text().splitlines()
    deliveries = [line for line in lines if line.startswith("poison")]
    print(json.dumps(lines))
    assert max_attempts <= len(deliveries) <= max_attempts + 1
    assert any(line.startswith("healthy") for line in lines)
    async with Queue.open(store, options=OpenOptions(fsync=False)) as queue:
        [dead] = (await queue.list_jobs("emails", JobState.DEAD)).jobs
        assert (dead.payload_bytes, dead.max_attempts) == (len("poison"), max_attempts)
        assert dead.last_error
        assert await drain(queue, "emails") == []


FAILS_FIRST = """
import asyncio, os, signal, sys
from taquba import OpenOptions, Queue, QueueConfig, RetryJitter, run_worker

file = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
count = 0

async def process(job):
    global count
    count += 1
    os.write(file, b"%d\\n" % job.attempts)
    if count == 1:
        raise ValueError("not yet")
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    config = QueueConfig(
        max_attempts=int(sys.argv[3]), retry_backoff_base=0, retry_jitter=RetryJitter.NONE
    )
    options = OpenOptions(fsync=False, default_queue_config=config)
    async with Queue.open(sys.argv[1], options=options) as queue:
        if not (await queue.stats()).queues:
            await queue.enqueue("emails", b"poison")
        shutdown = asyncio.Event()
        worker = asyncio.create_task(run_worker(queue, "emails", process, shutdown=shutdown))
        while (await queue.stats()).queues["emails"].dead_count == 0:
            await asyncio.sleep(0.002)
        shutdown.set()
        await worker

asyncio.run(main())
"""


@pytest.mark.parametrize("max_attempts", [3, 5])
def test_a_job_that_fails_first_and_kills_its_process_at_its_retry_is_given_up(
    tmp_path: Path, max_attempts: int
) -> None:
    store, log = tmp_path / "store", tmp_path / "deliveries"
    command = [sys.executable, "-c", FAILS_FIRST, str(store), str(log), str(max_attempts)]
    for _ in range(max_attempts + 3):
        child = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if child.returncode == 0:
            break
        assert child.returncode == -signal.SIGKILL, child.stderr

    deliveries = log.read_text().split()
    assert child.returncode == 0
    assert max_attempts <= len(deliveries) <= max_attempts + 1, deliveries


ACK_WITH_AND_DIE = """
import asyncio, os, signal, sys
from taquba import Effects, OpenOptions, Queue

async def main():
    queue = await Queue.open(sys.argv[1], options=OpenOptions(fsync=False))
    await queue.enqueue_batch("emails", [b"%d" % n for n in range(200)])
    print("ready", flush=True)
    while claims := await queue.claim_batch("emails", 8):
        await asyncio.gather(*(
            queue.ack_with(
                claim,
                Effects().enqueue_batch("invoices", [claim.payload] * 3)
                .kv_put("sent/" + claim.payload.decode(), b"yes"),
            )
            for claim in claims
        ))
        print(*(int(claim.payload) for claim in claims), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def acknowledged_before_the_kill(store: Path, line_count: int) -> list[list[str]]:
    """Runs the program, kills it after some lines, and returns the jobs of those lines."""
    command = [sys.executable, "-c", ACK_WITH_AND_DIE, str(store)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    told = [process.stdout.readline().split() for _ in range(line_count)]
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    return told


@pytest.mark.parametrize("acked_lines", [1, 5, 20])
async def test_a_killed_process_leaves_each_settlement_with_all_its_effects_or_none(
    tmp_path: Path, acked_lines: int
) -> None:
    told = acknowledged_before_the_kill(tmp_path, acked_lines)

    async with Queue.open(tmp_path, options=OpenOptions(fsync=False)) as queue:
        left = {claim.payload for claim in await drain(queue, "emails")}
        follow_ups = [claim.payload for claim in await drain(queue, "invoices")]
        for number in range(200):
            payload = b"%d" % number
            flag = await queue.kv_get(f"sent/{number}")
            settled = payload not in left
            assert follow_ups.count(payload) == (3 if settled else 0)
            assert flag == (b"yes" if settled else None)
        acknowledged = {number.encode() for line in told for number in line}
        assert acknowledged & left == set()
