"""`taquba runs`: runs, one run with its steps, and what can be done to it."""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from taquba.cli import _batches
from taquba.cli._acting import act_on_each, say
from taquba.cli._blocks import Block, Column, Lines, Record, Table
from taquba.cli._command import FOUND, OK, Command, CommandError
from taquba.cli._content import add_content, as_fields, read_content, show, write_raw
from taquba.cli._jobs import add_job_options, attempts_table
from taquba.cli._options import (
    add_acting,
    add_admin,
    add_listing,
    add_reading,
    add_store,
    between,
    header,
)
from taquba.cli._owner import Owner
from taquba.cli._present import Listing, present, present_listing, write_json
from taquba.cli._remote import OwnerSource
from taquba.cli._source import Source, open_source, owner_of
from taquba.cli._tail import tail
from taquba.cli._text import age, instant
from taquba.cli._timeline import timeline
from taquba.cli._wire import Content, Json, RunFilter
from taquba.queue import RunState

__all__ = ["COMMAND"]

_STATES: Final = [state.value for state in RunState]
_LOOK_SECONDS: Final = 1.0


def _add_ls(parser: argparse.ArgumentParser) -> None:
    add_listing(parser)
    parser.add_argument("--queue", help="only those of this queue")
    parser.add_argument(
        "--state",
        choices=_STATES,
        action="append",
        default=[],
        help="only those in this state; several may be given",
    )
    parser.add_argument("--prefix", help="only those whose id begins so")
    parser.add_argument(
        "--header", type=header, metavar="NAME=VALUE", help="only those that have this header"
    )
    parser.add_argument("--error", metavar="TEXT", help="only those whose error has this in it")


def _ls(options: argparse.Namespace) -> int:
    wanted = RunFilter(
        queue=options.queue,
        states=options.state,
        prefix=options.prefix,
        header=options.header,
        error=options.error,
    )
    with open_source(options) as source:
        listing = Listing("runs", lambda cursor, limit: source.runs(wanted, cursor, limit), _table)
        present_listing(options, listing)
    return OK


def _table(rows: Sequence[Json]) -> Iterable[Block]:
    columns = [
        Column("run"),
        Column("state"),
        Column("queue"),
        Column("step", is_figure=True),
        Column("attempts", is_figure=True),
        Column("submitted", is_figure=True),
        Column("due", is_figure=True),
        Column("ended", is_figure=True),
        Column("error", is_cut=True),
    ]
    cells = [
        [
            run["run_id"],
            run["state"],
            run["queue"],
            str(run["step_number"]),
            _attempts(run),
            age(run["submitted_at"]),
            age(run["run_at"]) if run["state"] == RunState.SCHEDULED.value else "",
            age(run["ended_at"]),
            run["error"] or run["last_error"] or "",
        ]
        for run in rows
    ]
    yield Table(columns, cells, "no such runs")


def _attempts(run: Json) -> str:
    most = run["max_attempts"]
    return str(run["attempts"]) if most is None else f"{run['attempts']}/{most}"


def _add_show(parser: argparse.ArgumentParser) -> None:
    add_reading(parser)
    parser.add_argument("run_id", metavar="RUN_ID")
    parser.add_argument("--result", action="store_true", help="show its result too")
    parser.add_argument("--raw", action="store_true", help="write the result alone, as it is")


def _show(options: argparse.Namespace) -> int:
    with open_source(options) as source:
        if options.raw:
            write_raw(_result(source, options.run_id))
            return OK

        def look() -> Json:
            answer = source.run(options.run_id)
            if options.result:
                found = source.result(options.run_id)
                answer["result"] = None if found is None else found.as_json()
            return answer

        present(options, look, _blocks)
    return OK


def _result(source: Source, run_id: str) -> Content:
    found = source.result(run_id)
    if found is None:
        message = f"run `{run_id}` has no result: only one that has succeeded has one"
        raise CommandError(message, code="no-result")
    return found


def _blocks(answer: Json) -> Iterator[Block]:
    run = answer["run"]
    yield Record(f"run {run['run_id']}", run["state"], _fields(run))
    yield Lines([""])
    yield from timeline(answer["steps"])
    if answer["attempts"]:
        yield Lines(["", f"deliveries of step {run['step_number']}"], "bold")
        yield attempts_table(answer["attempts"])
    if answer.get("result") is not None:
        yield Lines([""])
        yield from show("result", Content.of(answer["result"]))


def _fields(run: Json) -> dict[str, str]:
    is_scheduled = run["state"] == RunState.SCHEDULED.value
    return {
        "queue": run["queue"],
        "step": str(run["step_number"]),
        "attempts": _attempts(run),
        "submitted": instant(run["submitted_at"]),
        "due": instant(run["run_at"]) if is_scheduled else "",
        "delivered": instant(run["started_at"]),
        "ended": instant(run["ended_at"]),
        "priority": "" if run["priority"] is None else str(run["priority"]),
        "job": run["job_id"] or "",
        "last error": run["last_error"] or "",
        "error": run["error"] or "",
        **{f"header {name}": value for name, value in run["headers"].items()},
    }


