"""No sink shows a secret, whichever door it came through: each is filled, and read to its end."""

import asyncio
import base64
import contextlib
import io
import logging
import traceback
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from taquba import logs
from taquba.admin import serve
from taquba.cli import main
from taquba.integrations.opentelemetry import (
    instrument_metrics,
    instrument_tracing,
    uninstrument_tracing,
)
from taquba.integrations.prometheus import exposition
from tests.admin.security.asking import ask
from tests.admin.security.routes import READS
from tests.redaction.canary import (
    ADMIN,
    CANARIES,
    GUESS,
    HEADERS,
    PAYLOAD,
    S3_SECRET,
    S3_SESSION,
    STORE_URLS,
    World,
    denied,
    leaks_in,
    world,
)
from tests.webhooks.receiver import receiving


def leaks(shown: dict[str, str]) -> dict[str, list[str]]:
    """What is shown where it must not be."""
    return {name: found for name, text in shown.items() if (found := leaks_in(text))}


@pytest.mark.parametrize("secret", CANARIES)
def test_a_canary_is_found_in_any_spelling(secret: str) -> None:
    texts = [
        f"x{secret}y",
        secret.upper(),
        repr({"a": secret}),
        base64.b64encode(secret.encode()).decode(),
        secret.encode().hex(),
    ]

    assert all(secret in leaks_in(text) for text in texts)
    assert leaks_in("nothing of it") == []


async def test_the_secrets_are_where_they_belong(tmp_path: Path) -> None:
    async with world(tmp_path, raises=True) as shown:
        job = await shown.queue.get_job(shown.job_ids[0])
        result = await shown.queue.get_result("good")

    assert job.headers == HEADERS
    assert job.payload == PAYLOAD.encode()
    assert result is not None
    assert leaks_in(result.decode()) != []
    assert len(shown.errors) >= 12
    assert len(shown.objects) >= 30


async def test_no_log_shows_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
    logging.getLogger().addHandler(handler)
    logs.forward(1)
    try:
        async with world(tmp_path, raises=False):
            pass
    finally:
        logs.stop()
        logging.getLogger().removeHandler(handler)

    records = [repr(record.__dict__) for record in caplog.records]
    names = {record.name.partition(".")[0] for record in caplog.records}
    assert "taquba" in names
    assert any(record.name.startswith("taquba.native.") for record in caplog.records)
    assert leaks({"lines": lines.getvalue(), "records": "\n".join(records)}) == {}


async def test_no_repr_shows_one(tmp_path: Path) -> None:
    shown: dict[str, str] = {}
    async with world(tmp_path, raises=True) as filled:
        for each in filled.objects:
            name = type(each).__name__
            in_notebook = getattr(each, "_repr_html_", str)()
            texts = (repr(each), str(each), f"{each}", in_notebook)
            shown[name] = shown.get(name, "") + "\n".join(texts)

    assert leaks(shown) == {}


async def test_no_error_shows_one(tmp_path: Path) -> None:
    shown: dict[str, str] = {}
    async with world(tmp_path, raises=True) as filled:
        for number, error in enumerate(filled.errors):
            texts = [str(error), repr(error), repr(vars(error)), repr(error.args)]
            texts += getattr(error, "__notes__", [])
            texts += traceback.format_exception(error)
            shown[f"{number} {type(error).__name__}"] = "\n".join(texts)

    assert leaks(shown) == {}


async def test_no_metric_shows_one(tmp_path: Path) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    async with world(tmp_path, raises=True) as filled:
        instrument_metrics(filled.queue, provider)
        collected = await asyncio.to_thread(reader.get_metrics_data)
        shown = {
            "stats": repr(await filled.queue.stats()),
            "metrics": repr(await filled.queue.metrics()),
            "prometheus": (await exposition(filled.queue)).decode(),
            "opentelemetry": "" if collected is None else collected.to_json(),
        }
    provider.shutdown()

    assert "taquba" in shown["prometheus"]
    assert "taquba" in shown["opentelemetry"]
    assert leaks(shown) == {}


async def test_no_span_shows_one(tmp_path: Path) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrument_tracing(provider)
    try:
        async with world(tmp_path, raises=True):
            pass
    finally:
        uninstrument_tracing()

    spans = exporter.get_finished_spans()
    assert len(spans) >= 8
    assert leaks({f"{n} {span.name}": span.to_json() for n, span in enumerate(spans)}) == {}


