"""`taquba queues`: every queue, counted, and who owns the store."""

import argparse
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final, final

from taquba.cli._blocks import Block, Column, Lines, Table
from taquba.cli._command import OK, Command
from taquba.cli._options import add_reading
from taquba.cli._present import present
from taquba.cli._source import Source, open_source
from taquba.cli._text import age, duration, read_instant
from taquba.cli._wire import Json

__all__ = ["COMMAND"]

_TOTALS: Final = {
    "enqueued": "enqueued_total",
    "acked": "acked_total",
    "retried": "retried_total",
    "dead": "dead_total",
    "cancelled": "cancelled_total",
}
_COUNTS: Final = {
    "pending": "pending_count",
    "scheduled": "scheduled_count",
    "claimed": "claimed_count",
    "done": "done_count",
    "dead": "dead_count",
    "live runs": "live_run_count",
}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_reading(parser)
    parser.add_argument("--ndjson", action="store_true", help="one JSON object for each queue")


def _run(options: argparse.Namespace) -> int:
    with open_source(options) as source:
        present(options, _Looks(source).look, _show, "queues")
    return OK


@final
class _Looks:
    """Looks at all queues, and what came between two looks.

    Args:
        source: Whom to ask. An owner counts by itself; of a store the totals are compared.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._before: Json | None = None

    def look(self) -> Json:
        """Return what `Source.overview` says, with rates as far as they are known."""
        now = self._source.overview()
        before, self._before = self._before, now
        if before is not None:
            earlier = {queue["name"]: queue for queue in before["queues"]}
            seconds = (_at(now) - _at(before)).total_seconds()
            for queue in now["queues"]:
                known = earlier.get(queue["name"])
                if queue["rates"] is None and known is not None and seconds > 0:
                    queue["rates"] = {
                        name: (queue[total] - known[total]) / seconds
                        for name, total in _TOTALS.items()
                    }
        return now


def _at(overview: Json) -> datetime:
    at = read_instant(overview["taken_at"])
    assert at is not None, "an overview says when it was taken"  # noqa: S101 - ours
    return at


def _show(overview: Json) -> Iterable[Block]:
    yield Lines([_owner(overview)], "dim")
    yield _table(overview["queues"])
    if overview["quarantined_count"]:
        count = overview["quarantined_count"]
        yield Lines([f"{count} damaged records were moved aside: see `taquba verify`"], "red")
    yield from _attention(overview.get("attention") or [])


def _owner(overview: Json) -> str:
    owner = overview["owner"]
    if owner is None:
        return "no owner: the last one closed the store in order"
    state = "alive" if owner["is_alive"] else "silent"
    seen = age(owner["last_seen"])
    return f"owner: process {owner['pid']} on {owner['host']}, {state}, last seen {seen} ago"


def _table(queues: list[Json]) -> Table:
    has_rates = any(queue["rates"] is not None for queue in queues)
    rates = ("enqueued/s", "acked/s", "dead/s") if has_rates else ()
    has_waits = any(queue["wait_seconds"] is not None for queue in queues)
    waits = ("wait p50", "p99", "run p50", "p99") if has_waits else ()
    titles = [*_COUNTS, "oldest", *rates, *waits]
    columns = [Column("queue"), *(Column(title, is_figure=True) for title in titles)]
    rows = [
        [
            queue["name"],
            *(f"{queue[field]:,}" for field in _COUNTS.values()),
            age((queue["oldest_pending"] or {}).get("since")),
            *(_rates(queue["rates"]) if has_rates else ()),
            *(_latencies(queue) if has_waits else ()),
        ]
        for queue in queues
    ]
    return Table(columns, rows, "no queues")


def _rates(rates: Json | None) -> list[str]:
    names = ("enqueued", "acked", "dead")
    return ["" if rates is None else f"{rates[name]:,.1f}" for name in names]


def _latencies(queue: Json) -> list[str]:
    texts = []
    for name in ("wait_seconds", "run_seconds"):
        known = queue[name] or {}
        for quantile in ("p50", "p99"):
            seconds = known.get(quantile)
            texts.append("" if seconds is None else duration(seconds))
    return texts


def _attention(found: list[Json]) -> Iterator[Block]:
    """Show what is stuck, since when, why, and what to do."""
    for each in found:
        since = f", since {age(each['since'])}" if each["since"] else ""
        yield Lines(
            [f"{each['severity']}: {each['title']}{since}"],
            "red" if each["severity"] == "error" else "yellow",
        )
        yield Lines([each["why"], each["remedy"]], indent=2)


COMMAND: Final = Command(
    name="queues",
    summary="every queue, counted, and who owns the store",
    description="Shows how many jobs of each queue wait, are scheduled, are delivered and are "
    "dead, how long the oldest one waits, and who owns the store. Asked of the owner (--admin) "
    "it also shows rates, latencies, and what is stuck; of a store, rates with --watch.",
    add_arguments=_add_arguments,
    run=_run,
)
