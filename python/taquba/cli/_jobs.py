"""`taquba jobs`: jobs of a queue, one job, and what can be done to it."""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from taquba._checks import PRIORITY_MAX
from taquba.cli import _batches
from taquba.cli._acting import act_on_each, say
from taquba.cli._blocks import Block, Column, Record, Table
from taquba.cli._command import OK, Command
from taquba.cli._content import add_content, as_fields, read_content, show, write_raw
from taquba.cli._options import add_acting, add_listing, add_reading, count, header, seconds
from taquba.cli._owner import Owner
from taquba.cli._present import Listing, present, present_listing, write_json
from taquba.cli._source import open_source, owner_of, unknown_queue
from taquba.cli._text import age, duration, instant, read_instant, size
from taquba.cli._wire import Content, Json, Page
from taquba.queue import JobState

__all__ = ["COMMAND", "add_job_options", "attempts_table", "job_fields", "jobs_table"]

_STATES: Final = [state.value for state in JobState]
_ATTEMPTS_MAX: Final = 1_000_000


def _add_ls(parser: argparse.ArgumentParser) -> None:
    add_listing(parser)
    parser.add_argument("--queue", required=True, help="of this queue")
    parser.add_argument("--state", choices=_STATES, help="only those in this state")


def _ls(options: argparse.Namespace) -> int:
    with open_source(options) as source:

        def show_rows(rows: Sequence[Json]) -> Iterable[Block]:
            yield jobs_table(rows, "no such jobs")

        def fetch(cursor: str | None, limit: int) -> Page:
            page = source.jobs(options.queue, options.state, cursor, limit)
            if not page.rows and options.queue not in source.queue_names():
                raise unknown_queue(options.queue)
            return page

        present_listing(options, Listing("jobs", fetch, show_rows))
    return OK


def jobs_table(rows: Sequence[Json], empty: str) -> Table:
    """Make a table of jobs."""
    columns = [
        Column("job"),
        Column("state"),
        Column("kind"),
        Column("attempts", is_figure=True),
        Column("age", is_figure=True),
        Column("due", is_figure=True),
        Column("size", is_figure=True),
        Column("run", is_cut=True),
        Column("last error", is_cut=True),
    ]
    cells = [
        [
            job["job_id"],
            job["state"],
            job["kind"],
            f"{job['attempts']}/{job['max_attempts']}",
            age(job["enqueued_at"]),
            age(job["run_at"]) if job["state"] == JobState.SCHEDULED.value else "",
            size(job["payload_bytes"]),
            job["run_id"] or "",
            job["last_error"] or "",
        ]
        for job in rows
    ]
    return Table(columns, cells, empty)


def _add_show(parser: argparse.ArgumentParser) -> None:
    add_reading(parser)
    parser.add_argument("job_id", metavar="JOB_ID")
    parser.add_argument("--payload", action="store_true", help="show its payload too")
    parser.add_argument("--raw", action="store_true", help="write the payload alone, as it is")


def _show(options: argparse.Namespace) -> int:
    with open_source(options) as source:
        if options.raw:
            write_raw(source.payload(options.job_id))
            return OK

        def look() -> Json:
            answer = source.job(options.job_id)
            if options.payload:
                answer["payload"] = source.payload(options.job_id).as_json()
            return answer

        present(options, look, _blocks)
    return OK


def _blocks(answer: Json) -> Iterator[Block]:
    job = answer["job"]
    yield Record(f"job {job['job_id']}", job["state"], job_fields(job))
    if answer["attempts"]:
        yield attempts_table(answer["attempts"])
    if answer.get("payload") is not None:
        yield from show("payload", Content.of(answer["payload"]))


def job_fields(job: Json) -> dict[str, str]:
    """Return the fields of a job for people."""
    return {
        "queue": job["queue"],
        "kind": job["kind"],
        "run": job["run_id"] or "",
        "attempts": f"{job['attempts']} of {job['max_attempts']}",
        "priority": str(job["priority"]),
        "enqueued": instant(job["enqueued_at"]),
        "due": instant(job["run_at"]),
        "ended": instant(job["ended_at"]),
        "dedup key": job["dedup_key"] or "",
        "payload": size(job["payload_bytes"]),
        "cancel": "its holder was asked to stop" if job["is_cancel_requested"] else "",
        "last error": job["last_error"] or "",
        **{f"header {name}": value for name, value in job["headers"].items()},
    }


