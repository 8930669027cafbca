"""What commands are tried on: a store with some of everything, and an owner that listens."""

import asyncio
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Self

from taquba import (
    Continue,
    EnqueueOptions,
    Fail,
    OpenOptions,
    Queue,
    QueueConfig,
    RunSpec,
    Step,
    StepError,
    StepOutcome,
    Succeed,
    WorkflowRuntime,
)
from taquba.admin import create_app, serve

HOSTILE = "\x1b[31mred\x1b[0m \u202eevil\u2066 \x07\x9b \u200b"
"""What a terminal must not get as it is."""

SECRET = "password=hunter2"  # noqa: S105 - shows whether it is hidden
HOUR = 3600

OPTIONS = OpenOptions(fsync=False, default_queue_config=QueueConfig(max_attempts=2))


async def runner(step: Step) -> StepOutcome:
    """Three steps and a result; what is asked for otherwise."""
    if step.payload == b"broken":
        raise StepError.permanent(f"no such language {HOSTILE} {SECRET}")
    if step.payload == b"fails":
        return Fail("gave up")
    if step.step_number < 2:
        await step.memo.put("answer", b"forty-two")
        return Continue(step.payload)
    return Succeed(b"the result\n")


async def fill(store: Path) -> None:
    """Fill a store: jobs in each state, runs of each kind, memos, keys."""
    async with Queue.open(store, options=OPTIONS) as queue:
        headers = {"tenant": "7", "Authorization": "Bearer abcdefgh", "odd": HOSTILE}
        await queue.enqueue("emails", b"ada@example.com", EnqueueOptions(headers=headers))
        await queue.enqueue("emails", b"\xff\x00", EnqueueOptions(delay=HOUR, dedup_key="one"))
        for number in range(3):
            await queue.enqueue("broken", b"%d" % number)
            claim = await queue.claim("broken")
            assert claim is not None
            await queue.dead_letter(claim, f"line {number} is wrong {HOSTILE} {SECRET}")
        await queue.kv_put("a/1", b"one")
        await queue.kv_put("a/2", b"\xfe")
        await queue.kv_put("b/1", HOSTILE.encode())
        async with WorkflowRuntime(queue, runner, queue_name="books") as runtime:
            for name in ("good", "broken", "fails"):
                spec = RunSpec(name.encode(), run_id=name, headers={"tenant": name})
                await (await runtime.submit(spec)).outcome(timeout=20)
        await WorkflowRuntime(queue, runner, queue_name="books").submit(
            RunSpec(b"good", run_id="waiting")
        )


class OwnerThread:
    """The owner of a store, with a runtime for the queue `books`, in a thread of its own.

    Args:
        store: The store.
        token: What the admin app wants, if anything.
        works: Whether the runtime works.
    """

    def __init__(self, store: Path, token: str | None = None, *, works: bool = True) -> None:
        self._store = store
        self._token = token
        self._works = works
        self._ready: SimpleQueue[str | BaseException] = SimpleQueue()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._run)
        self.address = ""

    def __enter__(self) -> Self:
        self._thread.start()
        answer = self._ready.get(timeout=30)
        if isinstance(answer, BaseException):
            raise answer
        self.address = answer
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        try:
            asyncio.run(self._own())
        except BaseException as error:  # noqa: BLE001 - the test raises it
            self._ready.put(error)

    async def _own(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with Queue.open(self._store, options=OPTIONS) as queue:
            runtime = WorkflowRuntime(queue, runner, queue_name="books")
            app = create_app(queue, runtimes=[runtime], token=self._token, show_payloads=True)
            serving = asyncio.create_task(serve(app, port=0, on_ready=self._ready.put))
            if self._works:
                async with runtime:
                    await self._end.wait()
            else:
                await self._end.wait()
            serving.cancel()
            await asyncio.wait((serving,))
