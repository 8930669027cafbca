"""The description of the API against the API: schemathesis asks whatever it may describe."""

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taquba import EnqueueOptions, Queue, RunSpec, WorkflowRuntime
from taquba.admin import create_app
from taquba.admin._endpoint import Endpoint
from taquba.store import MemoryStore
from tests.admin.security.asking import TOKEN
from tests.admin.security.conftest import QUEUE, RUNS, never_run
from tests.admin.security.routes import ALL, name_of

EXAMPLES = 5
"""For each operation: as described, and not."""

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]

DESCRIBED = [each for each in ALL if each.media_type in {"application/json", "text/plain"}]
"""Streams are tested elsewhere: what never ends is no answer here."""


@schemathesis.serializer("application/x-ndjson")
def as_lines(_context: Any, value: object) -> bytes:
    """A batch: what was made of the schema of a line, twice."""
    line = value if isinstance(value, bytes) else json.dumps(value).encode()
    return line + b"\n" + line


# What is too large is refused as well, which schemathesis does not count among refusals.
CONFIG = schemathesis.Config.from_dict(
    {"checks": {"negative_data_rejection": {"expected-statuses": [400, 401, 404, 409, 413]}}}
)


class Elsewhere:
    """An app whose queue lives on the loop of another thread: schemathesis brings its own."""

    def __init__(self, app: ASGIApp, loop: asyncio.AbstractEventLoop) -> None:
        self._app = app
        self._loop = loop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        given: list[Message] = []
        while not given or given[-1].get("more_body"):
            given.append(await receive())
        answer = asyncio.run_coroutine_threadsafe(self._answer(scope, given), self._loop)
        for message in await asyncio.wrap_future(answer):
            await send(message)

    async def _answer(self, scope: Scope, given: list[Message]) -> list[Message]:
        parts = iter(given)
        sent: list[Message] = []

        async def receive() -> Message:
            return next(parts, {"type": "http.disconnect"})

        async def send(message: Message) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        return sent


async def fill(queue: Queue, runtime: WorkflowRuntime) -> None:
    """A job of each state, runs and keys, so that there is something to show."""
    await queue.enqueue_batch(QUEUE, [b"payload"] * 20)
    await queue.enqueue(QUEUE, b"later", EnqueueOptions(delay=3600.0, headers={"a": "b"}))
    for claim in await queue.claim_batch(QUEUE, 10, lease=600.0):
        await queue.dead_letter(claim, "bad thing 17")
    await queue.claim_batch(QUEUE, 3, lease=600.0)
    await runtime.submit_many([RunSpec(b"input", run_id=f"run-{n}") for n in range(10)])
    for n in range(10):
        await queue.kv_put(f"key-{n}", b"value" * n)


@pytest.fixture(scope="module")
def described_api() -> Iterator[Any]:
    """The described operations of an app in this process; what it cannot be asked is left out."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(20.0)

    async def start() -> tuple[Queue, ASGIApp]:
        queue = await Queue.open(MemoryStore())
        runtime = WorkflowRuntime(queue, never_run, queue_name=RUNS)
        await fill(queue, runtime)
        return queue, create_app(queue, runtimes=[runtime], token=TOKEN, show_payloads=True)

    async def stop() -> None:
        await queue.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    queue, app = run(start())
    try:
        yield schemathesis.openapi.from_asgi(
            "/api/openapi.json",
            Elsewhere(app, loop),
            config=CONFIG,
            headers={"Authorization": f"Bearer {TOKEN}"},
        )
    finally:
        run(stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("endpoint", "mode"),
    [
        (endpoint, mode)
        for endpoint in DESCRIBED
        for mode in GenerationMode
        if mode.is_positive or endpoint.query or endpoint.fields
    ],
    ids=lambda value: value if isinstance(value, GenerationMode) else name_of(value),
)
def test_the_api_is_as_it_is_described_and_never_fails(
    described_api: Any, endpoint: Endpoint, mode: GenerationMode
) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    if endpoint.method == "DELETE":
        headers["Content-Type"] = "application/json"
    cases = described_api[endpoint.path][endpoint.method].as_strategy(mode)

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def check(case: Any) -> None:
        case.call_and_validate(headers=headers, checks=CHECKS)

    check()
