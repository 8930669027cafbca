"""Life, readiness, what an app may do, and that everything it answers is described."""

import subprocess
import sys
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import taquba
from taquba import Queue, QueueReader, Step, StepOutcome, WorkflowRuntime
from taquba.admin import _readiness, create_app
from taquba.exceptions import ArgumentTypeError, InvalidArgumentError
from taquba.store import MemoryStore
from taquba.testing import open_queue
from tests.admin.asking import Asker, asking


async def never(_step: Step) -> StepOutcome:
    raise AssertionError("nothing is worked on here")


async def test_a_process_that_lives_says_so(asker: Asker) -> None:
    assert await asker.get("/api/health") == {"status": "ok"}
    assert await asker.get("/api/ready") == {"status": "ready"}


async def test_a_queue_that_is_closed_is_not_ready(owned: Queue, asker: Asker) -> None:
    await owned.close()

    assert await asker.get("/api/ready", 503) == {"status": "closed"}
    assert await asker.get("/api/health") == {"status": "ok"}
    error = (await asker.get("/api/overview", 503))["error"]
    assert error["code"] == "closed"


async def test_an_owner_whose_store_was_taken_while_it_was_idle_says_so(
    memory: MemoryStore, owned: Queue, asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_readiness, "_CACHED_SECONDS", 0.0)
    monkeypatch.setattr(_readiness, "_OWNER_CACHED_SECONDS", 0.0)
    del owned
    assert await asker.get("/api/ready") == {"status": "ready"}

    async with open_queue(memory):
        assert await asker.get("/api/ready", 503) == {"status": "fenced"}
        info = await asker.get("/api/info")
        overview = await asker.get("/api/overview")

    assert (info["mode"], info["can_act"], overview["mode"]) == ("reader", False, "reader")
    assert await asker.get("/api/ready", 503) == {"status": "fenced"}


async def test_an_owner_says_what_it_may_do(owned: Queue) -> None:
    runtime = WorkflowRuntime(owned, never, queue_name="books")

    async with asking(create_app(owned, runtimes=[runtime])) as asker:
        info = await asker.get("/api/info")

    owner = await owned.owner()
    assert owner is not None
    assert info.pop("csrf")
    assert info.pop("owner")["pid"] == owner.pid
    assert info == {
        "version": taquba.__version__,
        "path": "taquba",
        "mode": "owner",
        "can_act": True,
        "can_submit_runs": ["books"],
        "shows_payloads": False,
        "needs_login": False,
    }


async def test_a_reader_changes_nothing(reading: Asker) -> None:
    info = await reading.get("/api/info")

    assert (info["mode"], info["can_act"], info["can_submit_runs"]) == ("reader", False, [])
    assert (await reading.get("/api/overview"))["mode"] == "reader"
    error = (await reading.post("/api/kv", 403, key="a", value="b"))["error"]
    assert error["code"] == "read-only"


async def test_an_app_without_actions_changes_nothing(owned: Queue) -> None:
    async with asking(create_app(owned, allow_actions=False)) as asker:
        assert (await asker.get("/api/info"))["can_act"] is False
        error = (await asker.post("/api/kv", 403, key="a", value="b"))["error"]

    assert error["code"] == "read-only"
    assert await owned.kv_get("a") is None


async def test_an_app_may_be_mounted_anywhere(owned: Queue) -> None:
    outer = Starlette(routes=[Mount("/ops/taquba", app=create_app(owned))])

    async with asking(outer) as asker:
        assert await asker.get("/ops/taquba/api/health") == {"status": "ok"}
        assert (await asker.get("/ops/taquba/api/nothing", 404))["error"]["code"] == "not-found"
        document = await asker.get("/ops/taquba/api/openapi.json")

    assert document["servers"] == [{"url": "/ops/taquba"}]


