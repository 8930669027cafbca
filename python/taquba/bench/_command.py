"""The command: reads its options, measures one scenario after the other, reports.

Invariants:
    1. What would make a report fail is found out before anything is measured.
    2. What was measured is written to `--json` even if a later scenario fails.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast

from taquba.bench import _plots as plots
from taquba.bench._lab import NUMBER_BYTES, Lab, Settings
from taquba.bench._machine import describe, machine_lines
from taquba.bench._places import check_store, place_of
from taquba.bench._report import Result, document, lines
from taquba.bench._result import Case, NotDoneError
from taquba.bench._scenario import Scenario
from taquba.bench._scenarios import SCENARIOS
from taquba.bench._table import table

__all__ = ["main"]

_FAILED = 1
# The least that makes sense of each option.
_LEAST: Final = {
    "rounds": 1,
    "payload_bytes": NUMBER_BYTES,
    "in_flight": 1,
    "rate": 1,
    "minutes": 0.01,
}


def main(arguments: Sequence[str]) -> int:
    """Run the command.

    Args:
        arguments: Those of the command line, without the name of the program.

    Returns:
        What the process ends with: 0, or 1 if a scenario did not do its work.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.list:
        _say(table([[each.name, each.summary] for each in SCENARIOS.values()], 2))
        return 0
    try:
        settings, scenarios = _settings(options), _chosen(options.scenarios)
        if options.plots is not None:
            plots.check_installed()
    except (ValueError, ImportError) as error:
        parser.error(str(error))
    machine = describe()
    _say([*machine_lines(machine), _in_words(settings)])
    results: list[Result] = []
    try:
        for scenario in scenarios:
            results.append(_measure(scenario, settings))
            _say(lines(results[-1]))
    except NotDoneError as error:
        sys.stderr.write(f"{parser.prog}: {scenario.name}: {error}\n")
        return _FAILED
    finally:
        if options.json is not None:
            found = document(results, settings, machine, [parser.prog, *arguments])
            options.json.write_text(json.dumps(found, indent=1) + "\n")
    if options.plots is not None:
        plots.draw(results, options.plots)
    return 0


def _measure(scenario: Scenario, settings: Settings) -> Result:
    with place_of(scenario.choose_store(settings.store)) as place:
        try:
            cases = asyncio.run(_cases(scenario, Lab(settings, place)))
        except BaseExceptionGroup as group:
            # What went wrong in one of many lanes is told as if there had been one.
            not_done = group.subgroup(NotDoneError)
            if not_done is None:
                raise
            raise _first(not_done) from group
        return Result(scenario, place.title, cases)


async def _cases(scenario: Scenario, lab: Lab) -> list[Case]:
    return await scenario.measure(lab)


def _first(group: BaseExceptionGroup[NotDoneError]) -> NotDoneError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return cast("NotDoneError", error)


def _chosen(names: Sequence[str]) -> list[Scenario]:
    """The scenarios of these names; all but those that take long if there is none."""
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        message = f"no scenario `{unknown[0]}`; there are {', '.join(SCENARIOS)}"
        raise ValueError(message)
    return [SCENARIOS[name] for name in names] or [
        scenario for scenario in SCENARIOS.values() if scenario.is_default
    ]


def _settings(options: argparse.Namespace) -> Settings:
    if options.store is not None:
        check_store(options.store)
    for name, least in _LEAST.items():
        if getattr(options, name) < least:
            message = f"--{name.replace('_', '-')} is at least {least}"
            raise ValueError(message)
    if options.json is not None and not options.json.parent.is_dir():
        message = f"--json: there is no directory `{options.json.parent}`"
        raise ValueError(message)
    return Settings(
        store=options.store,
        is_quick=options.quick,
        round_count=options.rounds,
        payload_bytes=options.payload_bytes,
        in_flight=options.in_flight,
        jobs_per_second=options.rate,
        drift_minutes=options.minutes,
    )


def _in_words(settings: Settings) -> str:
    size = "a quick look" if settings.is_quick else "full size"
    rounds = f"rounds: {settings.round_count}, after one to warm up"
    return f"{size}; {rounds}; {settings.payload_bytes} B payloads; {settings.in_flight} in flight"


def _parser() -> argparse.ArgumentParser:
    preset = Settings()
    parser = argparse.ArgumentParser(
        prog="python -m taquba.bench",
        description="Measure what jobs and steps cost on this machine.",
    )
    add = parser.add_argument
    add("scenarios", nargs="*", metavar="SCENARIO", help="what to measure; all but drift if absent")
    add("--list", action="store_true", help="show the scenarios")
    add(
        "--store",
        help="memory://, a directory, a URL such as s3://bucket/prefix, or slow:20 (memory that "
        "takes 20 ms for each PUT and GET); a fresh directory below the current one if absent",
    )
    add("--quick", action="store_true", help="a look: about a tenth of the work")
    add("--rounds", type=int, default=preset.round_count, help="measured rounds (%(default)s)")
    add("--json", type=Path, metavar="FILE", help="write every round as one JSON document")
    add("--plots", type=Path, metavar="DIR", help="write SVG and PNG; needs taquba[bench]")
    add("--payload-bytes", type=int, default=preset.payload_bytes, help="(%(default)s)")
    add("--in-flight", type=int, default=preset.in_flight, help="at a time (%(default)s)")
    add("--rate", type=float, default=preset.jobs_per_second, help="steady: jobs/s (%(default)g)")
    add("--minutes", type=float, default=preset.drift_minutes, help="drift (%(default)g)")
    return parser


def _say(text: Sequence[str]) -> None:
    sys.stdout.write("\n".join(text) + "\n")
    sys.stdout.flush()
