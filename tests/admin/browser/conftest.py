"""A browser without a screen, pages that are watched, and what they look at."""

import shutil
from collections.abc import Callable, Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.admin.browser.served import Served
from tests.admin.browser.watching import Watch
from tests.needs import missing

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_WAIT_MS_MAX = 10_000

OpenPage = Callable[..., Page]

# The machine may be busy with something else.
expect.set_options(timeout=_WAIT_MS_MAX)


# Its loop runs in this thread while it lives, so it ends before tests that have loops of their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        missing("chromium, for the dashboard's tests")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    """What pages look at, at several addresses."""
    with Served() as running:
        yield running


@pytest.fixture
def watch() -> Watch:
    """What pages complain about; a test fails for each complaint that it did not expect."""
    return Watch()


@pytest.fixture(scope="module")
def window(browser: Browser) -> Iterator[BrowserContext]:
    """A window that the tests of one file share: scripts are fetched once."""
    with new_window(browser) as context:
        yield context


@pytest.fixture
def open_page(window: BrowserContext, watch: Watch) -> Iterator[OpenPage]:
    """Opens an address in a tab of its own, of the shared window or of another one."""
    pages: list[Page] = []

    def open_(address: str, other: BrowserContext | None = None) -> Page:
        page = (other or window).new_page()
        pages.append(page)
        page.set_default_timeout(_WAIT_MS_MAX)
        watch.follow(page)
        page.goto(address)
        return page

    yield open_
    for page in pages:
        page.close()
    assert watch.complaints == []


def new_window(browser: Browser, scheme: Literal["light", "dark"] = "light") -> BrowserContext:
    """A window without history, cookies and choices."""
    return browser.new_context(
        viewport={"width": 1280, "height": 800}, color_scheme=scheme, timezone_id="UTC"
    )
