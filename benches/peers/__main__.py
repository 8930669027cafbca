"""Measures taquba and its peers side by side.

python -m benches.peers --repeats 3 --json results.jsonl --plot peers.svg
python -m benches.peers taquba huey --quick
python -m benches.peers --report results.jsonl --plot peers.svg
"""

import argparse
import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benches.peers import _driver, _machine, _peer, _plot, _table, protocol

# Kept over restarts and not in memory, wherever `/tmp` may be; the server's user can pass through.
STORES = Path("/var/tmp")  # noqa: S108 - a fresh directory is made in it
REPEATS = 3


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benches.peers", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", metavar="NAME", help="peers; default: all")
    parser.add_argument("--repeats", type=int, help=f"default: {REPEATS}, with --quick 1")
    parser.add_argument("--workloads", default=",".join(protocol.WORKLOADS))
    parser.add_argument("--quick", action="store_true", help="small counts: a look, no result")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for one workload")
    parser.add_argument("--store-dir", type=Path, default=STORES, help=f"default: {STORES}")
    parser.add_argument("--json", type=Path, help="append each record to this file")
    parser.add_argument("--plot", type=Path, help="draw this SVG, and a PNG beside it if we can")
    parser.add_argument("--report", type=Path, help="run nothing: show the records of this file")
    parser.add_argument("--list", action="store_true", help="run nothing: show the peers")
    parsed = parser.parse_args(argv)
    parsed.workloads = tuple(name for name in parsed.workloads.split(",") if name)
    if unknown := set(parsed.workloads) - set(protocol.WORKLOADS):
        parser.error(f"no such workload: {', '.join(sorted(unknown))}")
    if parsed.repeats is None:
        parsed.repeats = 1 if parsed.quick else REPEATS
    return parsed


def show_progress(record: _driver.Record) -> None:
    """One line for a workload that has ended."""
    head = f"{record['repeat'] + 1}  {record['peer']:<16} {record['workload']:<14}"
    if "error" in record:
        print(f"{head} FAILED: {record['error']}", flush=True)
        return
    cpu = "  ".join(f"{name} {value:.2f} s" for name, value in record["cpu_seconds"].items())
    text = f"{head} {record['rate']:>10,.0f}/s  {record['seconds']:>6.2f} s  CPU {cpu}"
    elsewhere = record["busy_elsewhere_seconds"]
    print(f"{text}  elsewhere {elsewhere:.2f} s  ({record['verified']})", flush=True)


def measured(arguments: argparse.Namespace) -> Iterator[_driver.Record]:
    """Runs what was asked for; shows and keeps each record as it comes."""
    with tempfile.TemporaryDirectory(prefix="taquba-peers-", dir=arguments.store_dir) as scratch:
        Path(scratch).chmod(0o711)
        plan = _driver.Plan(
            _peer.choose(arguments.names),
            arguments.workloads,
            arguments.repeats,
            arguments.quick,
            Path(scratch),
            arguments.timeout,
        )
        with contextlib.ExitStack() as stack:
            kept = stack.enter_context(arguments.json.open("a")) if arguments.json else None
            for record in _driver.run(plan):
                show_progress(record)
                if kept is not None:
                    kept.write(json.dumps(record) + "\n")
                    kept.flush()
                yield record


def show_peers(names: list[str]) -> None:
    """What there is."""
    rows = [
        [peer.name, peer.title, peer.durability, " ".join(peer.counts)]
        for peer in _peer.choose(names)
    ]
    print(_table.markdown(["name", "title", "durability", "workloads"], rows))


def main() -> int:
    """Runs, or shows what was run."""
    arguments = parse()
    # What runs is ended, and what was made is deleted, on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if not sys.platform.startswith("linux"):
        print("this reads /proc: it needs Linux", file=sys.stderr)
        return 2
    try:
        if arguments.list:
            show_peers(arguments.names)
            return 0
        if arguments.report:
            records = [json.loads(line) for line in arguments.report.read_text().splitlines()]
        else:
            if _machine.file_system(arguments.store_dir) in _machine.MEMORY_FILE_SYSTEMS:
                print(f"{arguments.store_dir} is in memory: give another --store-dir")
                return 2
            for name, said in _machine.describe(arguments.store_dir).items():
                print(f"{name}: {said}", flush=True)
            records = list(measured(arguments))
    except _peer.PeerError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n" + _table.report(records))
    if arguments.plot:
        for line in _plot.write(records, arguments.plot):
            print(line)
    return 1 if any("error" in record for record in records) else 0


if __name__ == "__main__":
    sys.exit(main())
