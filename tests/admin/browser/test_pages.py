"""The frame around the pages: who may do what, both themes, the keyboard, and what is live."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.admin.browser.conftest import OpenPage, new_window
from tests.admin.browser.scenario import IDLE_QUEUE, STUCK_RUN
from tests.admin.browser.served import LONG_COUNT, LONG_QUEUE, TOKEN, Served
from tests.admin.browser.watching import Watch

pytestmark = pytest.mark.slow

ROUTES = [
    "overview",
    "runs",
    f"run?run_id={STUCK_RUN}",
    "queues",
    "queue?queue=emails",
    "dead",
    "scheduled",
    "keys",
]
ACTIONS = re.compile("Retry|Wake|Cancel|Requeue|Purge|Submit")

# The lowest contrast of a text with what it stands on, as WCAG 2 counts it, and that text.
LOWEST_CONTRAST = """() => {
  const numbers = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => v / 255)
        .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const color = numbers(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  let lowest = [21, ""];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !node.checkVisibility() || node.closest("svg")) continue;
    if (node.closest(":disabled")) continue;
    const [one, other] = [numbers(getComputedStyle(node).color), ground(node)].map(light);
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < lowest[0]) lowest = [ratio, `${texts.currentNode.data} in ${node.className}`];
  }
  return lowest;
}"""


def go(page: Page, route: str) -> None:
    """Changes what is behind the `#`, and waits for the page."""
    page.evaluate("route => { location.hash = `#/${route}`; }", route)
    expect(page.locator("main h1")).to_be_visible()
    expect(page.locator("main [aria-busy]")).to_have_count(0)


def test_every_page_is_readable_in_both_themes(
    served: Served, open_page: OpenPage, browser: Browser
) -> None:
    with new_window(browser, "dark") as window:
        page = open_page(served.owner, window)
        expect(page.locator("main .items")).to_be_visible()
        grounds = set()
        for route in ROUTES:
            go(page, route)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                grounds.add(
                    page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
                )
                ratio, text = page.evaluate(LOWEST_CONTRAST)
                assert ratio >= 4.5, f"{route}, {scheme}: {text!r} has a contrast of {ratio:.2f}"
    assert len(grounds) == 2


def test_a_chosen_theme_stays(served: Served, open_page: OpenPage, browser: Browser) -> None:
    with new_window(browser, "dark") as window:
        page = open_page(served.empty, window)
        ground = "getComputedStyle(document.documentElement).backgroundColor"
        dark = page.evaluate(ground)

        page.get_by_role("button", name="Theme: system").click()
        page.reload()

        expect(page.get_by_role("button", name="Theme: light")).to_be_visible()
        assert page.evaluate(ground) != dark
        page.get_by_role("button", name="Theme: light").click()
        assert page.evaluate(ground) == dark


def test_a_reader_shows_everything_and_changes_nothing(served: Served, open_page: OpenPage) -> None:
    page = open_page(served.reader)

    expect(page.locator(".banner")).to_contain_text("Read-only")
    expect(page.locator("[data-kind=no-worker]")).to_contain_text(IDLE_QUEUE)
    for route in ROUTES:
        go(page, route)
        expect(page.get_by_role("button", name=ACTIONS)).to_have_count(0)
        expect(page.locator("main input[type=checkbox]")).to_have_count(0)


def test_a_token_opens_the_dashboard_and_signing_out_closes_it(
    served: Served, open_page: OpenPage, browser: Browser, watch: Watch
) -> None:
    watch.expect("401 (Unauthorized)")
    with new_window(browser) as window:
        page = open_page(served.locked + "#/runs", window)
        token = page.get_by_label("Token")

        token.fill("not the token")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("This is not the token")
        token.fill(TOKEN)
        page.keyboard.press("Enter")

        expect(page.get_by_role("link", name=STUCK_RUN)).to_be_visible()
        assert TOKEN not in page.evaluate("JSON.stringify(localStorage) + document.cookie")
        go(page, f"run?run_id={STUCK_RUN}")
        expect(page.locator("main")).to_contain_text("This server does not show them")
        page.get_by_role("button", name="Sign out").click()
        expect(token).to_be_visible()
        page.reload()
        expect(token).to_be_visible()


def test_it_works_below_a_prefix(served: Served, open_page: OpenPage) -> None:
    page = open_page(served.mounted)

    expect(page.locator("[data-kind=no-worker]")).to_contain_text(IDLE_QUEUE)
    expect(page.locator(".live")).to_have_text("live")
    assert "/ops/queues/" in page.url


def test_an_empty_store_says_what_to_do_first(served: Served, open_page: OpenPage) -> None:
    page = open_page(served.empty)
    expect(page.locator(".attention")).to_contain_text("await queue.enqueue")

    for route, told in {
        "runs": "runtime.submit",
        "queues": "No queue yet",
        "dead": "No dead letters",
        "scheduled": "EnqueueOptions(delay=",
        "keys": "queue.kv_put",
    }.items():
        go(page, route)
        expect(page.locator("main .empty").first).to_contain_text(told)


def test_the_keyboard_is_enough(served: Served, open_page: OpenPage) -> None:
    page = open_page(served.owner)
    expect(page.locator("main .items")).to_be_visible()

    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Dead letters")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)

    page.keyboard.press("j")
    expect(page.locator("main .items li").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).not_to_have_text("Overview")

    page.keyboard.type("gr")
    expect(page.locator("h1")).to_have_text("Runs")
    page.keyboard.press("/")
    expect(page.get_by_label("Id begins with")).to_be_focused()
    page.keyboard.type("contract-8 gq")
    expect(page.get_by_label("Id begins with")).to_have_value("contract-8 gq")
    page.get_by_label("Id begins with").fill("contract-8")
    expect(page.locator("main [data-row]")).to_have_count(1)
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    expect(page.locator("main [data-row]").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text(STUCK_RUN)

    for key, title in {
        "o": "Overview",
        "q": "Queues",
        "s": "Schedules",
        "d": "Dead letters",
    }.items():
        page.keyboard.type(f"g{key}")
        expect(page.locator("h1")).to_have_text(title)
    expect(page.locator("main [data-row]").first).to_be_visible()
    page.keyboard.type("jx")
    expect(page.get_by_role("button", name="Requeue selected (1)…")).to_be_enabled()


def test_a_hidden_tab_asks_for_nothing(served: Served, open_page: OpenPage) -> None:
    page = open_page(served.owner)
    expect(page.locator(".live")).to_have_text("live")

    with page.expect_event("requestfailed", lambda request: request.url.endswith("/api/events")):
        set_hidden(page, hidden=True)
    expect(page.locator(".live")).to_have_text("paused")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(300)
    assert asked == []

    set_hidden(page, hidden=False)
    expect(page.locator(".live")).to_have_text("live")


def set_hidden(page: Page, *, hidden: bool) -> None:
    """What the browser does when another tab is shown."""
    script = """hidden => {
        Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(script, hidden)


def test_a_lost_connection_is_said_and_found_again(
    served: Served, open_page: OpenPage, watch: Watch, browser: Browser
) -> None:
    watch.expect("ERR_INTERNET_DISCONNECTED")
    with new_window(browser) as window:
        page = open_page(served.owner, window)
        expect(page.locator(".live")).to_have_text("live")

        window.set_offline(True)
        set_hidden(page, hidden=True)
        set_hidden(page, hidden=False)
        expect(page.locator(".live")).to_contain_text("connection lost")
        window.set_offline(False)

        expect(page.locator(".live")).to_have_text("live")


def test_a_long_list_is_shown_page_by_page(served: Served, open_page: OpenPage) -> None:
    page = open_page(served.long + f"#/queue?queue={LONG_QUEUE}")
    rows = page.locator("main .paged [data-row]")
    expect(rows).to_have_count(50)
    first = rows.first.get_attribute("data-row")

    page.keyboard.press("n")
    expect(page.locator(".foot")).to_contain_text("page 2")
    assert rows.first.get_attribute("data-row") != first
    page.keyboard.press("n")
    expect(rows).to_have_count(LONG_COUNT - 100)
    expect(page.get_by_role("button", name="Next", exact=True)).to_be_disabled()
    page.get_by_role("button", name="Previous").click()
    page.keyboard.press("p")
    expect(page.locator(".foot")).to_contain_text("page 1")
    assert rows.first.get_attribute("data-row") == first


def test_durations_are_told_as_people_tell_them(served: Served, open_page: OpenPage) -> None:
    told = {
        0: "0 s",
        0.0004: "< 1 ms",
        0.25: "250 ms",
        0.9996: "1.0 s",
        4.25: "4.3 s",
        9.97: "10 s",
        59.6: "1 min",
        66: "1 min 6 s",
        599.4: "9 min 59 s",
        1200: "20 min",
        3600: "1 h",
        11_520: "3 h 12 min",
        187_200: "2 d 4 h",
    }
    page = open_page(served.empty)

    script = """async values => {
        const {duration} = await import(new URL("static/time.js", document.baseURI));
        return values.map(duration);
    }"""
    assert page.evaluate(script, list(told)) == list(told.values())


def test_json_is_shown_as_it_is_stored(served: Served, open_page: OpenPage) -> None:
    stored = r'{"id":12345678901234567890,"deep":[{},[],"a,b:{\"c\"}",1.50,-0e5,null],"id":1}'
    page = open_page(served.empty)

    script = """async text => {
        const {indented} = await import(new URL("static/payload.js", document.baseURI));
        return indented(text);
    }"""
    lines = page.evaluate(script, stored).splitlines()

    assert lines[1:5] == ['  "id": 12345678901234567890,', '  "deep": [', "    {},", "    [],"]
    assert "".join(line.strip() for line in lines).replace('": ', '":') == stored
