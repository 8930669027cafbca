"""What is counted beside the engine: calls of hooks, and deliveries of webhooks."""

import asyncio
import threading

import pytest

from taquba import Queue, RunOutcome, RunSpec, Step, StepOutcome, WorkflowRuntime
from taquba._counters import BOUNDS_SECONDS, Durations
from taquba.integrations.prometheus import exposition
from taquba.webhooks import WebhookWorker, webhook_job
from taquba.worker import PermanentFailure, Postponed, TransientFailure
from tests.integrations.scrapes import Scrape
from tests.waiting import claim_one, eventually

HOOKS = "taquba_hook_duration_seconds"
WEBHOOKS = "taquba_webhook_duration_seconds"


async def succeed(step: Step) -> StepOutcome:
    """A run of one step."""
    return StepOutcome.Succeed(step.payload)


async def test_calls_of_hooks_are_counted_by_how_they_ended(queue: Queue) -> None:
    before = Scrape(await exposition(queue))
    calls = 0

    async def hook(outcome: RunOutcome) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("the first one fails")

    async def told_twice() -> bool:
        return calls == 2

    async with WorkflowRuntime(queue, succeed, hook=hook) as runtime:
        await runtime.submit(RunSpec(b""))
        await eventually(told_twice, "the hook's second call")

    after = Scrape(await exposition(queue))

    def grown(name: str, end: str) -> float:
        return after.get(name, end=end) - before.get(name, end=end)

    assert grown(f"{HOOKS}_count", "failed") == 1
    assert grown(f"{HOOKS}_count", "done") == 1
    assert grown(f"{HOOKS}_sum", "done") > 0


async def test_deliveries_of_webhooks_are_counted_by_how_they_ended(queue: Queue) -> None:
    before = Scrape(await exposition(queue))
    # The worker's rules are stricter than those of whoever made the job: nothing is sent.
    job = webhook_job("https://127.0.0.1/", b"", allow_networks=["127.0.0.0/8"])
    await queue.enqueue_batch("webhooks", [job])
    claim = await claim_one(queue, "webhooks")

    with pytest.raises(PermanentFailure):
        await WebhookWorker().process(claim)

    after = Scrape(await exposition(queue))
    name = f"{WEBHOOKS}_count"
    assert after.get(name, end="refused") - before.get(name, end="refused") == 1
    assert after.get(name, end="done") == before.get(name, end="done")


async def test_they_are_shown_once_for_all_queues(queue: Queue) -> None:
    async with Queue.open("memory://") as other:
        scrape = Scrape(await exposition({"a": queue, "b": other}))

    families = list(scrape.family_names())
    assert families.count(HOOKS) == families.count(WEBHOOKS) == 1
    assert "store" not in scrape.labels_of(f"{HOOKS}_count")


ENDS: dict[type[BaseException], str] = {
    PermanentFailure: "refused",
    Postponed: "postponed",
    asyncio.CancelledError: "interrupted",
}


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (PermanentFailure("no"), "refused"),
        (Postponed("later", retry_after=1), "postponed"),
        (TransientFailure("no"), "failed"),
        (asyncio.CancelledError(), "interrupted"),
        (KeyError("ours"), "failed"),
    ],
    ids=repr,
)
def test_what_a_call_raised_says_how_it_ended(error: BaseException, end: str) -> None:
    durations = Durations()

    with pytest.raises(type(error)), durations.measured(ENDS):
        raise error

    assert {name: sum(counts.buckets) for name, counts in durations.read().items()} == {end: 1}


def test_a_duration_is_in_the_bucket_whose_bound_it_does_not_pass() -> None:
    durations = Durations()

    durations.add("done", BOUNDS_SECONDS[1])
    durations.add("done", BOUNDS_SECONDS[1] * 1.01)
    durations.add("done", BOUNDS_SECONDS[-1] + 1)

    [counts] = durations.read().values()
    assert len(counts.buckets) == len(BOUNDS_SECONDS) + 1
    assert [index for index, count in enumerate(counts.buckets) if count] == [
        1,
        2,
        len(BOUNDS_SECONDS),
    ]
    assert counts.seconds == pytest.approx(BOUNDS_SECONDS[1] * 2.01 + BOUNDS_SECONDS[-1] + 1)


def test_calls_of_several_threads_are_all_counted() -> None:
    durations = Durations()

    def call() -> None:
        for _ in range(2_000):
            with durations.measured(ENDS):
                pass

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(durations.read()["done"].buckets) == 8_000
