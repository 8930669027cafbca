"""Takes the pictures of docs/dashboard.md.

    python -m tests.admin.browser.screenshots --minutes 60

The store is that of the tests, with one more queue that is worked on for so many minutes before, in
real time: its charts show what the sampler of the dashboard counted meanwhile.
"""

import argparse
import asyncio
import contextlib
import math
import random
import shutil
import time
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page, expect, sync_playwright

from taquba import Claim, TransientFailure, run_worker
from tests.admin.browser.conftest import ARGUMENTS, new_window
from tests.admin.browser.scenario import DONE_RUN, STUCK_RUN, Afternoon
from tests.admin.browser.served import Served

PLACE: Final = Path(__file__).resolve().parents[3] / "docs" / "images"
BUSY_QUEUE: Final = "thumbnails"
TICK_SECONDS: Final = 0.04
END_SECONDS_MAX: Final = 20
PICTURE_BYTES_MAX: Final = 150_000

# Coloured edges of letters make a picture twice as large.
PLAIN: Final = "--disable-lcd-text"

PAGES: Final = {
    "overview": "overview",
    "overview-dark": "overview",
    "runs": "runs",
    "run": f"run?run_id={STUCK_RUN}",
    "run-done": f"run?run_id={DONE_RUN}",
    "queue": f"queue?queue={BUSY_QUEUE}",
    "job": "job?job_id=0000000000000001",
    "dead": "dead?queue=emails",
    "scheduled": "scheduled?queue=emails",
    "keys": "keys",
}


async def work(scene: Afternoon, dice: random.Random) -> None:
    """Let time pass as it does, with work that comes in waves."""

    async def draw(job: Claim) -> None:
        await asyncio.sleep(dice.lognormvariate(-2.2, 0.8))
        if dice.random() < 0.01:
            message = "the image service answered 503"
            raise TransientFailure(message, retry_after=0.5)

    before = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_worker(scene.queue, BUSY_QUEUE, draw, concurrency=3))
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            scene.clock.advance(now - before)
            wave = 9 + 7 * math.sin(now / 240) + 4 * math.sin(now / 37)
            if dice.random() < wave * (now - before):
                await scene.queue.enqueue(BUSY_QUEUE, b"images/%d.png" % dice.randrange(10_000))
            before = now


def take_all(served: Served, browser: Browser) -> None:
    """Take every picture."""
    for name, route in PAGES.items():
        with new_window(browser, "dark" if name.endswith("-dark") else "light") as window:
            page = window.new_page()
            page.goto(f"{served.owner}#/{route}")
            settle(page)
            if name == "run-done":
                page.get_by_role("button", name="Show result").click()
                expect(page.locator(".bytes")).to_be_visible()
            if name == "dead":
                page.get_by_role("button", name="Requeue all…").click()
                expect(page.get_by_role("dialog")).to_be_visible()
            take(page, name)
    with new_window(browser) as window:
        page = window.new_page()
        page.goto(f"{served.reader}#/queues")
        settle(page)
        take(page, "reader")
        page.goto(served.locked)
        expect(page.get_by_label("Token")).to_be_visible()
        take(page, "login")


def settle(page: Page) -> None:
    """Wait for the page, and for the stream."""
    expect(page.locator(".live")).to_have_text("live")
    expect(page.locator("main h1")).to_be_visible()
    expect(page.locator("main [aria-busy]")).to_have_count(0)
    page.wait_for_timeout(500)


def take(page: Page, name: str) -> None:
    """Write one picture."""
    path = PLACE / f"dashboard-{name}.png"
    page.screenshot(path=path)
    size = path.stat().st_size
    assert size < PICTURE_BYTES_MAX, f"{path.name} has {size} bytes"
    print(f"{path.name}: {size} bytes")


def main() -> None:
    """Work for a while, then take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    minutes = parser.parse_args().minutes
    program = shutil.which("chromium")
    with Served() as served, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*ARGUMENTS, PLAIN])
        looking = browser.new_page()
        looking.goto(served.owner)
        working = asyncio.run_coroutine_threadsafe(
            work(served.scene, random.Random(7)), served.loop
        )
        try:
            time.sleep(minutes * 60)
            take_all(served, browser)
        finally:
            working.cancel()
            with contextlib.suppress(CancelledError):
                working.result(END_SECONDS_MAX)
            browser.close()


if __name__ == "__main__":
    main()
