"""Where a scrape happens: any thread, an event loop, or a process that cannot answer."""

import asyncio
import logging
import subprocess
import sys
import threading
import time

import httpx
import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import DuplicateTimeseries

from taquba import Queue
from taquba.integrations.prometheus import CONTENT_TYPE, Collector, exposition
from tests.integrations.scrapes import Scrape


def registered(queue: Queue) -> CollectorRegistry:
    """A registry that shows a queue."""
    registry = CollectorRegistry(auto_describe=True)
    registry.register(Collector(queue))
    return registry


async def test_a_thread_can_scrape(busy_queue: Queue) -> None:
    registry = registered(busy_queue)

    text = await asyncio.to_thread(generate_latest, registry)

    assert Scrape(text).value("taquba_jobs_enqueued_total", queue="emails") == 5


async def test_a_scrape_on_the_loop_of_the_queue_does_not_wait_for_itself(
    busy_queue: Queue,
) -> None:
    registry = registered(busy_queue)

    text = generate_latest(registry)

    assert Scrape(text).value("taquba_jobs_enqueued_total", queue="emails") == 5


async def test_a_scrape_needs_no_loop_of_the_service(busy_queue: Queue) -> None:
    registry = registered(busy_queue)
    texts: list[bytes] = []
    scraping = threading.Thread(target=lambda: texts.append(generate_latest(registry)))

    scraping.start()
    # The loop of the queue is held up here until the scrape has ended.
    scraping.join(20.0)

    assert Scrape(texts[0]).value("taquba_up") == 1


async def test_the_app_of_prometheus_client_shows_the_queue(busy_queue: Queue) -> None:
    app = prometheus_client.make_asgi_app(registered(busy_queue))
    transport = httpx.ASGITransport(app)

    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/")

    assert answer.status_code == 200
    assert Scrape(answer.content).value("taquba_up") == 1


async def test_both_ways_show_the_same(busy_queue: Queue) -> None:
    pulled = Scrape(generate_latest(registered(busy_queue)))

    awaited = Scrape(await exposition(busy_queue))

    assert pulled.samples.keys() == awaited.samples.keys()
    assert pulled.families
    assert "text/plain" in CONTENT_TYPE


async def test_scrapes_at_the_same_time_are_all_answered(busy_queue: Queue) -> None:
    registry = registered(busy_queue)

    texts = await asyncio.gather(
        *(asyncio.to_thread(generate_latest, registry) for _ in range(4)),
        *(exposition(busy_queue) for _ in range(4)),
    )

    assert [Scrape(text).value("taquba_up") for text in texts] == [1] * 8


async def test_a_closed_queue_is_down_and_raises_nothing(
    busy_queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    registry = registered(busy_queue)
    await busy_queue.close()
    caplog.set_level(logging.WARNING)

    first = Scrape(generate_latest(registry))
    second = Scrape(generate_latest(registry))

    assert first.value("taquba_up") == second.value("taquba_up") == 0
    assert "taquba_jobs" not in {name for name, _ in first.samples}
    # It is told when it begins, not with each scrape.
    assert [record.name for record in caplog.records] == ["taquba.metrics"]


async def test_a_loop_that_has_ended_leaves_the_scrape_as_it_was(busy_queue: Queue) -> None:
    registry = registered(busy_queue)

    async def scrape() -> bytes:
        return await exposition(busy_queue)

    first = await asyncio.to_thread(lambda: asyncio.run(scrape()))
    second = await asyncio.to_thread(generate_latest, registry)

    assert Scrape(first).value("taquba_up") == Scrape(second).value("taquba_up") == 1


async def test_a_registry_refuses_a_second_collector(busy_queue: Queue) -> None:
    registry = registered(busy_queue)

    with pytest.raises(DuplicateTimeseries):
        registry.register(Collector(busy_queue))


async def test_a_scrape_during_work_stays_consistent(queue: Queue) -> None:
    registry = registered(queue)
    is_done = threading.Event()
    totals: list[float] = []

    def scrape() -> None:
        while not is_done.is_set():
            found = Scrape(generate_latest(registry))
            totals.append(found.get("taquba_jobs_enqueued_total", queue="emails"))
            time.sleep(0)

    scraping = asyncio.create_task(asyncio.to_thread(scrape))
    for _ in range(50):
        await queue.enqueue("emails", b"x")
    is_done.set()
    await scraping

    assert totals == sorted(totals)
    assert Scrape(generate_latest(registry)).value("taquba_jobs_enqueued_total", queue="emails")


def run_python(program: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in a Python of its own."""
    command = [sys.executable, "-W", "error", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)


def test_importing_taquba_brings_in_nothing_of_this() -> None:
    program = """
import sys, taquba, taquba.webhooks
print(sorted({"prometheus_client", "opentelemetry", "taquba.integrations"} & set(sys.modules)))
"""

    child = run_python(program)

    assert (child.stdout.strip(), child.stderr) == ("[]", "")


@pytest.mark.parametrize(
    ("package", "module", "extra"),
    [
        ("prometheus_client", "taquba.integrations.prometheus", "prometheus"),
        ("opentelemetry", "taquba.integrations.opentelemetry", "opentelemetry"),
    ],
)
def test_without_its_package_an_integration_says_what_to_install(
    package: str, module: str, extra: str
) -> None:
    program = f"""
import sys
sys.modules["{package}"] = None
try:
    import {module}
except ImportError as error:
    print(error)
"""

    child = run_python(program)

    assert child.stdout.strip() == f"install `taquba[{extra}]` to use `{module}`", child.stderr


def test_a_process_that_is_ending_answers_that_it_is_down() -> None:
    program = """
import asyncio, atexit
from prometheus_client import CollectorRegistry, generate_latest
registry = CollectorRegistry()
atexit.register(lambda: print([line for line in generate_latest(registry).decode().splitlines()
                               if line.startswith("taquba_up")]))
from taquba import sync
from taquba.integrations.prometheus import Collector
queue = sync.Queue.open("memory://")
registry.register(Collector(queue))
"""

    child = run_python(program)

    assert child.stdout.strip() == "['taquba_up 0.0']", child.stderr