async def test_no_answer_of_the_admin_api_shows_one(tmp_path: Path) -> None:
    shown: dict[str, str] = {}
    bearer = [("authorization", f"Bearer {ADMIN}")]
    async with world(tmp_path, raises=True) as filled:
        queries = [
            *(
                "",
                "?queue=secrets",
                "?queue=webhooks",
                "?queue=workflow",
                "?queue=secrets&state=dead",
            ),
            *("?run_id=good", "?run_id=fails", "?run_id=raises"),
            *(f"?job_id={job_id}" for job_id in filled.job_ids),
        ]
        for endpoint in READS:
            for query in queries:
                target = f"{endpoint.path}{query}"
                answer = await ask(filled.app, "GET", target, headers=bearer)
                shown[target] = answer.body.decode() + repr(answer.headers)
        shown["refusals"] = "\n".join(filled.answers)

    assert sum(len(text) for text in shown.values()) > 10_000
    assert leaks(shown) == {}


# Words, and what stands after the place of the store.
COMMANDS: list[tuple[str, str]] = [
    *((f"jobs ls --queue {queue}", "") for queue in ("secrets", "webhooks", "workflow")),
    *((words, "") for words in ("queues", "runs ls", "dead ls", "dead groups", "kv ls", "verify")),
    *(("runs show", run_id) for run_id in ("good", "fails", "raises")),
    *(("runs tail", "fails"), ("memo ls", "good")),
    *(("jobs show", str(number)) for number in range(3)),
]


def run_command(words: str, last: str, filled: World, *options: str) -> None:
    """Run a command, whose end is asked elsewhere."""
    names = [filled.job_ids[int(last)] if words == "jobs show" else last] if last else []
    main([*words.split(), *options, *names])


async def shown_by_commands(
    filled: World, capfd: pytest.CaptureFixture[str], *place: str, store: str | None
) -> dict[str, str]:
    """What all commands show, as text and as JSON."""
    shown: dict[str, str] = {}
    for words, last in COMMANDS:
        if words == "verify" and store is None:
            continue
        for option in ((), ("--json",)):
            if option and words == "runs tail":
                continue
            given = [*option, *place, *([] if store is None else [store])]
            await asyncio.to_thread(run_command, words, last, filled, *given)
            out, err = capfd.readouterr()
            shown[f"{words} {last} {option}"] = out + err
            assert "usage:" not in err, words
    return shown


async def test_no_command_shows_one(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with world(tmp_path, raises=True) as filled:
        shown = await shown_by_commands(filled, capfd, store=str(filled.place))

    assert sum(len(text) for text in shown.values()) > 5_000
    assert leaks(shown) == {}


@pytest.mark.parametrize("token", [ADMIN, GUESS])
async def test_no_command_that_asks_the_owner_shows_one(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    token: str,
) -> None:
    monkeypatch.setenv("TAQUBA_ADMIN_TOKEN", token)
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with world(tmp_path, raises=True) as filled:
        serving = asyncio.ensure_future(serve(filled.app, port=0, on_ready=ready.set_result))
        place = ["--admin", await asyncio.wait_for(ready, 20.0)]
        shown = await shown_by_commands(filled, capfd, *place, store=None)
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving

    assert ("set TAQUBA_ADMIN_TOKEN" in shown["queues  ()"]) is (token == GUESS)
    assert leaks(shown) == {}


@pytest.mark.parametrize(
    "words", ["doctor", "doctor --policy", "queues", "verify", "jobs ls --queue a"]
)
async def test_no_command_shows_one_of_a_store_that_refuses(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    async with receiving(denied()) as receiver:
        monkeypatch.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{receiver.port}")
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", S3_SECRET)
        monkeypatch.setenv("AWS_SESSION_TOKEN", S3_SESSION)
        shown: dict[str, str] = {}
        for url in STORE_URLS:
            for option in ((), ("--json",)):
                await asyncio.to_thread(main, [*words.split(), *option, url])
                out, err = capfd.readouterr()
                shown[f"{url} {option}"] = out + err

    assert all(text != "" for text in shown.values())
    assert leaks(shown) == {}
