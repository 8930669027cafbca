"""The calls: each awaitable one of the package, and what it needs."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from taquba import (
    Effects,
    EnqueueOptions,
    MemoStore,
    Queue,
    QueueReader,
    RunOutcome,
    RunSpec,
    TerminalStatus,
)
from taquba.store import MemoryStore
from taquba.webhooks import WebhookTerminalHook
from taquba.workflow import NoopTerminalHook, Step, StepOutcome, WorkflowRuntime
from tests.interruption.scene import LEASE_SECONDS, Call, Case, Scene

__all__ = ["CASES", "LEFT_OUT"]

LARGE: Final = bytes(range(256)) * 1500
"""An object of its own."""
OTHER_PATH: Final = "other"


def on_queue(name: str, *args: Any, **kwargs: Any) -> Call:
    """A method of the queue."""
    return lambda scene: _call(scene.queue, name, *args, **kwargs)


def settling(name: str, *args: Any, **kwargs: Any) -> Call:
    """A method of the queue that takes the claim."""
    return lambda scene: _call(scene.queue, name, scene.claim, *args, **kwargs)


def _call(thing: Any, name: str, *args: Any, **kwargs: Any) -> Awaitable[Any]:
    called: Awaitable[Any] = getattr(thing, name)(*args, **kwargs)
    return called


async def job(scene: Scene) -> None:
    """A pending job."""
    scene.job_id = await scene.queue.enqueue("emails", b"x")


async def three_jobs(scene: Scene) -> None:
    """Three of them."""
    await scene.queue.enqueue_batch("emails", [b"0", LARGE, b"2"])


async def later_job(scene: Scene) -> None:
    """A scheduled job."""
    options = EnqueueOptions(delay=LEASE_SECONDS)
    scene.job_id = await scene.queue.enqueue("emails", b"x", options)


async def claim(scene: Scene) -> None:
    """A claimed job."""
    await scene.claimed()


async def dead_jobs(scene: Scene) -> None:
    """Three dead ones."""
    await scene.claimed(3)
    await scene.queue.dead_letter(scene.claim, "no")
    for one in (await scene.queue.list_jobs("emails")).jobs[1:]:
        assert one.job_id != scene.job_id


async def key(scene: Scene) -> None:
    """A key with a value."""
    await scene.queue.kv_put("key", b"old")


async def run(scene: Scene) -> None:
    """A run that waits, and a runtime that does not work."""
    scene.runtime = WorkflowRuntime(scene.queue, no_runner)
    await scene.runtime.submit(RunSpec(b"in", run_id="waits"))


async def ended_run(scene: Scene) -> None:
    """A run that was cancelled."""
    await run(scene)
    await scene.runtime.cancel("waits")


async def held_step(scene: Scene) -> None:
    """A step that is being delivered."""
    await scene.holding()


async def memos(scene: Scene) -> None:
    """A store of memos, with one memo and one mark."""
    scene.memos = await scene.stack.enter_async_context(MemoStore(MemoryStore()))
    await scene.memos.new_memo("run", 0).put("old", b"old")
    await scene.memos.write_terminal_marker("run", 1)


async def token(scene: Scene) -> None:
    """A claim whose job was cancelled."""
    await scene.claimed()
    await scene.queue.cancel(scene.job_id)


async def no_runner(step: Step) -> StepOutcome:
    """Never runs."""
    raise AssertionError("nothing runs here")


async def look_at_step(scene: Scene) -> Any:
    """The memos of the step in flight."""
    return [await scene.step.memo.get(name) for name in ("old", "new")]


async def look_at_memos(scene: Scene) -> Any:
    """What is in the store of memos."""
    memo = scene.memos.new_memo("run", 0)
    marks = [mark.run_id for mark in await scene.memos.list_terminal_markers()]
    return [await memo.get(name) for name in ("old", "new")], marks


async def look_at_other(scene: Scene) -> Any:
    """The other path has no owner that is in the way, or comes back."""
    async with Queue.open(scene.store, OTHER_PATH) as other:
        await other.enqueue("emails", b"x", EnqueueOptions(dedup_key="looked"))
        return (await other.stats()).queues["emails"].pending_count


async def closed(thing: Any) -> None:
    """Closes what was opened."""
    await thing.close()


def effects() -> Effects:
    """Two jobs, one of them an object of its own, and a key."""
    return Effects().enqueue_batch("follow-ups", [b"x", LARGE]).kv_put("flag", b"yes")


def reading(owner: str, call: Callable[[Scene, Any], Awaitable[Any]]) -> Case:
    """A call that changes nothing, of the queue or of a reader."""

    async def read(scene: Scene) -> Any:
        if owner == "Queue":
            return await call(scene, scene.queue)
        async with QueueReader.open(scene.store, scene.path) as reader:
            return await call(scene, reader)

    return Case(read, ended_run_and_jobs)


async def ended_run_and_jobs(scene: Scene) -> None:
    """Something of each kind."""
    await job(scene)
    await key(scene)
    await ended_run(scene)


READS: Final[dict[str, Callable[[Scene, Any], Awaitable[Any]]]] = {
    "stats": lambda _, q: q.stats(),
    "list_queues": lambda _, q: q.list_queues(),
    "list_jobs": lambda _, q: q.list_jobs("emails"),
    "dead_jobs": lambda _, q: q.dead_jobs("emails"),
    "get_job": lambda scene, q: q.get_job(scene.job_id),
    "attempt_history": lambda scene, q: q.attempt_history(scene.job_id),
    "get_run": lambda _, q: q.get_run("waits"),
    "list_runs": lambda _, q: q.list_runs(),
    "step_history": lambda _, q: q.step_history("waits"),
    "get_result": lambda _, q: q.get_result("waits"),
    "list_memos": lambda _, q: q.list_memos("waits"),
    "get_memo": lambda _, q: q.get_memo("waits", 0, "key"),
    "oldest_pending": lambda _, q: q.oldest_pending("emails"),
    "owner": lambda _, q: q.owner(),
    "kv_get": lambda _, q: q.kv_get("key"),
    "kv_scan": lambda _, q: q.kv_scan(),
}

SPECS: Final = [RunSpec(b"", run_id=f"run-{number}") for number in range(3)]
OUTCOME: Final = RunOutcome("run", TerminalStatus.Failed, error="no")

CASES: Final[dict[str, Case]] = {
    "Queue.enqueue": Case(on_queue("enqueue", "emails", b"x"), wakes="emails"),
    "Queue.enqueue large": Case(on_queue("enqueue", "emails", LARGE), wakes="emails"),
    "Queue.enqueue_batch": Case(
        on_queue("enqueue_batch", "emails", [b"x", LARGE, b"z"]), wakes="emails"
    ),
    "Queue.claim": Case(on_queue("claim", "emails", LEASE_SECONDS), three_jobs, gives_back=True),
    "Queue.claim_batch": Case(
        on_queue("claim_batch", "emails", 5, LEASE_SECONDS), three_jobs, gives_back=True
    ),
    "Queue.claim_with_wait": Case(
        on_queue("claim_with_wait", "emails", lease=LEASE_SECONDS), three_jobs, gives_back=True
    ),
    "Queue.claim_with_wait in vain": Case(on_queue("claim_with_wait", "emails", timeout=0.001)),
    "Queue.renew": Case(settling("renew", 2 * LEASE_SECONDS), claim),
    "Queue.ensure_at_least": Case(settling("ensure_at_least", 2 * LEASE_SECONDS), claim),
    "Queue.ack": Case(settling("ack"), claim),
    "Queue.nack": Case(settling("nack", "no"), claim),
    "Queue.nack at once": Case(settling("nack", "no", retry_after=0), claim, wakes="emails"),
    "Queue.dead_letter": Case(settling("dead_letter", "no"), claim),
    "Queue.ack_with": Case(settling("ack_with", effects()), claim, wakes="follow-ups"),
    "Queue.nack_with": Case(settling("nack_with", "no", effects()), claim, wakes="follow-ups"),
    "Queue.dead_letter_with": Case(
        settling("dead_letter_with", "no", effects()), claim, wakes="follow-ups"
    ),
    "Queue.cancel": Case(lambda scene: scene.queue.cancel(scene.job_id), job),
    "Queue.cancel claimed": Case(lambda scene: scene.queue.cancel(scene.job_id), claim),
    "Queue.wake_scheduled": Case(
        lambda scene: scene.queue.wake_scheduled(scene.job_id), later_job, wakes="emails"
    ),
    "Queue.requeue_dead_job": Case(
        lambda scene: scene.queue.requeue_dead_job(scene.job_id), dead_jobs, wakes="emails"
    ),
    "Queue.purge_dead": Case(on_queue("purge_dead", "emails"), dead_jobs),
    "Queue.metrics": Case(on_queue("metrics"), job),
    "Queue.kv_put": Case(on_queue("kv_put", "key", b"new"), key),
    "Queue.kv_delete": Case(on_queue("kv_delete", "key"), key),
    "Queue.kv_compare_put": Case(on_queue("kv_compare_put", "key", b"old", b"new"), key),
    "Queue.kv_compare_delete": Case(on_queue("kv_compare_delete", "key", b"old"), key),
    "Queue.open": Case(
        lambda scene: _open(Queue.open(scene.store, OTHER_PATH)), look=look_at_other, undo=closed
    ),
    "QueueReader.open": Case(
        lambda scene: _open(QueueReader.open(scene.store, scene.path)), job, undo=closed
    ),
    "QueueReader.close": Case(lambda scene: _opened_and_closed(scene), job),
    **{
        f"{owner}.{name}": reading(owner, call)
        for owner in ("Queue", "QueueReader")
        for name, call in READS.items()
    },
    "WorkflowRuntime.submit": Case(
        lambda scene: WorkflowRuntime(scene.queue, no_runner).submit(SPECS[0]), wakes="workflow"
    ),
    "WorkflowRuntime.submit_many": Case(
        lambda scene: WorkflowRuntime(scene.queue, no_runner).submit_many(SPECS), wakes="workflow"
    ),
    "WorkflowRuntime.cancel": Case(lambda scene: scene.runtime.cancel("waits"), run),
    "WorkflowRuntime.cancel running": Case(lambda scene: scene.runtime.cancel("held"), held_step),
    "WorkflowRuntime.status": Case(lambda scene: scene.runtime.status("waits"), run),
    "WorkflowRuntime.list_runs": Case(lambda scene: scene.runtime.list_runs(), run),
    "RunHandle.outcome": Case(lambda scene: scene.runtime.handle("waits").outcome(), ended_run),
    "RunHandle.outcome until ended": Case(
        lambda scene: asyncio.gather(
            scene.runtime.handle("waits").outcome(), scene.runtime.cancel("waits")
        ),
        run,
    ),
    "RunHandle.status": Case(lambda scene: scene.runtime.handle("waits").status(), run),
    "RunHandle.cancel": Case(lambda scene: scene.runtime.handle("waits").cancel(), run),
    "Memo.get": Case(lambda scene: scene.step.memo.get("old"), held_step, look_at_step),
    "Memo.put": Case(lambda scene: scene.step.memo.put("new", b"new"), held_step, look_at_step),
    "Memo.put large": Case(
        lambda scene: scene.step.memo.put("new", LARGE), held_step, look_at_step
    ),
    "Memo.get_or_compute": Case(
        lambda scene: scene.step.memo.get_or_compute("new", lambda: b"new"), held_step, look_at_step
    ),
    "Memo.put object": Case(
        lambda scene: scene.memos.new_memo("run", 0).put("new", b"new"), memos, look_at_memos
    ),
    "StepLease.ensure_at_least": Case(
        lambda scene: scene.step.lease.ensure_at_least(2 * LEASE_SECONDS), held_step
    ),
    "MemoStore.write_terminal_marker": Case(
        lambda scene: scene.memos.write_terminal_marker("other", 2), memos, look_at_memos
    ),
    "MemoStore.list_terminal_markers": Case(
        lambda scene: scene.memos.list_terminal_markers(), memos, look_at_memos
    ),
    "MemoStore.delete_terminal_marker": Case(
        lambda scene: _delete_mark(scene), memos, look_at_memos
    ),
    "MemoStore.clear_memos_for_run": Case(
        lambda scene: scene.memos.clear_memos_for_run("run"), memos, look_at_memos
    ),
    "CancelToken.wait": Case(lambda scene: scene.claim.cancel_token.wait(), token),
    "CancelToken.wait until fired": Case(
        lambda scene: asyncio.gather(
            scene.claim.cancel_token.wait(), scene.queue.cancel(scene.job_id)
        ),
        claim,
    ),
    "NoopTerminalHook.on_termination": Case(lambda _: NoopTerminalHook().on_termination(OUTCOME)),
    "WebhookTerminalHook.on_termination": Case(
        lambda scene: WebhookTerminalHook(scene.queue, "hooks").on_termination(OUTCOME)
    ),
}


async def _open(opening: Any) -> Any:
    return await opening


async def _opened_and_closed(scene: Scene) -> None:
    reader = await QueueReader.open(scene.store, scene.path)
    await reader.close()


async def _delete_mark(scene: Scene) -> None:
    [mark] = await scene.memos.list_terminal_markers()
    await scene.memos.delete_terminal_marker(mark)


LEFT_OUT: Final[dict[str, str]] = {
    "Queue.close": "ends the scene: see `test_loops.py`",
    "MemoStore.close": "the same",
    "WorkflowRuntime.run": "goes on until it is ended: see `test_loops.py`",
    "run_worker": "the same",
    "WebhookWorker.process": "needs a receiver: see `test_loops.py`",
    "StepRunner.run_step": "a protocol: users write it",
    "TerminalHook.on_termination": "the same",
    "Worker.process": "the same",
}
"""Awaitable calls that have no case here, and why."""
