"""What the dashboard is for: one sees what is stuck, since when and why, and makes it go on."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.admin.browser.conftest import OpenPage
from tests.admin.browser.scenario import BUSY_SERVER, FAILED_RUN, IDLE_QUEUE, LONG_RUN, STUCK_RUN
from tests.admin.browser.served import Served

pytestmark = pytest.mark.slow


def test_a_person_finds_the_run_that_waits_and_makes_it_go_on(
    served: Served, open_page: OpenPage
) -> None:
    page = open_page(served.owner)

    item = page.locator("[data-kind=retrying]")
    expect(item).to_contain_text(f"Run {STUCK_RUN} waits for its next try")
    expect(item).to_contain_text(re.compile(r"for \d+ min"))
    expect(item).to_contain_text("the model provider answered 429")
    expect(item.get_by_role("button", name="Retry now")).to_be_visible()

    item.get_by_role("link", name=STUCK_RUN).click()
    story = page.locator(".story")
    expect(story).to_contain_text("Step 2 waits for its retry")
    expect(story).to_contain_text("2 of 5 deliveries are used")
    expect(story).to_contain_text("answered 429")
    expect(page.get_by_role("table", name="Steps of the run").locator("tbody tr")).to_have_count(3)
    expect(page.get_by_role("table", name="Deliveries").locator("tbody tr")).to_have_count(2)

    page.get_by_role("button", name="Retry now").click()
    expect(page.get_by_role("status").filter(has_text="goes on now")).to_be_visible()
    served.call(served.scene.pass_time(80))
    served.call(served.scene.pass_time(20))

    expect(page.locator(".heading")).to_contain_text("succeeded")
    page.get_by_role("button", name="Show result").click()
    expect(page.locator(".bytes")).to_contain_text("twelve months")
    page.get_by_role("link", name="Overview").click()
    expect(page.locator("[data-kind=dead]").first).to_be_visible()
    expect(page.locator("[data-kind=retrying]")).to_have_count(0)


def test_dead_letters_are_requeued_by_their_error(served: Served, open_page: OpenPage) -> None:
    page = open_page(served.owner + "#/dead")

    page.get_by_role("button", name=re.compile("smtp")).click()
    expect(page.locator("main [data-row]")).to_have_count(4)
    expect(page.locator("main [data-row]").first).to_contain_text(BUSY_SERVER)

    page.get_by_role("button", name="Requeue all that match…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Requeue 4 dead jobs of emails?")
    served.scene.is_server_up = True
    dialog.get_by_role("button", name="Requeue 4 dead jobs").click()

    expect(
        page.get_by_role("status").filter(has_text="4 jobs of emails wait again")
    ).to_be_visible()
    expect(page.locator("main .empty")).to_contain_text("No dead job has such an error")
    page.get_by_label("Error contains").fill("")
    expect(page.locator("main [data-row]")).to_have_count(3)


def test_a_dead_letter_is_requeued_from_its_page(served: Served, open_page: OpenPage) -> None:
    page = open_page(served.owner + "#/dead?queue=emails&error=mailbox")
    rows = page.locator("main [data-row]")
    expect(rows).to_have_count(3)

    rows.first.get_by_role("link").click()
    expect(page.locator(".story")).to_contain_text("It was given up")
    page.get_by_role("button", name="Requeue").click()

    expect(page.get_by_role("status").filter(has_text="waits again")).to_be_visible()
    expect(page.locator(".heading")).to_contain_text("dead")  # the mailbox is still not there


def test_selected_dead_letters_are_counted_before_they_are_requeued(
    served: Served, open_page: OpenPage
) -> None:
    page = open_page(served.owner + "#/dead?queue=emails&error=mailbox")
    expect(page.get_by_role("button", name="Requeue selected (0)…")).to_be_disabled()

    page.locator("main [data-row] input").first.check()
    page.get_by_role("button", name="Requeue selected (1)…").click()
    expect(page.get_by_role("dialog")).to_contain_text("Requeue 1 dead job of emails?")
    page.get_by_role("button", name="Not now").click()

    assert served.call(served.scene.queue.stats()).queues["emails"].dead_count >= 3


def test_purging_asks_how_old_and_says_how_many(served: Served, open_page: OpenPage) -> None:
    page = open_page(served.owner + "#/dead?queue=documents")

    page.get_by_role("button", name="Purge…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("1 dead job is kept now")
    dialog.get_by_label(re.compile("Died more than")).fill("0")
    dialog.get_by_role("button", name="Purge").click()

    expect(
        page.get_by_role("status").filter(has_text="1 dead job of documents is gone")
    ).to_be_visible()
    expect(page.locator("main .empty")).to_contain_text("Nothing was given up")


def test_a_queue_that_nobody_works_on_is_named_with_what_waits(
    served: Served, open_page: OpenPage
) -> None:
    page = open_page(served.owner)

    item = page.locator("[data-kind=no-worker]")
    expect(item).to_contain_text(f"Nobody works on queue {IDLE_QUEUE}: 7 jobs wait")
    expect(item).to_contain_text("Start a worker")
    item.get_by_role("link", name=IDLE_QUEUE).click()

    rows = page.locator("main .paged [data-row]")
    expect(rows).to_have_count(7)
    expect(rows.first).to_contain_text("weekly-report-acme")
    rows.first.get_by_role("link").first.click()
    expect(page.locator(".story")).to_contain_text("It waits for a free worker")


def test_a_delivery_that_does_not_end_is_cancelled_only_after_a_question(
    served: Served, open_page: OpenPage
) -> None:
    page = open_page(served.owner)
    item = page.locator("[data-kind=long-delivery]")
    expect(item).to_contain_text(f"Run {LONG_RUN} has been in delivery for long")

    item.get_by_role("button", name="Cancel…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"Cancel run {LONG_RUN}?")
    expect(dialog.get_by_role("button", name="Not now")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert served.call(served.scene.queue.get_run(LONG_RUN)).state.value == "running"

    item.get_by_role("button", name="Cancel…").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the run").click()
    expect(page.get_by_role("status").filter(has_text="is being cancelled")).to_be_visible()
    page.goto(served.owner + f"#/run?run_id={LONG_RUN}")
    expect(page.locator(".heading")).to_contain_text("cancelled")


def test_a_failed_run_says_why(served: Served, open_page: OpenPage) -> None:
    page = open_page(served.owner + "#/runs?state=failed")

    page.get_by_role("link", name=FAILED_RUN).click()

    expect(page.locator(".story")).to_contain_text("Step 1 failed for good")
    expect(page.locator(".story")).to_contain_text("the scan is upside down")


def test_what_waits_for_its_time_is_woken(served: Served, open_page: OpenPage) -> None:
    page = open_page(served.owner + "#/scheduled?queue=emails")
    rows = page.locator("main [data-row]")
    expect(rows).to_have_count(3)
    expect(rows.first).to_contain_text(re.compile(r"in \d+ min"))

    rows.first.get_by_role("button", name="Wake now").click()

    expect(page.get_by_role("status").filter(has_text="is due now")).to_be_visible()
    expect(rows).to_have_count(2)


def test_runs_are_found_by_what_is_known_of_them(served: Served, open_page: OpenPage) -> None:
    page = open_page(served.owner + "#/runs")
    rows = page.locator("main [data-row]")
    expect(rows).to_have_count(10)

    def found(label: str, text: str) -> None:
        page.get_by_label(label).fill(text)

    found("Header", "tenant:acme")
    expect(rows).to_have_count(2)
    found("Header", "")
    found("Error contains", "upside down")
    expect(rows).to_have_count(1)
    found("Error contains", "")
    found("Id begins with", "contract-1")
    expect(rows).to_have_count(2)
    page.get_by_role("button", name="succeeded").click()
    expect(rows).to_have_count(2)
    page.get_by_role("button", name="failed").click()
    expect(page.locator("main .empty")).to_contain_text("No run fits")
    assert_kept_in_address(page, "prefix=contract-1", "state=failed")


def assert_kept_in_address(page: Page, *parts: str) -> None:
    """What was asked for can be sent to somebody."""
    for part in parts:
        assert part in page.url