def _add_tail(parser: argparse.ArgumentParser) -> None:
    add_store(parser)
    add_admin(parser)
    parser.add_argument("run_id", metavar="RUN_ID")
    parser.add_argument("--ndjson", action="store_true", help="the run as JSON at each change")
    _add_every(parser)


def _add_every(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--every",
        type=between(0.01, 3600),
        default=_LOOK_SECONDS,
        metavar="DURATION",
        help=f"between two looks ({_LOOK_SECONDS:g}s)",
    )


def _tail(options: argparse.Namespace) -> int:
    with open_source(options) as source:
        return tail(source, options.run_id, options.every, as_lines_of_json=options.ndjson)


def _add_ids(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_ids", nargs="+", metavar="RUN_ID")
    add_acting(parser)


def _cancel(options: argparse.Namespace) -> int:
    late: list[str] = []

    def act(owner: Owner, run_id: str) -> tuple[Json, str]:
        answer = owner.post("api/run/cancel", {"run_id": run_id})
        if answer["is_cancelled"]:
            return answer, "cancelled"
        state = owner.get("api/run", run_id=run_id)["run"]["state"]
        late.append(run_id)
        return answer, f"had ended before: {state}"

    ended_with = act_on_each(options, "run_id", options.run_ids, act)
    return FOUND if late and ended_with == OK else ended_with


def _wake(options: argparse.Namespace) -> int:
    def act(owner: Owner, run_id: str) -> tuple[Json, str]:
        return owner.post("api/run/wake", {"run_id": run_id}), "its step is due now"

    return act_on_each(options, "run_id", options.run_ids, act)


def _retry(options: argparse.Namespace) -> int:
    def act(owner: Owner, run_id: str) -> tuple[Json, str]:
        answer = owner.post("api/run/retry", {"run_id": run_id})
        again = answer.get("run_id", run_id)
        words = "its step is due now" if again == run_id else f"submitted again as {again}"
        return {"retried_as": again}, words

    return act_on_each(options, "run_id", options.run_ids, act)


def _add_submit(parser: argparse.ArgumentParser) -> None:
    add_content(parser, "payload", "the input of step 0")
    parser.add_argument("--run-id", help="makes submitting again safe; generated if absent")
    parser.add_argument("--queue", help="of this runtime, if the owner has several")
    add_job_options(parser)
    _batches.add_option(parser)
    parser.add_argument("--wait", action="store_true", help="follow it to its end, as `tail` does")
    _add_every(parser)
    add_acting(parser)


def _submit(options: argparse.Namespace) -> int:
    if options.batch is not None:
        return _batches.send(options, "api/runs/batch", _run_ids)
    owner = owner_of(options)
    answer = owner.post(
        "api/runs",
        {
            **as_fields("payload", read_content(options.payload, options.file)),
            "run_id": options.run_id,
            "headers": dict(options.header),
            "priority": options.priority,
            "max_attempts": options.max_attempts,
            "delay_seconds": options.delay,
            "queue": options.queue,
        },
    )
    if options.json:
        write_json(answer)
    else:
        say(answer["run_id"] if answer["newly_submitted"] else f"{answer['run_id']}  was there")
    if not options.wait:
        return OK
    return tail(OwnerSource(owner), answer["run_id"], options.every, as_lines_of_json=options.json)


def _run_ids(answer: Json) -> list[str]:
    return [run["run_id"] for run in answer["runs"]]


COMMAND: Final = Command(
    name="runs",
    summary="runs: list, show, tail, cancel, wake, retry, submit",
    description="Runs of workflows, the latest submission first.",
    subcommands=(
        Command(
            name="ls",
            summary="list runs",
            description="Lists runs, the latest submission first.",
            add_arguments=_add_ls,
            run=_ls,
        ),
        Command(
            name="show",
            summary="show a run and its steps",
            description="Shows a run, its steps along time, and the deliveries of its latest step.",
            add_arguments=_add_show,
            run=_show,
        ),
        Command(
            name="tail",
            summary="follow a run until it ends",
            description="Writes a line for each change, until the run ends. Ends with 1 if the run "
            "did not succeed.",
            add_arguments=_add_tail,
            run=_tail,
        ),
        Command(
            name="cancel",
            summary="stop runs",
            description="Stops runs. Ends with 1 if one of them had ended before.",
            add_arguments=_add_ids,
            run=_cancel,
        ),
        Command(
            name="wake",
            summary="make the waiting step of runs due now",
            description="Makes the step due now that waits for its time or for a retry.",
            add_arguments=_add_ids,
            run=_wake,
        ),
        Command(
            name="retry",
            summary="try runs again now",
            description="Makes the step of a waiting run due now. A failed run whose first step "
            "died, and whose dead job is still kept, is submitted again under a new id.",
            add_arguments=_add_ids,
            run=_retry,
        ),
        Command(
            name="submit",
            summary="submit a run, or many",
            description="Submits a run to a runtime of the owner, or with --batch as many as a "
            "file has lines. With --wait it ends with 1 if the run did not succeed.",
            add_arguments=_add_submit,
            run=_submit,
        ),
    ),
)
