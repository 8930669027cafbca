"""Tables of records, as Markdown: medians with their range, and ratios to taquba.

A ratio compares two workloads of the same repeat, so that what disturbed both of them cancels out;
the median of the ratios is shown, not the ratio of the medians. It is always the factor by which
taquba is better: its rate through the other's, the other's latency or CPU time through its own.
"""

import enum
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from benches.peers._peer import HOME

Record = dict[str, Any]
Reader = Callable[[Record], float | None]
NOTHING = "–"  # noqa: RUF001 - an empty cell of a printed table


def rate(record: Record) -> float | None:
    """Jobs, steps or runs per second."""
    return _number(record, "rate")


def p50_ms(record: Record) -> float | None:
    """Median latency of a run or job."""
    return _number(record, "p50_ms")


def p99_ms(record: Record) -> float | None:
    """The latency that one in a hundred exceeds."""
    return _number(record, "p99_ms")


def cpu_us(record: Record) -> float | None:
    """CPU time of all processes, servers too, for each job or step."""
    return _number(record, "cpu_us_each")


def pss_mib(record: Record) -> float | None:
    """Memory of all processes, servers too."""
    parts = record.get("pss_mib")
    return sum(parts.values()) if parts else None


def in_flight(record: Record) -> float | None:
    """Runs in flight, which is what the latency of a run among others depends on first."""
    return _number(record, "in_flight")


class Order(enum.Enum):
    """Which of two figures is the better one."""

    MORE = enum.auto()
    LESS = enum.auto()
    # A latency among many runs depends on how many: no ratio is shown.
    NEITHER = enum.auto()


@dataclass(frozen=True)
class Column:
    """One figure of one workload."""

    title: str
    workload: str
    reader: Reader
    order: Order


TABLES = (
    (
        "Rates",
        (
            Column("enqueue/s", "enqueue", rate, Order.MORE),
            Column("batch enqueue/s", "enqueue_batch", rate, Order.MORE),
            Column("drain jobs/s", "drain", rate, Order.MORE),
            Column("steps/s", "steps", rate, Order.MORE),
        ),
    ),
    (
        "Latency",
        (
            Column("lone, p50 ms", "latency", p50_ms, Order.LESS),
            Column("lone, p99 ms", "latency", p99_ms, Order.LESS),
            Column("run of 10 among others, p50 ms", "steps", p50_ms, Order.NEITHER),
            Column("p99 ms", "steps", p99_ms, Order.NEITHER),
            Column("runs in flight", "steps", in_flight, Order.NEITHER),
        ),
    ),
    (
        "CPU and memory, servers included",
        (
            Column("CPU µs/enqueue", "enqueue", cpu_us, Order.LESS),
            Column("CPU µs/job", "drain", cpu_us, Order.LESS),
            Column("CPU µs/step", "steps", cpu_us, Order.LESS),
            Column("MiB in steps", "steps", pss_mib, Order.LESS),
        ),
    ),
)


def _number(record: Record, key: str) -> float | None:
    value = record.get(key)
    return None if value is None else float(value)


def names(records: Iterable[Record]) -> list[str]:
    """The peers of the records, taquba first, then as they come."""
    found = list(dict.fromkeys(record["peer"] for record in records))
    return sorted(found, key=lambda name: name != HOME)


def values(records: Iterable[Record], peer: str, workload: str, reader: Reader) -> dict[int, float]:
    """A figure of one peer by repeat; what failed has none. Of one repeat the last record holds."""
    found = {}
    for record in records:
        is_wanted = record["peer"] == peer and record["workload"] == workload
        if is_wanted and "error" not in record:
            value = reader(record)
            if value is not None:
                found[record["repeat"]] = value
    return found


def ratios(home: dict[int, float], other: dict[int, float], order: Order) -> list[float]:
    """By which factor taquba is better, for each repeat that both have."""
    both = sorted(home.keys() & other.keys())
    pairs = [(home[repeat], other[repeat]) for repeat in both]
    pairs = [(mine, theirs) for mine, theirs in pairs if mine > 0 and theirs > 0]
    return [mine / theirs if order is Order.MORE else theirs / mine for mine, theirs in pairs]


def spread(found: Sequence[float]) -> str:
    """Median [minimum–maximum], each with three digits that count."""  # noqa: RUF002
    if not found:
        return NOTHING
    if len(found) == 1:
        return digits(found[0])
    low, high = digits(min(found)), digits(max(found))
    return f"{digits(statistics.median(found))} [{low}–{high}]"  # noqa: RUF001 - a range


def digits(value: float) -> str:
    """Three digits that count, no exponent: `12,300`, `12.3`, `0.0123`."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.3g}")
    if abs(rounded) >= 100:  # noqa: PLR2004 - three digits before the point
        return f"{rounded:,.0f}"
    whole = len(str(int(abs(rounded)))) if abs(rounded) >= 1 else 0
    if whole:
        return f"{rounded:.{3 - whole}f}"
    return f"{rounded:.3g}"


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; numbers to the right."""
    lines = [list(heads), *[list(row) for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]

    def row(line: Sequence[str]) -> str:
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        return "| " + " | ".join(cells) + " |"

    rule = "|" + "-" * (widths[0] + 2) + "|"
    rule += "".join("-" * (width + 1) + ":|" for width in widths[1:])
    return "\n".join([row(lines[0]), rule, *[row(line) for line in lines[1:]]])


def report(records: Sequence[Record]) -> str:
    """All tables of a set of records."""
    parts = []
    for title, columns in TABLES:
        parts.append(f"### {title}\n\n{_figures(records, columns)}")
    if HOME in names(records) and len(names(records)) > 1:
        for title, columns in TABLES:
            compared = [column for column in columns if column.order is not Order.NEITHER]
            text = _against(records, compared)
            parts.append(f"### {title}: how many times better taquba is\n\n{text}")
    parts.append(f"### What is compared\n\n{_notes(records)}")
    failed = [record for record in records if "error" in record]
    if failed:
        lines = [
            f"- {record['peer']}, {record['workload']}, repeat {record['repeat'] + 1}: "
            + record["error"].splitlines()[0]
            for record in failed
        ]
        parts.append("### Failed\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def _title(records: Sequence[Record], peer: str) -> str:
    return str(next(record["title"] for record in records if record["peer"] == peer))


def _figures(records: Sequence[Record], columns: Sequence[Column]) -> str:
    rows = [
        [_title(records, peer), *[_cell(records, peer, column) for column in columns]]
        for peer in names(records)
    ]
    return markdown(["peer", *[column.title for column in columns]], rows)


def _cell(records: Sequence[Record], peer: str, column: Column) -> str:
    found = list(values(records, peer, column.workload, column.reader).values())
    mine = [r for r in records if r["peer"] == peer and r["workload"] == column.workload]
    if not found and any("error" in record for record in mine):
        return "failed"
    return spread(found)


def _against(records: Sequence[Record], columns: Sequence[Column]) -> str:
    rows = []
    for peer in names(records)[1:]:
        cells = []
        for column in columns:
            home = values(records, HOME, column.workload, column.reader)
            other = values(records, peer, column.workload, column.reader)
            cells.append(spread(ratios(home, other, column.order)))
        rows.append([_title(records, peer), *cells])
    return markdown(["peer", *[column.title for column in columns]], rows)


def _notes(records: Sequence[Record]) -> str:
    lines = []
    for peer in names(records):
        one = next(record for record in records if record["peer"] == peer)
        text = f"- **{one['title']}**: {one['durability']}"
        lines.append(text + (f". Not like for like: {one['notes']}" if one["notes"] else ""))
    return "\n".join(lines)
