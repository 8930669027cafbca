"""Jobs over HTTP: listing, showing, adding, cancelling, requeueing, waking."""

import base64

from taquba import JobState, MockClock, Queue
from taquba.admin import create_app
from tests.admin.asking import Asker, asking
from tests.waiting import claim_one


async def test_jobs_are_listed_page_by_page(owned: Queue, asker: Asker) -> None:
    ids = await owned.enqueue_batch("emails", [b"x"] * 5)

    first = await asker.get("/api/jobs", queue="emails", limit=3)
    rest = await asker.get("/api/jobs", queue="emails", limit=3, cursor=first["cursor"])

    assert [job["job_id"] for job in first["jobs"] + rest["jobs"]] == ids
    assert rest["cursor"] is None
    job = first["jobs"][0]
    assert (job["state"], job["kind"], job["payload_bytes"]) == ("pending", "job", 1)
    assert job["enqueued_at"] == "2030-01-01T00:00:00.000Z"
    assert "payload" not in job


async def test_jobs_are_listed_by_state(owned: Queue, asker: Asker, reading: Asker) -> None:
    await owned.enqueue_batch("strict", [b"x"] * 3)
    await owned.dead_letter(await claim_one(owned, "strict"), "no")

    for who in (asker, reading):
        dead = await who.get("/api/jobs", queue="strict", state="dead")
        pending = await who.get("/api/jobs", queue="strict", state="pending")
        assert [job["last_error"] for job in dead["jobs"]] == ["no"]
        assert len(pending["jobs"]) == 2


async def test_a_queue_that_is_not_there_has_no_jobs(asker: Asker) -> None:
    assert await asker.get("/api/jobs", queue="nothing") == {"jobs": [], "cursor": None}


async def test_a_job_is_added_with_all_its_settings(owned: Queue, asker: Asker) -> None:
    answer = await asker.post(
        "/api/jobs",
        201,
        queue="emails",
        payload="grüße",
        headers={"tenant": "7"},
        priority=3,
        delay_seconds=60,
        dedup_key="once",
        max_attempts=9,
    )

    job = await owned.get_job(answer["job_id"])
    assert job.payload == "grüße".encode()
    assert (job.state, job.headers, job.priority) == (JobState.SCHEDULED, {"tenant": "7"}, 3)
    assert (job.dedup_key, job.max_attempts) == ("once", 9)
    shown = (await asker.get("/api/scheduled", queue="emails"))["jobs"]
    assert [each["run_at"] for each in shown] == ["2030-01-01T00:01:00.000Z"]


async def test_a_payload_may_be_any_bytes(owned: Queue, asker: Asker) -> None:
    encoded = base64.b64encode(b"\x00\xff").decode()

    answer = await asker.post("/api/jobs", 201, queue="emails", payload_base64=encoded)
    both = await asker.post("/api/jobs", 400, queue="e", payload="x", payload_base64=encoded)
    neither = await asker.post("/api/jobs", 400, queue="e")
    odd = await asker.post("/api/jobs", 400, queue="e", payload_base64="###")

    assert (await owned.get_job(answer["job_id"])).payload == b"\x00\xff"
    assert [each["error"]["field"] for each in (both, neither, odd)] == [
        "payload",
        "payload",
        "payload_base64",
    ]


async def test_what_the_package_refuses_is_refused_here(asker: Asker) -> None:
    reserved = await asker.post("/api/jobs", 400, queue="e", payload="", headers={"workflow.a": ""})
    long = await asker.post(
        "/api/jobs", 413, queue="e", payload="", headers={"a": "x" * 65_000, "b": "x" * 9_000}
    )

    assert reserved["error"]["code"] == "reserved-header"
    assert long["error"]["code"] == "headers-too-large"


async def test_a_batch_is_added_in_order(owned: Queue, asker: Asker) -> None:
    lines = b'{"payload":"a"}\n{"payload":"b","priority":1}\n'

    answer = await asker.lines("/api/jobs/batch", 201, lines, queue="emails")

    jobs = [await owned.get_job(job_id) for job_id in answer["job_ids"]]
    assert [(job.payload, job.priority == 1) for job in jobs] == [(b"a", False), (b"b", True)]


async def test_a_bad_line_is_named_and_nothing_is_added(owned: Queue, asker: Asker) -> None:
    good = b'{"payload":"a"}\n'
    path = "/api/jobs/batch"

    broken = await asker.lines(path, 400, good + b"{\n", queue="emails")
    blank = await asker.lines(path, 400, good + b"\n" + good, queue="emails")
    reserved = b'{"payload":"","headers":{"workflow.a":""}}'
    refused = await asker.lines(path, 400, good * 2 + reserved, queue="emails")
    too_many = await asker.lines(path, 413, b"{}\n" * 10_001, queue="emails")
    empty = await asker.lines(path, 400, b"", queue="emails")

    assert broken["error"]["message"].startswith("line 2: ")
    assert blank["error"]["message"].startswith("line 2: ")
    assert refused["error"]["message"].startswith("line 3: ")
    assert too_many["error"]["code"] == "batch-too-large"
    assert empty["error"]["code"] == "invalid-body"
    assert await owned.list_queues() == []


