"""Secrets that are put through every door of the package, and the looking for them afterwards.

Each is a text that occurs nowhere else, in the shape in which its door is used: what a sink shows
of it is a leak, in whatever spelling.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from starlette.applications import Starlette

from taquba import (
    Continue,
    EnqueueOptions,
    Fail,
    NewJob,
    OpenOptions,
    Queue,
    QueueReader,
    RunSpec,
    Step,
    StepOutcome,
    Succeed,
    WorkflowRuntime,
)
from taquba.admin import create_app
from taquba.exceptions import TaqubaError
from taquba.store import MemoryStore, S3Store
from taquba.webhooks import WebhookWorker
from taquba.worker import TransientFailure
from tests.admin.security.asking import ask
from tests.webhooks.conftest import job_for
from tests.webhooks.receiver import LOOPBACK, answer, receiving

BEARER: Final = "CanaryBearer0QpL7x"
COOKIE: Final = "CanaryCookie1WzT3k"
API_KEY: Final = "CanaryApiKey2RmV9d"
HEADER_URL: Final = "CanaryHeaderUrl3Yh"
WEBHOOK: Final = "CanaryWebhook4canarycanarycanary"
WEBHOOK_PATH: Final = "CanaryHookPath5Gs"
S3_SECRET: Final = "CanaryS3Secret6canarycanarycanarycanary1"  # noqa: S105 - nobody's
S3_SESSION: Final = "CanaryS3Session7Bf"
USERINFO: Final = "CanaryUserinfo8/Jc"
SIGNED: Final = "CanarySignature9Nd"
ADMIN: Final = "CanaryAdminToken10Kr"
GUESS: Final = "CanaryWrongToken11Ue"
ERROR_PASSWORD: Final = "CanaryPassword12Ib"  # noqa: S105 - nobody's
PAYLOAD: Final = "CanaryPayload13Ox"
RESULT: Final = "CanaryResult14Mq"
MEMO: Final = "CanaryMemo15Av"
VALUE: Final = "CanaryValue16Lt"

CANARIES: Final = [
    *(BEARER, COOKIE, API_KEY, HEADER_URL, WEBHOOK, WEBHOOK_PATH, S3_SECRET, S3_SESSION, USERINFO),
    *(SIGNED, ADMIN, GUESS, ERROR_PASSWORD, PAYLOAD, RESULT, MEMO, VALUE),
]

HEADERS: Final = {
    "authorization": f"Bearer {BEARER}",
    "cookie": f"session={COOKIE}",
    "x-api-key": API_KEY,
    "callback": f"https://me:{HEADER_URL}@callback.example/done",
    "tenant": "acme",
}
"""Of jobs and of runs."""

ERROR: Final = (
    f"PUT https://me:{USERINFO}@bucket.example/key?X-Amz-Signature={SIGNED} failed: "
    f"aws_secret_access_key={S3_SECRET}; the header was Authorization: Bearer {BEARER}\n"
    f'{{"password": "{ERROR_PASSWORD}", "token": "{S3_SESSION}"}}'
)
"""What workers and runners say went wrong."""

# What S3 answers to a wrong signature repeats what was signed.
DENIAL: Final = (
    "<?xml version='1.0'?><Error><Code>SignatureDoesNotMatch</Code><Message>no</Message>"
    f"<CanonicalRequest>GET\n/\n\nx-amz-security-token:{S3_SESSION}\n</CanonicalRequest></Error>"
)

STORE_URLS: Final = [
    "s3://bucket/prefix",
    f"s3://AKIAIOSFODNN7EXAMPLE:{USERINFO}@bucket/prefix",
    f"nope://me:{USERINFO}@bucket/prefix?X-Amz-Signature={SIGNED}",
    f"file://me:{USERINFO}@host/prefix",
]
"""All but the first are refused as they stand."""


def denied() -> bytes:
    """The answer of a store that refuses."""
    return answer(403, body=DENIAL.encode())


def spellings(secret: str) -> set[str]:
    """The forms in which a text may be shown."""
    data = secret.encode()
    return {
        secret,
        secret.lower(),
        quote(secret, safe=""),
        json.dumps(secret)[1:-1],
        base64.b64encode(data).decode().rstrip("="),
        data.hex(),
        repr(list(data))[1:-1],
    }


def leaks_in(text: str) -> list[str]:
    """Those canaries that a text shows."""
    lower = text.lower()
    return [each for each in CANARIES if any(form.lower() in lower for form in spellings(each))]


@dataclass
class World:
    """Everything that has touched a secret."""

    queue: Queue
    reader: QueueReader
    runtime: WorkflowRuntime
    app: Starlette
    place: Path
    objects: list[object] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    job_ids: list[str] = field(default_factory=list)

    async def refused(self, call: Any) -> None:
        """Make a call that must fail, and keep its error."""
        try:
            await call
        except (TaqubaError, ValueError, LookupError, TransientFailure) as error:
            self.errors.append(error)
        else:
            message = "this should have failed"
            raise AssertionError(message)


@asynccontextmanager
async def world(place: Path, *, raises: bool) -> AsyncIterator[World]:
    """Put every secret through its door.

    Args:
        place: Where the store is.
        raises: Whether runners also raise errors of their own with a secret in them: `logging`
            gets those with their traceback, as they are.
    """

    async def runner(step: Step) -> StepOutcome:
        shown.objects.append(step)
        match step.run_id, step.step_number:
            case "good", 0:
                await step.memo.get_or_compute("key", lambda: MEMO.encode())
                return Continue(step.payload)
            case "good", _:
                return Succeed(RESULT.encode())
            case "raises", _ if raises:
                raise RuntimeError(ERROR)
        return Fail(ERROR)

    async with await Queue.open(place, options=OpenOptions(fsync=False)) as queue:
        runtime = WorkflowRuntime(queue, runner)
        app = create_app(queue, runtimes=[runtime], token=ADMIN)
        async with await QueueReader.open(place) as reader:
            shown = World(queue, reader, runtime, app, place)
            await _jobs(shown)
            await _runs(shown)
            await _webhooks(shown)
            await _admin(shown)
            await _stores(shown)
            yield shown


async def _jobs(shown: World) -> None:
    queue = shown.queue
    options = EnqueueOptions(headers=HEADERS, max_attempts=2)
    job = NewJob(PAYLOAD.encode(), options)
    shown.job_ids = await queue.enqueue_batch("secrets", [job] * 3)
    claims = await queue.claim_batch("secrets", 2, lease=30.0)
    await queue.nack(claims[0], ERROR, retry_after=3600.0)
    await queue.dead_letter(claims[1], ERROR)
    await queue.kv_put("key", VALUE.encode())
    shown.objects += [queue, shown.reader, options, job, *claims, await queue.kv_scan()]
    await shown.refused(queue.ack(claims[0]))
    await shown.refused(queue.enqueue("secrets", PAYLOAD))  # type: ignore[arg-type]
    await shown.refused(queue.kv_put("key", VALUE))  # type: ignore[arg-type]
    for job_id in shown.job_ids:
        shown.objects += [await queue.get_job(job_id), *await queue.attempt_history(job_id)]


async def _runs(shown: World) -> None:
    specs = [
        RunSpec(PAYLOAD.encode(), run_id=run_id, headers=HEADERS, max_attempts=1)
        for run_id in ("good", "raises", "fails")
    ]
    async with shown.runtime as runtime:
        handles = await runtime.submit_many(specs)
        outcomes = await asyncio.gather(*(handle.outcome(20.0) for handle in handles))
    await shown.refused(shown.runtime.submit(RunSpec(RESULT.encode(), run_id="good")))
    shown.objects += [*specs, *handles, *outcomes, shown.runtime]
    for handle in handles:
        shown.objects.append(await handle.status())
        shown.objects += await shown.queue.step_history(handle.run_id)
    shown.objects += (await shown.queue.list_memos("good")).memos


async def _webhooks(shown: World) -> None:
    async with receiving(answer(500)) as receiver:
        worker = WebhookWorker(
            secrets={"key-1": f"whsec_{WEBHOOK}"},
            default_key_id="key-1",
            allow_http=True,
            allow_networks=LOOPBACK,
            ports=receiver.ports,
        )
        url = f"http://127.0.0.1:{receiver.port}/{WEBHOOK_PATH}?token={SIGNED}"
        await shown.queue.enqueue_batch("webhooks", [job_for(receiver, url=url, key_id="key-1")])
        claim = await shown.queue.claim("webhooks")
        assert claim is not None
        await shown.refused(worker.process(claim))
        await shown.queue.nack(claim, str(shown.errors[-1]))
    shown.objects += [worker, claim]


async def _admin(shown: World) -> None:
    shown.objects += [shown.app, shown.app.state.site]
    kind = ("content-type", "application/json")
    bearer = ("authorization", f"Bearer {ADMIN}")
    for token in (ADMIN, GUESS):
        body = json.dumps({"token": token}).encode()
        login = await ask(shown.app, "POST", "/api/session", headers=[kind], body=body)
        # The cookie is for the browser that has logged in.
        shown.answers.append(login.body.decode())
    for headers, target in (
        ([("authorization", f"Bearer {GUESS}")], "/api/info"),
        ([bearer], f"/api/info?token={ADMIN}"),
        ([bearer], f"/api/job?job_id=Bearer%20{GUESS}"),
        ([bearer], f"/api/job?job_id={shown.job_ids[0]}&payload=1"),
        ([bearer], "/api/run/result?run_id=good"),
    ):
        refused = await ask(shown.app, "GET", target, headers=headers)
        assert refused.status >= 400
        shown.answers.append(refused.body.decode())
    wrong = json.dumps({"queue": "secrets", "payload": PAYLOAD, "headers": [HEADERS]})
    refused = await ask(shown.app, "POST", "/api/jobs", headers=[kind, bearer], body=wrong.encode())
    shown.answers.append(refused.body.decode())


async def _stores(shown: World) -> None:
    async with receiving(denied()) as receiver:
        store = S3Store(
            "bucket",
            endpoint=f"http://127.0.0.1:{receiver.port}",
            region="us-east-1",
            access_key_id="AKIAIOSFODNN7EXAMPLE",
            secret_access_key=S3_SECRET,
            session_token=S3_SESSION,
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )
        await shown.refused(Queue.open(store))
        await shown.refused(QueueReader.open(store))
    shown.objects += [store, MemoryStore()]
    for url in STORE_URLS[1:]:
        await shown.refused(Queue.open(url))
        await shown.refused(QueueReader.open(url))
