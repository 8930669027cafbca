"""The dashboard for Grafana asks for metrics that there are, and for all of them."""

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from taquba import Queue, RunOutcome, RunSpec, Step, StepOutcome, WorkflowRuntime
from taquba.integrations._instruments import OF_PROCESS, OF_STORE, UP
from taquba.integrations.prometheus import exposition
from tests.integrations.scrapes import Scrape

FILE = Path(__file__).resolve().parents[2] / "docs" / "grafana" / "taquba.json"
METRIC = re.compile(r"\btaquba_[a-z0-9_]+\b")
SELECTOR = re.compile(r"\b(taquba_[a-z0-9_]+)\{([^}]*)\}")
GROUPED = re.compile(r"\bby \(([^)]*)\)")
# What Prometheus itself adds, and what only several stores have.
FROM_OUTSIDE = {"instance", "store"}


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    """The file, parsed."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


@pytest.fixture
async def scrape(busy_queue: Queue) -> Scrape:
    """A scrape of a process in which hooks were called too."""

    async def hook(outcome: RunOutcome) -> None:
        """Hears of it."""

    async def succeed(step: Step) -> StepOutcome:
        return StepOutcome.Succeed(step.payload)

    async with WorkflowRuntime(busy_queue, succeed, hook=hook) as runtime:
        await (await runtime.submit(RunSpec(b""))).outcome(timeout=20)
    return Scrape(await exposition(busy_queue))


def expressions(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Titles of panels, and what they ask for."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


async def test_every_metric_that_a_panel_asks_for_is_shown(
    dashboard: dict[str, Any], scrape: Scrape
) -> None:
    known = scrape.types().keys()
    variables = " ".join(
        str(variable.get("definition", "")) for variable in dashboard["templating"]["list"]
    )

    asked = {name for _, text in expressions(dashboard) for name in METRIC.findall(text)}

    assert len(asked) > 20
    assert asked - known == set()
    assert set(METRIC.findall(variables)) - known == set()


async def test_every_label_that_a_panel_asks_for_is_shown(
    dashboard: dict[str, Any], scrape: Scrape
) -> None:
    for title, text in expressions(dashboard):
        names = {name for name, _ in SELECTOR.findall(text)}
        if any("webhook" in name for name in names):
            continue
        has = FROM_OUTSIDE.union(*(scrape.labels_of(name) for name in names))
        inside = " ".join(selector for _, selector in SELECTOR.findall(text))
        wanted = set(re.findall(r"(\w+)=", inside))
        for grouped in GROUPED.findall(text):
            wanted |= {label.strip() for label in grouped.split(",")}
        assert wanted <= has, title


def test_every_instrument_has_a_panel(dashboard: dict[str, Any]) -> None:
    asked = " ".join(text for _, text in expressions(dashboard))

    names = {UP.prometheus_name}
    names |= {each.prometheus_name for each in OF_STORE}
    names |= {each.prometheus_name for each in OF_PROCESS}

    assert {name for name in names if name not in asked} == set()


def test_every_panel_follows_the_choices_at_the_top(dashboard: dict[str, Any]) -> None:
    for title, text in expressions(dashboard):
        for _, selector in SELECTOR.findall(text):
            assert 'instance=~"$instance"' in selector, title
        assert len(SELECTOR.findall(text)) == len(METRIC.findall(text)), title
    names = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$(?!__)\{?(\w+)", FILE.read_text(encoding="utf-8")))
    assert used == names


async def test_what_only_grows_is_shown_as_a_rate(
    dashboard: dict[str, Any], scrape: Scrape
) -> None:
    types = scrape.types()

    for title, text in expressions(dashboard):
        for name in METRIC.findall(text):
            is_rate = f"rate({name}{{" in text
            assert is_rate == (types[name] != "gauge"), title


def test_panels_have_a_text_a_number_and_room(dashboard: dict[str, Any]) -> None:
    panels = dashboard["panels"]
    numbers = [panel["id"] for panel in panels]

    assert len(set(numbers)) == len(numbers)
    assert all(panel["description"] for panel in panels if panel["type"] != "row")
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        is_beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        is_below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert is_beside or is_below
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)
