"""The overview: counts, rates, the oldest job; and the last hour."""

from taquba import EnqueueOptions, MockClock, Queue
from taquba.admin import create_app
from taquba.admin._app import site_of
from taquba.admin._history import INTERVAL_SECONDS, History
from taquba.admin._sample import Sample, quantiles, rates
from tests.admin.asking import Asker, asking
from tests.waiting import claim_one, drain, eventually


async def test_every_queue_is_there_with_its_oldest_job(
    owned: Queue, asker: Asker, reading: Asker, clock: MockClock
) -> None:
    await owned.enqueue("books", b"x", EnqueueOptions(delay=60))
    first = await owned.enqueue("emails", b"x")
    clock.advance(5)
    await owned.enqueue("emails", b"x")

    for who in (asker, reading):
        overview = await who.get("/api/overview")
        books, emails = overview["queues"]
        assert (books["name"], books["scheduled_count"], books["oldest_pending"]) == (
            "books",
            1,
            None,
        )
        assert (emails["pending_count"], emails["enqueued_total"]) == (2, 2)
        assert emails["oldest_pending"] == {
            "job_id": first,
            "since": "2030-01-01T00:00:00.000Z",
        }
        assert overview["quarantined_count"] == 0
        assert overview["owner"]["is_alive"] is True


async def test_a_scheduled_job_has_waited_since_it_was_due(
    owned: Queue, asker: Asker, clock: MockClock
) -> None:
    await owned.enqueue("emails", b"x", EnqueueOptions(delay=60))
    clock.advance(90)
    await owned.enqueue("other", b"x")

    async def since() -> object:
        overview = await asker.get("/api/overview")
        return overview["queues"][0]["oldest_pending"]

    await asker.post("/api/job/wake", 200, job_id=(await owned.list_jobs("emails")).jobs[0].job_id)
    assert await since() == {
        "job_id": "0000000000000001",
        "since": "2030-01-01T00:01:00.000Z",
    }


async def test_a_job_that_was_tried_before_hides_none_that_has_waited_longer(
    owned: Queue, asker: Asker, reading: Asker, clock: MockClock
) -> None:
    _, second = await owned.enqueue_batch("emails", [b"x"] * 2)
    claim = await claim_one(owned, "emails", lease=3600.0)
    clock.advance(90)
    await owned.nack(claim, "busy", retry_after=1)
    clock.advance(1)

    async def both_wait() -> bool:
        return (await owned.stats()).queues["emails"].pending_count == 2

    await eventually(both_wait, "the retry")
    for who in (asker, reading):
        [emails] = (await who.get("/api/overview"))["queues"]
        assert emails["oldest_pending"]["job_id"] == second


async def test_a_change_is_seen_at_once(asker: Asker) -> None:
    assert (await asker.get("/api/overview"))["queues"] == []

    await asker.post("/api/jobs", 201, queue="emails", payload="x")

    [queue] = (await asker.get("/api/overview"))["queues"]
    assert queue["pending_count"] == 1


async def test_rates_are_of_what_two_samples_differ_in(owned: Queue) -> None:
    earlier = moved(await Sample.take(owned), 0.0)
    await owned.enqueue_batch("emails", [b"x"] * 30)
    await drain(owned, "emails")
    later = moved(await Sample.take(owned), 10.0)

    happened = rates(earlier, later, "emails")
    assert happened == {"enqueued": 3.0, "acked": 3.0, "retried": 0, "dead": 0, "cancelled": 0}
    assert rates(earlier, later, None) == happened
    assert rates(earlier, later, "other") == dict.fromkeys(happened, 0.0)
    assert rates(later, later, "emails") is None


async def test_quantiles_are_of_the_time_between_two_samples(
    owned: Queue, clock: MockClock
) -> None:
    await owned.enqueue("emails", b"slow")
    clock.advance(100)
    await drain(owned, "emails")
    earlier = await Sample.take(owned)
    await owned.enqueue("emails", b"quick")
    clock.advance(1)
    await drain(owned, "emails")
    later = await Sample.take(owned)

    waited = quantiles(earlier, later, "emails", "wait_seconds")
    assert waited is not None
    assert 1 <= waited["p50"] == waited["p99"] < 10
    assert quantiles(later, later, "emails", "wait_seconds") is None
    assert quantiles(earlier, later, "other", "wait_seconds") is None


async def test_the_history_has_a_point_every_ten_seconds(owned: Queue) -> None:
    history = History()
    await owned.enqueue("emails", b"x")
    for second in range(0, 62, 2):
        history.add(moved(await Sample.take(owned), float(second)))
        await owned.enqueue("emails", b"x")

    points = history.points("emails")
    assert len(points) == 6
    assert {point["enqueued"] for point in points} == {0.5}
    assert [point["pending"] for point in points] == [6, 11, 16, 21, 26, 31]
    assert [point["pending"] for point in history.points(None)] == [6, 11, 16, 21, 26, 31]
    assert history.points("other") == []


async def test_a_time_in_which_nobody_looked_is_no_point(owned: Queue) -> None:
    history = History()
    for second in (0.0, INTERVAL_SECONDS, 500.0, 500.0 + INTERVAL_SECONDS):
        history.add(moved(await Sample.take(owned), second))

    assert len(history.points(None)) == 2


async def test_the_history_is_asked_for_by_queue(owned: Queue) -> None:
    app = create_app(owned)
    await owned.enqueue("emails", b"x")
    for second in (0.0, 10.0):
        site_of(app).overview.sampler.history.add(moved(await Sample.take(owned), second))

    async with asking(app) as asker:
        everything = await asker.get("/api/history")
        emails = await asker.get("/api/history", queue="emails")
        other = await asker.get("/api/history", queue="other")

    assert everything["interval_seconds"] == INTERVAL_SECONDS
    assert len(everything["points"]) == len(emails["points"]) == 1
    assert set(emails["points"][0]) >= {"at", "acked", "pending", "dead_count", "run_p99"}
    assert other["points"] == []


def moved(sample: Sample, at: float) -> Sample:
    """The same counts at another moment."""
    return Sample(at, sample.taken_at, sample.stats, sample.metrics)
