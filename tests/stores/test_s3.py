"""A queue in an S3 bucket, and every way in which the bucket can be out of reach.

An error that takes too long is a hang: each test here has a timeout of its own.
"""

import socket

import pytest

from taquba import Claim, OpenOptions, Queue, run_worker
from taquba.exceptions import (
    FencedError,
    StoreNotFoundError,
    StorePermissionError,
    StoreUnavailableError,
    TaqubaError,
)
from taquba.store import S3Store
from taquba.workflow import RunSpec, Step, StepOutcome, WorkflowRuntime
from tests.stores.s3 import BUCKET, REGION, S3Server
from tests.waiting import drain

pytestmark = pytest.mark.timeout(60)
# The contract is ten seconds for the call; the rest is for starting the server and the process.
PROMPT = pytest.mark.timeout(25)


async def test_jobs_survive_closing_and_reopening_in_a_bucket(s3: S3Server) -> None:
    async with Queue.open(s3.store(prefix="app")) as queue:
        await queue.enqueue_batch("emails", [b"%d" % n for n in range(100)])

    async with Queue.open(s3.store(prefix="app")) as queue:
        delivered = [claim.payload for claim in await drain(queue, "emails")]

    assert delivered == [b"%d" % n for n in range(100)]


async def test_a_workflow_runs_in_a_bucket(s3: S3Server) -> None:
    async def runner(step: Step) -> StepOutcome:
        if step.step_number < 2:
            return StepOutcome.Continue(step.payload + b".")
        return StepOutcome.Succeed(step.payload)

    async with Queue.open(s3.store()) as queue, WorkflowRuntime(queue, runner) as runtime:
        handles = await runtime.submit_many([RunSpec(b"%d" % n) for n in range(20)])
        results = [(await handle.outcome(timeout=30)).result for handle in handles]

    assert results == [b"%d.." % n for n in range(20)]


async def test_a_url_finds_its_settings_in_the_environment(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret")
    async with Queue.open(f"s3://{BUCKET}/from-url") as queue:
        await queue.enqueue("emails", b"x")

    async with Queue.open(s3.store(prefix="from-url")) as queue:
        assert len(await drain(queue, "emails")) == 1


async def test_a_store_of_obstore_is_adopted(s3: S3Server) -> None:
    obstore_store = pytest.importorskip("obstore.store")
    theirs = obstore_store.S3Store(
        BUCKET,
        prefix="shared",
        endpoint=s3.endpoint,
        region=REGION,
        access_key_id="test-key",
        secret_access_key="test-secret",
        client_options={"allow_http": True},
    )
    async with Queue.open(theirs) as queue:
        await queue.enqueue("emails", b"x")

    async with Queue.open(s3.store(prefix="shared")) as queue:
        assert len(await drain(queue, "emails")) == 1


async def test_a_second_owner_in_a_bucket_fences_the_first(s3: S3Server) -> None:
    first = await Queue.open(s3.store())
    await first.enqueue("emails", b"before")
    async with Queue.open(s3.store()) as second:
        with pytest.raises(FencedError):
            await first.enqueue("emails", b"behind the back")

        delivered = [claim.payload for claim in await drain(second, "emails")]

    assert delivered == [b"before"]


@PROMPT
async def test_a_missing_bucket_is_named(s3: S3Server) -> None:
    with pytest.raises(StoreNotFoundError, match="no-such-bucket") as caught:
        await Queue.open(s3.store(bucket="no-such-bucket"))

    assert isinstance(caught.value, FileNotFoundError)


@PROMPT
async def test_wrong_credentials_are_refused_and_not_shown(s3: S3Server) -> None:
    s3.deny_everyone()

    with pytest.raises(StorePermissionError) as caught:
        await Queue.open(s3.store())

    assert isinstance(caught.value, PermissionError)
    assert "credentials" in str(caught.value)
    assert "test-secret" not in str(caught.value)


@PROMPT
async def test_credentials_that_stop_working_fail_the_next_commit(s3: S3Server) -> None:
    queue = await Queue.open(s3.store())
    await queue.enqueue("emails", b"x")
    s3.deny_everyone()

    with pytest.raises(StorePermissionError):
        await queue.enqueue("emails", b"y")


@PROMPT
async def test_a_worker_whose_store_refuses_its_commits_ends_with_the_error(s3: S3Server) -> None:
    async def send(job: Claim) -> None:
        s3.deny_everyone()

    queue = await Queue.open(s3.store())
    await queue.enqueue("emails", b"x")

    with pytest.raises(StorePermissionError):
        await run_worker(queue, "emails", send, shutdown_timeout=1.0)


@PROMPT
async def test_an_endpoint_that_refuses_connections_is_unavailable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

        with pytest.raises(StoreUnavailableError) as caught:
            await Queue.open(store_at(port))

    assert isinstance(caught.value, ConnectionError)


@PROMPT
async def test_an_endpoint_that_never_answers_is_unavailable() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]

        with pytest.raises(StoreUnavailableError):
            await Queue.open(store_at(port), options=OpenOptions(store_timeout=2.0))


@PROMPT
async def test_a_server_that_is_no_object_store_is_a_typed_error(s3: S3Server) -> None:
    store = S3Store(
        "bucket",
        endpoint=f"{s3.endpoint}/moto-api",
        region=REGION,
        access_key_id="k",
        secret_access_key="s",
        client_options={"allow_http": True},
    )

    with pytest.raises(TaqubaError):
        await Queue.open(store)


def store_at(port: int) -> S3Store:
    """A store whose endpoint is a port of this machine."""
    return S3Store(
        "bucket",
        endpoint=f"http://127.0.0.1:{port}",
        region=REGION,
        access_key_id="k",
        secret_access_key="s",
        client_options={"allow_http": True},
    )
