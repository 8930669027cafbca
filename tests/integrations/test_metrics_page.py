"""The page about metrics names each of them, with its type and labels, and no other."""

import re
from pathlib import Path

from taquba import Queue
from taquba.integrations._instruments import OF_PROCESS, OF_STORE, UP
from taquba.integrations.prometheus import exposition
from tests.integrations.scrapes import Scrape

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(taquba_[a-z_]+)` \| (\w+) \|", re.MULTILINE)


def test_the_tables_have_every_metric_and_its_type() -> None:
    suffix = {"counter": "_total", "gauge": "", "histogram": ""}
    known = {UP.prometheus_name: UP.kind}
    known |= {each.prometheus_name + suffix[each.kind]: each.kind for each in OF_STORE}
    known |= {each.prometheus_name + suffix[each.kind]: each.kind for each in OF_PROCESS}

    assert dict(ROW.findall(PAGE)) == known


async def test_every_name_on_the_page_is_one_that_is_shown(busy_queue: Queue) -> None:
    scrape = Scrape(await exposition(busy_queue))
    known = scrape.types().keys() | set(scrape.family_names())

    asked = {name for name in re.findall(r"\btaquba_[a-z_]+\b", PAGE) if name != "taquba_slatedb_"}

    assert asked - known == set()