def attempts_table(attempts: Sequence[Json]) -> Table:
    """Make a table of the deliveries of a job."""
    columns = [
        Column("attempt", is_figure=True),
        Column("began"),
        Column("took", is_figure=True),
        Column("ended"),
        Column("error", is_wrapped=True),
    ]
    rows = [
        [
            str(each["number"]),
            instant(each["started_at"], is_relative=False),
            _took(each),
            each["end"],
            each["error"] or "",
        ]
        for each in attempts
    ]
    return Table(columns, rows, "no attempts")


def _took(attempt: Json) -> str:
    began, ended = read_instant(attempt["started_at"]), read_instant(attempt["ended_at"])
    return duration(ended - began) if began is not None and ended is not None else ""


def _add_ids(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job_ids", nargs="+", metavar="JOB_ID")
    add_acting(parser)


def _cancel(options: argparse.Namespace) -> int:
    def act(owner: Owner, job_id: str) -> tuple[Json, str]:
        answer = owner.post("api/job/cancel", {"job_id": job_id})
        removed = answer["became"] == "removed"
        return answer, "removed" if removed else "its holder was asked to stop"

    return act_on_each(options, "job_id", options.job_ids, act)


def _requeue(options: argparse.Namespace) -> int:
    def act(owner: Owner, job_id: str) -> tuple[Json, str]:
        return owner.post("api/job/requeue", {"job_id": job_id}), "requeued"

    return act_on_each(options, "job_id", options.job_ids, act)


def _wake(options: argparse.Namespace) -> int:
    def act(owner: Owner, job_id: str) -> tuple[Json, str]:
        return owner.post("api/job/wake", {"job_id": job_id}), "pending"

    return act_on_each(options, "job_id", options.job_ids, act)


def _add_enqueue(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("queue", metavar="QUEUE")
    add_content(parser, "payload", "what the worker receives")
    parser.add_argument("--dedup-key", metavar="KEY", help="at most one live job has it")
    add_job_options(parser)
    _batches.add_option(parser)
    add_acting(parser)


def add_job_options(parser: argparse.ArgumentParser) -> None:
    """Add what a new job and a new run have in common."""
    parser.add_argument(
        "--header", type=header, action="append", default=[], metavar="NAME=VALUE", help="metadata"
    )
    parser.add_argument(
        "--priority", type=count(0, PRIORITY_MAX), metavar="N", help="lower is claimed first"
    )
    parser.add_argument("--delay", type=seconds, metavar="DURATION", help="not before, such as 15m")
    parser.add_argument(
        "--max-attempts",
        type=count(1, _ATTEMPTS_MAX),
        metavar="N",
        help="deliveries before it is given up",
    )


def _enqueue(options: argparse.Namespace) -> int:
    if options.batch is not None:
        return _batches.send(
            options, "api/jobs/batch", lambda answer: list(answer["job_ids"]), queue=options.queue
        )
    answer = owner_of(options).post(
        "api/jobs",
        {
            "queue": options.queue,
            **as_fields("payload", read_content(options.payload, options.file)),
            "headers": dict(options.header),
            "priority": options.priority,
            "delay_seconds": options.delay,
            "dedup_key": options.dedup_key,
            "max_attempts": options.max_attempts,
        },
    )
    if options.json:
        write_json(answer)
    else:
        say(answer["job_id"])
    return OK


COMMAND: Final = Command(
    name="jobs",
    summary="jobs: list, show, cancel, requeue, wake, enqueue",
    description="Jobs of a queue, in the order in which they were enqueued.",
    subcommands=(
        Command(
            name="ls",
            summary="list the jobs of a queue",
            description="Lists jobs in the order in which they were enqueued, without payloads.",
            add_arguments=_add_ls,
            run=_ls,
        ),
        Command(
            name="show",
            summary="show a job and its deliveries",
            description="Shows a job and its latest deliveries, with what went wrong in each.",
            add_arguments=_add_show,
            run=_show,
        ),
        Command(
            name="cancel",
            summary="remove jobs, or ask their holders to stop",
            description="Removes a job that waits; of one that is delivered the holder is asked to "
            "stop. The step of a run is not cancelled: cancel the run.",
            add_arguments=_add_ids,
            run=_cancel,
        ),
        Command(
            name="requeue",
            summary="make dead jobs claimable again",
            description="Makes dead jobs claimable again, with all their attempts.",
            add_arguments=_add_ids,
            run=_requeue,
        ),
        Command(
            name="wake",
            summary="make scheduled jobs claimable now",
            description="Makes jobs claimable now that are scheduled or wait for a retry.",
            add_arguments=_add_ids,
            run=_wake,
        ),
        Command(
            name="enqueue",
            summary="add a job, or many",
            description="Adds a job to a queue, or with --batch as many as a file has lines.",
            add_arguments=_add_enqueue,
            run=_enqueue,
        ),
    ),
)
