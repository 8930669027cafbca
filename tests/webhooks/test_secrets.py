"""No secret leaves the process: not in jobs, errors, logs, `repr`, nor over the wire."""

import base64
import logging
from typing import Any

import pytest

from taquba import EnqueueOptions, NewJob, Queue
from taquba.exceptions import InvalidArgumentError
from taquba.webhooks import WebhookTerminalHook, WebhookWorker, webhook_job
from taquba.worker import PermanentFailure, TransientFailure
from tests.webhooks.conftest import Attempt, job_for, worker_for
from tests.webhooks.receiver import answer, receiving
from tests.worker.working import working

CANARY = "CanaryCanaryCanaryCanaryCanaryCa"
SECRET_WITH_CANARY = f"whsec_{CANARY}"
RAW_CANARY = base64.b64decode(CANARY)
URL_CANARY = "UrlCanary4711"


def assert_clean(*texts: object) -> None:
    """Checks that no canary is in what people may see."""
    shown = " ".join(str(text) for text in texts)
    for canary in (CANARY, URL_CANARY, repr(RAW_CANARY)[2:-1], RAW_CANARY.hex()):
        assert canary not in shown


@pytest.mark.parametrize("status", [200, 302, 400, 500])
async def test_a_secret_and_the_path_of_a_url_are_seen_by_the_receiver_alone(
    attempt: Attempt, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with receiving(answer(status)) as receiver:
        worker = worker_for(receiver, secrets={"key-1": SECRET_WITH_CANARY})
        url = f"http://127.0.0.1:{receiver.port}/{URL_CANARY}?{URL_CANARY}"
        job = job_for(receiver, url=url, key_id="key-1")
        raised: list[object] = []
        try:
            await attempt(worker, job)
        except (PermanentFailure, TransientFailure) as error:
            raised = [error, repr(error), error.__cause__, error.__context__]

    [received] = receiver.received
    assert CANARY not in str(received)
    assert CANARY not in str(job.options)
    assert_clean(worker, repr(worker), vars(worker), *raised, caplog.text)


async def test_failures_before_the_answer_show_no_secret(
    attempt: Attempt, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with receiving(b"nonsense\r\n\r\n") as receiver:
        pass
    for host, kind in (("127.0.0.1", TransientFailure), ("10.0.0.1", PermanentFailure)):
        worker = WebhookWorker(
            allow_http=True,
            ports=receiver.ports,
            allow_networks=["127.0.0.0/8"],
            secrets={"key-1": SECRET_WITH_CANARY},
        )
        url = f"http://127.0.0.1:{receiver.port}/{URL_CANARY}"
        job = job_for(receiver, url=url)
        headers = dict(job.options.headers)
        headers["webhook.url"] = url.replace("127.0.0.1", host)
        object.__setattr__(job.options, "headers", headers)
        with pytest.raises(kind) as info:
            await attempt(worker, job)

        assert_clean(info.value, repr(info.value), info.value.__context__, caplog.text)


@pytest.mark.parametrize(
    "url",
    [
        f"http://example.com/{URL_CANARY}",
        f"https://{URL_CANARY}:x@example.com/",
        f"https://example.com:1/{URL_CANARY}",
        f"https://example.com/#{URL_CANARY}",
        f"https://127.0.0.1/{URL_CANARY}",
        f"https://[{URL_CANARY}",
        f"/{URL_CANARY}",
        f"https://example.com/ {URL_CANARY}",
    ],
)
def test_a_refusal_shows_no_path_no_query_and_no_user(url: str) -> None:
    with pytest.raises(InvalidArgumentError) as info:
        webhook_job(url, b"")

    assert_clean(info.value, repr(info.value), vars(info.value))


def test_a_secret_in_the_wrong_place_is_not_shown() -> None:
    wrong: list[dict[str, Any]] = [
        {"secrets": SECRET_WITH_CANARY},
        {"secrets": {"key-1": SECRET_WITH_CANARY + "!"}},
        {"secrets": {"key-1": CANARY}},
        {"secrets": {"key-1": [SECRET_WITH_CANARY, CANARY]}},
        {"secrets": {SECRET_WITH_CANARY + "=": "key-1"}},
        {"secrets": {"a": SECRET_WITH_CANARY, "b": SECRET_WITH_CANARY}},
        {"secrets": {"a": SECRET_WITH_CANARY}, "default_key_id": SECRET_WITH_CANARY + "="},
        {"secrets": {"a": SECRET_WITH_CANARY}, "default_key_id": SECRET_WITH_CANARY},
        {"secrets": {"a": SECRET_WITH_CANARY}, "default_key_id": CANARY},
        {"secrets": {SECRET_WITH_CANARY: "key-1"}},
        {"secrets": {SECRET_WITH_CANARY: SECRET_WITH_CANARY}},
        {"secrets": {SECRET_WITH_CANARY.upper(): SECRET_WITH_CANARY}},
    ]
    for settings in wrong:
        with pytest.raises(InvalidArgumentError) as info:
            WebhookWorker(**settings)

        error = info.value
        assert_clean(error, repr(error), vars(error), error.__context__, error.__cause__)
    for key_id in (SECRET_WITH_CANARY + "=", SECRET_WITH_CANARY):
        with pytest.raises(InvalidArgumentError, match="not the secret") as info:
            webhook_job("https://example.com/", b"", key_id=key_id)
        assert_clean(info.value, vars(info.value))


async def test_a_key_that_is_missing_and_may_be_a_secret_is_not_shown(attempt: Attempt) -> None:
    worker = WebhookWorker()

    # A secret without its beginning is a good name for a key.
    with pytest.raises(TransientFailure, match="no secret for the key `<32 characters>`") as info:
        await attempt(worker, webhook_job("https://example.com/", b"", key_id=CANARY))
    assert_clean(info.value)
    headers = {"webhook.url": "https://example.com/", "webhook.key_id": SECRET_WITH_CANARY}
    with pytest.raises(PermanentFailure, match="not the secret") as refused:
        await attempt(worker, NewJob(b"", EnqueueOptions(headers=headers)))
    assert_clean(refused.value)


async def test_what_a_queue_keeps_of_a_failed_delivery_shows_no_secret(
    queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with receiving(answer(418, body=b"text of the receiver")) as receiver:
        url = f"http://127.0.0.1:{receiver.port}/{URL_CANARY}"
        [job_id] = await queue.enqueue_batch("emails", [job_for(receiver, url=url)])
        worker = worker_for(receiver, secrets={"key-1": SECRET_WITH_CANARY})
        async with working(queue, worker):
            await receiver.has_received(1)

    job = await queue.get_job(job_id)
    history = await queue.attempt_history(job_id)
    assert job.last_error == "host `127.0.0.1` answered 418"
    assert "text of the receiver" not in str(history)
    # The job itself holds the URL: its holder has to know it.
    assert_clean(job, history, job.last_error, caplog.text)


def test_hook_and_worker_show_what_they_are(queue_object: Queue) -> None:
    worker = WebhookWorker(secrets={"key-1": SECRET_WITH_CANARY})
    hook = WebhookTerminalHook(queue_object, "webhooks", key_id="key-1")

    assert repr(worker) == "WebhookWorker(<1 keys>)"
    assert repr(hook) == "WebhookTerminalHook(target_queue='webhooks')"
