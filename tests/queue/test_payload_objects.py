"""Large payloads: objects of their own, written once, checked when read, gone with their job."""

import asyncio
import random
from pathlib import Path

import pytest

from taquba import (
    Effects,
    EnqueueOptions,
    JobState,
    NewJob,
    OpenOptions,
    Queue,
    QueueConfig,
    RetryJitter,
)
from taquba.exceptions import (
    CorruptedError,
    InputMismatchError,
    PayloadTooLargeError,
    TaqubaError,
)
from taquba.workflow import RunSpec, Step, StepOutcome, TerminalStatus, WorkflowRuntime
from tests.conftest import OpenQueue
from tests.waiting import claim_one, drain, eventually

THRESHOLD = 256 * 1024
PAYLOAD_BYTES_MAX = 64 * 1024 * 1024
LARGE = random.Random("large").randbytes(THRESHOLD + 1)
NO_BACKOFF = QueueConfig(retry_backoff_base=0, retry_jitter=RetryJitter.NONE)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A store whose files the test looks at."""
    return tmp_path / "files"


async def open_disk(disk: Path, **options: object) -> Queue:
    """Opens it."""
    return await Queue.open(disk, options=OpenOptions(fsync=False, **options))  # type: ignore[arg-type]


def objects(disk: Path) -> list[Path]:
    """The payload objects of a store."""
    return sorted(file for file in disk.glob("taquba/payloads/*") if file.is_file())


async def are_gone(disk: Path) -> None:
    """Waits until there is no payload object."""

    async def probe() -> bool:
        return objects(disk) == []

    await eventually(probe, f"the end of {objects(disk)}")


@pytest.mark.parametrize("size", [THRESHOLD, THRESHOLD + 1])
async def test_the_threshold_is_the_largest_payload_in_a_row(disk: Path, size: int) -> None:
    async with await open_disk(disk) as queue:
        await queue.enqueue("files", LARGE[:size])

        assert len(objects(disk)) == (1 if size > THRESHOLD else 0)
        assert (await claim_one(queue, "files")).payload == LARGE[:size]


async def test_the_threshold_is_an_option(disk: Path) -> None:
    async with await open_disk(disk, payload_offload_threshold=0) as queue:
        await queue.enqueue_batch("files", [b"", b"x", b"yy"])

        assert sorted(file.stat().st_size for file in objects(disk)) == [1, 2]
        assert [claim.payload for claim in await drain(queue, "files")] == [b"", b"x", b"yy"]
        await are_gone(disk)


async def test_a_payload_is_written_once_however_often_its_job_is_tried(disk: Path) -> None:
    async with await open_disk(disk, default_queue_config=NO_BACKOFF) as queue:
        await queue.enqueue("files", LARGE)
        written_before = (await queue.stats()).put_bytes
        for _ in range(2):
            claim = await claim_one(queue, "files")
            assert claim.payload == LARGE
            await queue.nack(claim, "again")

        assert (await queue.stats()).put_bytes - written_before < THRESHOLD
        [file] = objects(disk)
        assert file.stat().st_size == len(LARGE)


async def test_an_object_goes_with_its_acked_job(disk: Path) -> None:
    async with await open_disk(disk) as queue:
        await queue.enqueue_batch("files", [LARGE] * 3)
        await queue.ack(await claim_one(queue, "files"))

        async def one_is_gone() -> bool:
            return len(objects(disk)) == 2

        await eventually(one_is_gone, "the end of the acked job's object")
        await drain(queue, "files")
        await are_gone(disk)


async def test_an_object_goes_with_its_cancelled_purged_or_swept_job(disk: Path) -> None:
    async with await open_disk(disk) as queue:
        cancelled, _ = await queue.enqueue_batch("files", [LARGE] * 2)
        await queue.cancel(cancelled)
        await queue.dead_letter(await claim_one(queue, "files"), "no")
        assert len(objects(disk)) >= 1

        await queue.purge_dead("files")

        await are_gone(disk)


async def test_a_dead_job_keeps_its_payload_and_can_be_revived(disk: Path) -> None:
    async with await open_disk(disk) as queue:
        job_id = await queue.enqueue("files", LARGE)
        await queue.dead_letter(await claim_one(queue, "files"), "no")
    async with await open_disk(disk) as queue:
        assert (await queue.get_job(job_id)).payload == LARGE

        await queue.requeue_dead_job(job_id)

        assert (await claim_one(queue, "files")).payload == LARGE


def flip(content: bytes) -> bytes:
    """One bit of rot."""
    return content[:1000] + bytes([content[1000] ^ 1]) + content[1001:]


@pytest.mark.parametrize("damage", [flip, lambda content: content[:-1], lambda content: b"", None])
async def test_a_damaged_payload_is_given_up_with_a_reason_and_stops_nobody(
    disk: Path, damage: object
) -> None:
    async with await open_disk(disk) as queue:
        job_id = await queue.enqueue("files", LARGE)
        await queue.enqueue("files", b"healthy")
    [file] = objects(disk)
    if callable(damage):
        file.write_bytes(damage(file.read_bytes()))
    else:
        file.unlink()

    async with await open_disk(disk) as queue:
        claim = await claim_one(queue, "files")
        assert claim.payload == b"healthy"

        async def is_dead() -> bool:
            return (await queue.stats()).queues["files"].dead_count == 1

        await eventually(is_dead, "the dead letter")
        [dead] = (await queue.dead_jobs("files")).jobs
        assert (dead.job_id, dead.state) == (job_id, JobState.DEAD)
        assert dead.last_error is not None
        assert "payload" in dead.last_error


async def test_reading_a_job_with_a_damaged_payload_is_a_typed_error(disk: Path) -> None:
    async with await open_disk(disk) as queue:
        job_id = await queue.enqueue("files", LARGE)
        [file] = objects(disk)
        file.write_bytes(flip(file.read_bytes()))

        with pytest.raises(CorruptedError, match="payload"):
            await queue.get_job(job_id)

        # The list needs no payload.
        [job] = (await queue.list_jobs("files")).jobs
        assert (job.job_id, job.payload_bytes) == (job_id, len(LARGE))


async def test_an_object_without_a_job_is_swept_at_the_next_open(disk: Path) -> None:
    async with await open_disk(disk) as queue:
        await queue.enqueue("files", LARGE)
        [file] = objects(disk)
        await drain(queue, "files")
        await are_gone(disk)
        await queue.enqueue("files", LARGE[::-1])
    [kept] = objects(disk)
    # As a process leaves it that is killed between the object and its commit.
    file.write_bytes(LARGE)
    stranger = file.with_name("not-ours.txt")
    stranger.write_text("left alone")

    async with await open_disk(disk) as queue:

        async def is_swept() -> bool:
            return not file.exists()

        await eventually(is_swept, "the sweep")
        assert objects(disk) == sorted([kept, stranger])
        assert (await claim_one(queue, "files")).payload == LARGE[::-1]


async def test_a_batch_that_is_refused_leaves_no_object(disk: Path) -> None:
    async with await open_disk(disk) as queue:
        jobs = [LARGE, bytes(PAYLOAD_BYTES_MAX + 1)]
        with pytest.raises(PayloadTooLargeError):
            await queue.enqueue_batch("files", jobs)

        assert await queue.claim("files") is None
    async with await open_disk(disk):
        await are_gone(disk)


async def test_a_job_that_is_a_duplicate_leaves_no_object_of_its_own(disk: Path) -> None:
    keyed = EnqueueOptions(dedup_key="once")
    async with await open_disk(disk) as queue:
        first = await queue.enqueue("files", LARGE, keyed)
        assert await queue.enqueue("files", LARGE[::-1], keyed) == first

        async def only_one_is_left() -> bool:
            return len(objects(disk)) == 1

        await eventually(only_one_is_left, "the end of the second object")
        assert (await claim_one(queue, "files")).payload == LARGE


async def test_large_and_small_payloads_of_one_batch_keep_their_order(
    open_queue: OpenQueue,
) -> None:
    payloads = [b"0", LARGE, b"2", LARGE[::-1], b"4"]
    queue = await open_queue()
    await queue.enqueue_batch("files", [NewJob(payload) for payload in payloads])
    await queue.close()

    again = await open_queue()

    assert [claim.payload for claim in await drain(again, "files")] == payloads


async def test_many_large_payloads_at_once_are_all_delivered(open_queue: OpenQueue) -> None:
    queue = await open_queue()
    payloads = [b"%03d" % n + LARGE for n in range(40)]

    await queue.enqueue_batch("files", payloads)
    claims = await queue.claim_batch("files", 40)

    assert [claim.payload for claim in claims] == payloads


async def test_the_payload_of_a_closed_or_fenced_queue_is_an_error(disk: Path) -> None:
    first = await open_disk(disk)
    async with await open_disk(disk) as second:
        with pytest.raises(TaqubaError):
            await first.enqueue("files", LARGE)
        assert await second.claim("files") is None


async def test_steps_hand_large_payloads_on_and_leave_no_object(disk: Path) -> None:
    seen: list[tuple[int, bool]] = []

    async def runner(step: Step) -> StepOutcome:
        expected = LARGE + b"+" * step.step_number
        seen.append((step.step_number, step.payload == expected))
        if step.step_number < 3:
            return StepOutcome.Continue(step.payload + b"+")
        return StepOutcome.Succeed(step.payload)

    async with await open_disk(disk) as queue:
        async with WorkflowRuntime(queue, runner) as runtime:
            handle = await runtime.submit(RunSpec(LARGE))
            outcome = await handle.outcome(timeout=20)

        assert outcome.result == LARGE + b"+++"
        assert seen == [(number, True) for number in range(4)]
        await are_gone(disk)


async def test_a_run_is_submitted_once_whatever_the_size_of_its_input(
    open_queue: OpenQueue,
) -> None:
    async def runner(step: Step) -> StepOutcome:
        return StepOutcome.Succeed(step.payload[:3])

    queue = await open_queue()
    runtime = WorkflowRuntime(queue, runner)
    first = await runtime.submit(RunSpec(LARGE, run_id="run"))
    again = await runtime.submit(RunSpec(LARGE, run_id="run"))
    with pytest.raises(InputMismatchError):
        await runtime.submit(RunSpec(LARGE[::-1], run_id="run"))

    assert (first.newly_submitted, again.newly_submitted) == (True, False)
    async with runtime:
        assert (await first.outcome(timeout=20)).result == LARGE[:3]


async def test_a_step_whose_payload_is_damaged_fails_its_run_and_says_so(disk: Path) -> None:
    async def runner(step: Step) -> StepOutcome:
        raise AssertionError("a damaged payload was delivered")

    async with await open_disk(disk) as queue:
        await WorkflowRuntime(queue, runner).submit(RunSpec(LARGE, run_id="run"))
    [file] = objects(disk)
    file.write_bytes(flip(file.read_bytes()))

    async with await open_disk(disk) as queue, WorkflowRuntime(queue, runner) as runtime:
        outcome = await runtime.handle("run").outcome(timeout=20)

    assert outcome.status is TerminalStatus.Failed
    assert "payload" in (outcome.error or "")


@pytest.mark.parametrize("size", [10, len(LARGE), 5 * 1024 * 1024])
async def test_a_settlement_that_was_sent_before_a_close_is_carried_out(
    disk: Path, size: int
) -> None:
    queue = await open_disk(disk)
    await queue.enqueue("files", b"x")
    claim = await claim_one(queue, "files")
    settling = asyncio.create_task(
        queue.ack_with(claim, Effects().enqueue("follow-ups", bytes(size)))
    )
    # Sent, and not answered: the object is on its way.
    for _ in range(2):
        await asyncio.sleep(0)

    await queue.close()

    await settling
    async with await open_disk(disk) as again:
        assert await again.claim("files") is None
        assert (await claim_one(again, "follow-ups")).payload == bytes(size)


async def test_a_step_with_a_large_outcome_is_not_repeated_after_a_shutdown(disk: Path) -> None:
    ran: list[int] = []
    ended = asyncio.Event()

    async def runner(step: Step) -> StepOutcome:
        ran.append(step.step_number)
        if step.step_number == 0:
            ended.set()
            return StepOutcome.Continue(LARGE)
        return StepOutcome.Succeed(b"")

    for _ in range(2):
        async with await open_disk(disk) as queue, WorkflowRuntime(queue, runner) as runtime:
            await runtime.submit(RunSpec(b"", run_id="run"))
            await ended.wait()
            # Ends at once: what the step returned may still be on its way.
    async with await open_disk(disk) as queue, WorkflowRuntime(queue, runner) as runtime:
        await runtime.handle("run").outcome(timeout=20)

    assert ran == [0, 1]
