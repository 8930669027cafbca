"""`taquba verify`: read all of a store, and say what is damaged."""

import argparse
import asyncio
import json
import sys
from dataclasses import asdict
from typing import Final

from taquba.cli._command import FOUND, OK, Command
from taquba.cli._options import add_json, add_store, store_url
from taquba.cli._text import escaped
from taquba.queue import VerifyReport, verify

__all__ = ["COMMAND"]

_DESCRIPTION = (
    "Reads every record, every large payload and every object of a store, and says what is "
    "damaged. Writes nothing, and takes nothing away from the process that owns the store. Ends "
    "with 0 if all is as it was written, with 1 if it is not, with 2 if it could not be read."
)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_store(parser)
    add_json(parser)


def _run(options: argparse.Namespace) -> int:
    report = asyncio.run(verify(store_url(options), options.path))
    sys.stdout.write(_as_json(report) if options.json else _as_text(report))
    return OK if report.is_clean else FOUND


def _as_json(report: VerifyReport) -> str:
    return json.dumps({**asdict(report), "is_clean": report.is_clean}, default=str) + "\n"


def _as_text(report: VerifyReport) -> str:
    records = (
        f"{report.queue_count} queues, {report.job_count} jobs, {report.run_count} runs, "
        f"{report.memo_count} memos, {report.key_count} keys"
    )
    payloads = f"{report.payload_object_count} ({report.payload_bytes} bytes)"
    lines = [
        f"{report.path}: {report.object_count} objects, {report.object_bytes} bytes",
        f"  records {report.row_count} ({report.row_bytes} bytes): {records}",
        f"  large payloads {payloads}, and {report.orphan_count} that no record names",
        f"  owner {_owner(report)}",
    ]
    for problem in report.problems:
        lines += [f"{problem.kind}: {problem.object}: {problem.detail}", f"  {problem.remedy}"]
    untold = report.problem_count - len(report.problems)
    if untold > 0:
        lines.append(f"and {untold} problems more")
    if not report.is_complete:
        lines.append("the records could not be read to their end: what is told is not all there is")
    lines.append("clean" if report.is_clean else f"{report.problem_count} problem(s)")
    return "\n".join(map(escaped, lines)) + "\n"


def _owner(report: VerifyReport) -> str:
    owner = report.owner
    if owner is None:
        return "none: the last one closed the store in order"
    state = "alive" if owner.is_alive else "silent"
    return f"process {owner.pid} on {owner.host}, {state}, last seen {owner.last_seen:%F %T} UTC"


COMMAND: Final = Command(
    name="verify",
    summary="read all of a store and say what is damaged",
    description=_DESCRIPTION,
    add_arguments=_add_arguments,
    run=_run,
)