async def test_errors_have_one_form(asker: Asker) -> None:
    missing = await asker.get("/api/job", 400)
    unknown = await asker.get("/api/job", 400, job_id="0000000000000001", colour="red")
    twice = await asker.get("/api/job?job_id=a&job_id=b", 400)
    kind = await asker.post("/api/jobs", 400, queue="emails", payload=7)
    name = await asker.get("/api/jobs", 400, queue="no spaces")
    absent = await asker.get("/api/job", 404, job_id="0000000000000001")
    method = await asker.delete("/api/jobs", 405)

    seen = [
        (each["error"]["code"], each["error"]["field"])
        for each in (missing, unknown, twice, kind, name, absent, method)
    ]
    assert seen == [
        ("invalid-field", "job_id"),
        ("unknown-field", "colour"),
        ("invalid-field", "job_id"),
        ("invalid-field", "payload"),
        ("invalid-queue-name", "queue"),
        ("job-not-found", None),
        ("method-not-allowed", None),
    ]


async def test_every_route_is_described(asker: Asker) -> None:
    document = await asker.get("/api/openapi.json")

    paths: dict[str, dict[str, Any]] = document["paths"]
    described = {(method, path) for path, methods in paths.items() for method in methods}
    for method, path in described - {("get", "/api/events")}:
        response = await asker.client.request(method, path)
        # Without the extra `prometheus` there are no metrics, which is told.
        assert response.status_code != 404 or "no-metrics" in response.text, path
    new_job = paths["/api/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert new_job["required"] == ["queue"]
    assert new_job["additionalProperties"] is False


async def test_a_runtime_of_another_queue_is_refused(owned: Queue) -> None:
    async with open_queue() as other:
        runtime = WorkflowRuntime(other, never)

        with pytest.raises(InvalidArgumentError, match="give runtimes of the queue"):
            create_app(owned, runtimes=[runtime])


async def test_two_runtimes_of_one_queue_are_refused(owned: Queue) -> None:
    runtimes = [WorkflowRuntime(owned, never), WorkflowRuntime(owned, never)]

    with pytest.raises(InvalidArgumentError, match="one runtime for each queue"):
        create_app(owned, runtimes=runtimes)


async def test_odd_settings_are_refused(owned: Queue) -> None:
    with pytest.raises(InvalidArgumentError, match="16 to 4,096") as caught:
        create_app(owned, token="short secret")
    with pytest.raises(ArgumentTypeError, match="source"):
        create_app("s3://bucket")  # type: ignore[arg-type]

    assert "short secret" not in str(caught.value)


async def test_a_reader_has_no_metrics(reading: Asker) -> None:
    assert (await reading.get("/metrics", 404))["error"]["code"] == "no-metrics"


async def test_an_owner_has_metrics(owned: Queue, asker: Asker) -> None:
    pytest.importorskip("prometheus_client")
    await owned.enqueue("emails", b"x")

    response = await asker.client.get("/metrics")

    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain")
    assert 'queue="emails"' in response.text


async def test_one_store_has_many_apps(memory: MemoryStore, owned: Queue) -> None:
    await owned.enqueue("emails", b"x")

    async with QueueReader.open(memory) as reader:
        apps = [create_app(owned), create_app(reader)]
        for app in apps:
            async with asking(app) as asker:
                [queue] = (await asker.get("/api/overview"))["queues"]
                assert (queue["name"], queue["pending_count"]) == ("emails", 1)


WITHOUT_STARLETTE = """
import sys
import taquba

assert not {"starlette", "uvicorn", "taquba.admin"} & set(sys.modules)
sys.modules["starlette"] = None
try:
    import taquba.admin
except ImportError as error:
    print(error)
"""


def test_without_the_extra_the_package_says_what_to_install() -> None:
    command = [sys.executable, "-c", WITHOUT_STARLETTE]
    child = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert child.stdout == "install `taquba[admin]` to use `taquba.admin`\n", child.stderr


async def test_an_error_of_ours_is_logged_and_told_without_its_text(
    asker: Asker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("what nobody foresaw")

    monkeypatch.setattr(Queue, "kv_scan", fail)

    answer = await asker.get("/api/kv", 500)

    assert answer["error"]["code"] == "internal"
    assert "foresaw" not in str(answer)
    assert [record.getMessage() for record in caplog.records] == ["a request to '/api/kv' failed"]
    assert "what nobody foresaw" in caplog.text
