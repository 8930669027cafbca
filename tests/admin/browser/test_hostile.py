"""What users wrote is text, whatever it looks like, on every page that shows it."""

import pytest
from playwright.sync_api import Page, expect

from tests.admin.browser.conftest import OpenPage
from tests.admin.browser.hostile import MARKUP, QUEUE, RUN, UNSEEN
from tests.admin.browser.served import Served
from tests.admin.browser.watching import Watch

pytestmark = pytest.mark.slow

SENT = [
    "run?run_id=<img src=x onerror=window.hit=1>",
    "queue?queue=<img src=x onerror=window.hit=1>",
    "runs?prefix=%22%3E%3Cscript%3Ewindow.hit%3D1%3C%2Fscript%3E&state=nonsense",
    "constructor",
    "__proto__?a=%00",
    "job?job_id=%E0%A4%A",
]

# Elements and attributes that nothing of ours has below `main`.
FOREIGN = """() => [...document.querySelectorAll("*")].flatMap((node) => [
  ...("SCRIPT IMG IFRAME OBJECT EMBED STYLE BASE TEMPLATE MATH DETAILS B".split(" ")
      .includes(node.tagName.toUpperCase()) && node.closest("main") && !node.closest(".legend")
      ? [node.outerHTML] : []),
  ...[...node.attributes]
      .filter(({name, value}) => name.startsWith("on")
          || (name !== "title" && name !== "data-row" && /^\\s*javascript:/i.test(value)))
      .map(({name, value}) => `${node.tagName} ${name}=${value}`),
])"""


def assert_harmless(page: Page) -> None:
    """Nothing of theirs became an element, an attribute that acts, or a script that ran."""
    assert page.evaluate(FOREIGN) == []
    assert page.evaluate("window.hit") is None


def assert_shown(page: Page, texts: list[str]) -> None:
    """Each text is on the page, character by character."""
    content = page.locator("main").text_content() or ""
    assert [text for text in texts if text not in content] == []


def test_headers_errors_and_payloads_of_a_job_are_text(served: Served, open_page: OpenPage) -> None:
    page = open_page(served.hostile + f"#/queue?queue={QUEUE}&state=dead")
    page.locator("main .paged [data-row] a").first.click()
    page.get_by_role("button", name="Show payload").click()
    expect(page.locator(".bytes")).to_contain_text(MARKUP[0])

    assert_shown(page, [*MARKUP, *UNSEEN.values()])
    assert_harmless(page)


def test_headers_and_errors_of_a_run_are_text(served: Served, open_page: OpenPage) -> None:
    page = open_page(served.hostile + f"#/run?run_id={RUN}")
    expect(page.locator(".story")).to_contain_text("failed for good")

    assert_shown(page, [*MARKUP, *UNSEEN.values()])
    assert_harmless(page)


def test_a_run_that_failed_in_its_first_step_is_submitted_again(
    served: Served, open_page: OpenPage
) -> None:
    page = open_page(served.hostile)

    page.locator("[data-kind=dead]").get_by_role("button", name="Submit again").click()
    page.get_by_role("dialog").get_by_role("button", name="Submit again").click()

    told = page.get_by_role("status").filter(has_text=f"Submitted again as {RUN}-retry-1")
    expect(told).to_be_visible()
    assert_harmless(page)


def test_errors_of_dead_letters_are_text_and_filters(served: Served, open_page: OpenPage) -> None:
    page = open_page(served.hostile + f"#/dead?queue={QUEUE}")
    expect(page.locator("main .paged [data-row]").first).to_be_visible()
    assert_shown(page, MARKUP[:5])
    assert_harmless(page)

    page.get_by_label("Error contains").fill("<svg onload")
    # The job with this text alone, and the one that has them all.
    expect(page.locator("main .paged [data-row]")).to_have_count(2)
    page.get_by_role("button", name="Requeue all that match…").click()
    expect(page.get_by_role("dialog")).to_contain_text("contains <svg onload")
    assert_harmless(page)


def test_keys_and_values_are_text(served: Served, open_page: OpenPage) -> None:
    page = open_page(served.hostile + "#/keys")
    expect(page.locator("main [data-row]")).to_have_count(len(MARKUP) + len(UNSEEN))

    assert_shown(page, [*MARKUP, *UNSEEN.values()])
    page.get_by_role("button", name=MARKUP[0], exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text(MARKUP[0])
    assert_harmless(page)


def test_lists_are_text(served: Served, open_page: OpenPage) -> None:
    page = open_page(served.hostile)

    for route in ("overview", "runs", f"queue?queue={QUEUE}", "scheduled"):
        go(page, route)
        expect(page.locator("main .paged, main .items").first).to_be_visible()
        assert_harmless(page)


def test_an_address_that_somebody_sent_does_no_harm(
    served: Served, open_page: OpenPage, watch: Watch
) -> None:
    watch.expect("Failed to load resource")
    page = open_page(served.hostile)

    for route in SENT:
        go(page, route)
        expect(page.locator("main .empty").first).to_be_visible()
        assert_harmless(page)
        go(page, "overview")
        expect(page.locator("main .items")).to_be_visible()


def go(page: Page, route: str) -> None:
    """Changes what is behind the `#`, as a link does."""
    page.evaluate("route => { location.hash = `#/${route}`; }", route)