async def test_a_waiting_job_is_cancelled_and_a_claimed_one_is_asked_to_stop(
    owned: Queue, asker: Asker
) -> None:
    claimed_id, waiting_id = await owned.enqueue_batch("emails", [b"x"] * 2)
    claim = await claim_one(owned, "emails")

    removed = await asker.post("/api/job/cancel", job_id=waiting_id)
    requested = await asker.post("/api/job/cancel", job_id=claimed_id)

    assert (removed, requested) == ({"became": "removed"}, {"became": "requested"})
    assert claim.cancel_token.is_cancelled
    assert (await asker.post("/api/job/cancel", 404, job_id=waiting_id))["error"]["code"] == (
        "job-not-found"
    )


async def test_a_dead_job_is_requeued(owned: Queue, asker: Asker) -> None:
    job_id = await owned.enqueue("strict", b"x")
    await owned.nack(await claim_one(owned, "strict"), "no")

    assert await asker.post("/api/job/requeue", job_id=job_id) == {}

    assert (await owned.get_job(job_id)).state is JobState.PENDING
    again = await asker.post("/api/job/requeue", 409, job_id=job_id)
    assert again["error"]["code"] == "wrong-job-state"


async def test_a_scheduled_job_is_woken(owned: Queue, asker: Asker) -> None:
    answer = await asker.post("/api/jobs", 201, queue="emails", payload="", delay_seconds=3600)

    assert await asker.post("/api/job/wake", job_id=answer["job_id"]) == {}

    assert (await owned.get_job(answer["job_id"])).state is JobState.PENDING


async def test_a_job_is_shown_with_its_deliveries(
    owned: Queue, asker: Asker, clock: MockClock
) -> None:
    job_id = await owned.enqueue("emails", b"x")
    claim = await claim_one(owned, "emails")
    clock.advance(2)
    await owned.nack(claim, "no luck: password=hunter2")

    answer = await asker.get("/api/job", job_id=job_id)

    assert answer["attempts"] == [
        {
            "number": 1,
            "started_at": "2030-01-01T00:00:00.000Z",
            "ended_at": "2030-01-01T00:00:02.000Z",
            "end": "nacked",
            "error": "no luck: password=[redacted]",
        }
    ]
    assert answer["job"]["last_error"] == "no luck: password=[redacted]"
    assert answer["payload"] is None


async def test_payloads_are_hidden_unless_they_are_to_be_shown(owned: Queue, asker: Asker) -> None:
    job_id = await owned.enqueue("emails", b"x")

    hidden = await asker.get("/api/job", 403, job_id=job_id, payload=1)
    async with asking(create_app(owned, show_payloads=True)) as open_asker:
        unasked = await open_asker.get("/api/job", job_id=job_id)
        asked = await open_asker.get("/api/job", job_id=job_id, payload=1)

    assert hidden["error"]["code"] == "payloads-hidden"
    assert unasked["payload"] is None
    assert asked["payload"] == {"bytes": 1, "text": "x", "base64": "eA==", "is_cut": False}


async def test_a_long_payload_is_cut_between_characters(owned: Queue) -> None:
    long_id = await owned.enqueue("emails", b"x" + "ü".encode() * 40_000)
    binary_id = await owned.enqueue("emails", b"\xff")

    async with asking(create_app(owned, show_payloads=True)) as asker:
        long = (await asker.get("/api/job", job_id=long_id, payload=1))["payload"]
        binary = (await asker.get("/api/job", job_id=binary_id, payload=1))["payload"]

    assert (long["bytes"], long["is_cut"]) == (80_001, True)
    assert len(base64.b64decode(long["base64"])) == 65_536
    assert long["text"] == "x" + "ü" * 32_767
    assert binary["text"] is None


async def test_secrets_in_headers_are_not_shown(owned: Queue, asker: Asker) -> None:
    headers = {"Authorization": "Bearer abc", "tenant": "7"}

    answer = await asker.post("/api/jobs", 201, queue="emails", payload="", headers=headers)

    job = (await asker.get("/api/job", job_id=answer["job_id"]))["job"]
    assert job["headers"] == {"Authorization": "[redacted]", "tenant": "7"}
    assert (await owned.get_job(answer["job_id"])).headers == headers
