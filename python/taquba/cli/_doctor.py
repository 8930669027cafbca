"""`taquba doctor`: ask a store whether it can hold a queue, and how the queue in it is doing."""

import argparse
import asyncio
import json
import sys
from typing import Any, Final

from taquba.cli._command import FAILED, FOUND, OK, Command
from taquba.cli._options import add_json, add_store, between, store_url
from taquba.cli._policy import policy
from taquba.cli._text import escaped

__all__ = ["COMMAND"]

_DESCRIPTION = (
    "Tries everything that a queue needs of a store, below a throw-away prefix that it deletes, "
    "and looks at the queue that is there. Takes nothing away from the process that owns the "
    "store. Each check is ok, a warning or a failure, and says what to do. Ends with 0 if all is "
    "well, with 1 if there are warnings, with 2 if something failed or could not be asked."
)

_ENDS: Final = {"ok": OK, "warning": FOUND, "failure": FAILED}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_store(parser)
    add_json(parser)
    parser.add_argument(
        "--policy",
        action="store_true",
        help="ask nothing; print the smallest rights for owner and reader of this address",
    )
    parser.add_argument(
        "--request-timeout",
        type=between(0.05, 300),
        default=10.0,
        metavar="SECONDS",
        help="how long a request may take (%(default)g)",
    )
    parser.add_argument(
        "--time-limit",
        type=between(1, 3600),
        default=120.0,
        metavar="SECONDS",
        help="how long all probes of the store may take together (%(default)g)",
    )


def _run(options: argparse.Namespace) -> int:
    url = store_url(options)
    if options.policy:
        sys.stdout.write(_policy_text(url, options.path, as_json=options.json))
        return OK
    # Not before it is needed: most commands do without.
    from taquba.doctor import examine  # noqa: PLC0415

    diagnosis = asyncio.run(
        examine(
            url,
            options.path,
            request_timeout=options.request_timeout,
            time_limit=options.time_limit,
        )
    )
    checks = [
        {
            "name": check.name,
            "status": str(check.status),
            "seen": check.seen,
            "remedy": check.remedy,
            "figures": dict(check.figures),
        }
        for check in diagnosis.checks
    ]
    told = {
        "location": diagnosis.location,
        "path": diagnosis.path,
        "status": str(diagnosis.status),
        "checks": checks,
    }
    sys.stdout.write(json.dumps(told) + "\n" if options.json else _as_text(told))
    return _ENDS[str(diagnosis.status)]


def _as_text(told: dict[str, Any]) -> str:
    checks = told["checks"]
    lines = [f"{escaped(told['location'])}, path {escaped(told['path'])}"]
    width = max(len(check["name"]) for check in checks)
    for check in checks:
        status = check["status"] if check["status"] == "ok" else check["status"].upper()
        lines.append(f"  {status:8} {check['name']:{width}}  {escaped(check['seen'])}")
        if check["remedy"] is not None:
            lines.append(f"  {'':8} {'':{width}}  do: {escaped(check['remedy'])}")
    counts = {
        status: sum(check["status"] == status for check in checks)
        for status in ("ok", "warning", "failure")
    }
    told_counts = [
        f"{count} {status}{'' if status == 'ok' or count == 1 else 's'}"
        for status, count in counts.items()
    ]
    return "\n".join([*lines, ", ".join(told_counts)]) + "\n"


def _policy_text(url: str, path: str, *, as_json: bool) -> str:
    found = policy(url, path)
    if as_json:
        told = {"owner": found.owner, "reader": found.reader, "notes": list(found.notes)}
        return json.dumps(told) + "\n"
    parts = [
        "# Owner: the process that opens the queue.",
        json.dumps(found.owner, indent=2),
        "# Reader: those who only look, such as `taquba runs` and `taquba dashboard`.",
        json.dumps(found.reader, indent=2),
        *(f"# Note: {note}." for note in found.notes),
    ]
    return "\n".join(parts) + "\n"


COMMAND: Final = Command(
    name="doctor",
    summary="ask a store whether it can hold a queue, and how the queue in it is doing",
    description=_DESCRIPTION,
    add_arguments=_add_arguments,
    run=_run,
)
