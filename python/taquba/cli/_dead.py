"""`taquba dead`: dead letters of all queues, by what went wrong, and what can be done to many."""

import argparse
from collections.abc import Iterable, Sequence
from typing import Final, final

from taquba.cli._acting import confirm, say
from taquba.cli._blocks import Block, Column, Lines, Table
from taquba.cli._command import FOUND, OK, Command, CommandError
from taquba.cli._options import add_acting, add_listing, add_reading, count, seconds
from taquba.cli._owner import Owner
from taquba.cli._present import Listing, present, present_listing, write_json
from taquba.cli._progress import progress
from taquba.cli._source import Source, open_source, owner_of, unknown_queue
from taquba.cli._text import age, duration
from taquba.cli._wire import PAGE_ROWS_MAX, Json, Page

__all__ = ["COMMAND"]

# One request of the owner.
_REQUEUE_COUNT_MAX: Final = 1000
_LIMIT_MAX: Final = 1_000_000_000
# A million dead jobs are deleted in a minute or two.
_PURGE_TIMEOUT_SECONDS: Final = 600.0
# No queue name has it: what stands before it in a cursor is the queue.
_SEPARATOR: Final = "/"
_STEP: Final = "step"


def _add_ls(parser: argparse.ArgumentParser) -> None:
    add_listing(parser)
    _add_filters(parser)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--queue", help="only those of this queue")
    parser.add_argument("--error", metavar="TEXT", help="only those whose error has this in it")


def _ls(options: argparse.Namespace) -> int:
    with open_source(options) as source:
        names = source.queue_names()
        if options.queue is not None:
            if options.queue not in names:
                raise unknown_queue(options.queue)
            names = [options.queue]
        listing = Listing("jobs", _Queues(source, names, options.error).page, _table)
        present_listing(options, listing)
    return OK


@final
class _Queues:
    """The dead jobs of several queues, one after the other.

    A cursor is the name of a queue, and the cursor in that queue.
    """

    def __init__(self, source: Source, names: Sequence[str], error: str | None) -> None:
        self._source = source
        self._names = sorted(names)
        self._error = error

    def page(self, cursor: str | None, limit: int) -> Page:
        """List some of them.

        Raises:
            CommandError: No page gave that cursor.
        """
        name, _, inner = (cursor or "").partition(_SEPARATOR)
        if cursor is not None and (_SEPARATOR not in cursor or name not in self._names):
            message = "--cursor: give one of a listing of these queues, as it was"
            raise CommandError(message, code="invalid-cursor")
        following = [each for each in self._names if each >= name]
        if not following:
            return Page([], None)
        queue = following[0]
        start = (inner or None) if queue == name else None
        page = self._source.dead(queue, self._error, start, limit)
        if page.cursor is not None:
            return Page(page.rows, f"{queue}{_SEPARATOR}{page.cursor}")
        rest = following[1:]
        return Page(page.rows, f"{rest[0]}{_SEPARATOR}" if rest else None)


def _table(rows: Sequence[Json]) -> Iterable[Block]:
    columns = [
        Column("job"),
        Column("queue"),
        Column("kind"),
        Column("attempts", is_figure=True),
        Column("died", is_figure=True),
        Column("run", is_cut=True),
        Column("error", is_cut=True),
    ]
    cells = [
        [
            job["job_id"],
            job["queue"],
            job["kind"],
            str(job["attempts"]),
            age(job["ended_at"]),
            job["run_id"] or "",
            job["last_error"] or "",
        ]
        for job in rows
    ]
    yield Table(columns, cells, "no dead jobs")


def _add_groups(parser: argparse.ArgumentParser) -> None:
    add_reading(parser)
    parser.add_argument("--ndjson", action="store_true", help="one JSON object for each group")
    parser.add_argument("--queue", help="only those of this queue")


def _groups(options: argparse.Namespace) -> int:
    with open_source(options) as source:
        present(options, lambda: source.dead_groups(options.queue), _show_groups, "groups")
    return OK


def _show_groups(answer: Json) -> Iterable[Block]:
    columns = [
        Column("count", is_figure=True),
        Column("queue"),
        Column("first", is_figure=True),
        Column("last", is_figure=True),
        Column("one of them"),
        Column("error", is_cut=True),
    ]
    cells = [
        [
            f"{group['count']:,}",
            group["queue"],
            age(group["first_at"]),
            age(group["last_at"]),
            group["job_id"],
            group["error"] or "",
        ]
        for group in answer["groups"]
    ]
    yield Table(columns, cells, "no dead jobs")
    if not answer["is_complete"]:
        yield Lines([f"of the first {answer['examined']:,} dead jobs; there are more"], "dim")


def _add_requeue(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("queue", metavar="QUEUE")
    parser.add_argument("--error", metavar="TEXT", help="only those whose error has this in it")
    parser.add_argument(
        "--limit", type=count(1, _LIMIT_MAX), default=_LIMIT_MAX, metavar="N", help="at most N"
    )
    parser.add_argument("--dry-run", action="store_true", help="count them only")
    _add_yes(parser)
    add_acting(parser)


def _add_yes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _requeue(options: argparse.Namespace) -> int:
    owner = owner_of(options)
    dead_count = _dead_count(owner, options.queue)
    found = _requeue_some(owner, options, options.limit, is_dry=True)
    # The owner leaves out the steps, and a limit may leave out more.
    step_count = 0
    if found["matched"] < min(dead_count, options.limit):
        step_count = _step_count(owner, options.queue, options.error)
    if not options.dry_run and found["matched"]:
        which = f" whose error has `{options.error}` in it" if options.error is not None else ""
        confirm(options, f"Requeue {found['matched']:,} dead jobs of `{options.queue}`{which}?")
        # No more than the answer was about.
        found = _requeue_some(owner, options, found["matched"], is_dry=False)
    matched, requeued = found["matched"], found["requeued"]
    if options.json:
        write_json({**found, "steps": step_count})
    else:
        say(f"{matched:,} match" if options.dry_run else f"{requeued:,} of {matched:,} requeued")
        if step_count == 1:
            say("1 is the step of a run that has failed: `taquba runs retry`")
        elif step_count:
            say(f"{step_count:,} are steps of runs that have failed: `taquba runs retry`")
    return FOUND if not options.dry_run and (step_count or requeued < matched) else OK


def _requeue_some(owner: Owner, options: argparse.Namespace, limit: int, *, is_dry: bool) -> Json:
    """Requeue at most so many dead jobs, or count them only."""
    matched = requeued = 0
    cursor = None
    with progress("dead jobs", None if is_dry else limit) as bar:
        while matched < limit:
            answer = owner.post(
                "api/dead/requeue",
                {
                    "queue": options.queue,
                    "error": options.error,
                    "limit": min(_REQUEUE_COUNT_MAX, limit - matched),
                    "dry_run": is_dry,
                    "cursor": cursor,
                },
            )
            matched += answer["matched"]
            requeued += answer["requeued"]
            bar(matched)
            cursor = answer["cursor"]
            if cursor is None:
                break
    return {"matched": matched, "requeued": requeued, "cursor": cursor}


def _step_count(owner: Owner, queue: str, error: str | None) -> int:
    """Count the dead steps of runs."""
    steps = 0
    cursor: str | None = None
    while True:
        page = owner.get("api/dead", queue=queue, error=error, cursor=cursor, limit=PAGE_ROWS_MAX)
        steps += sum(1 for job in page["jobs"] if job["kind"] == _STEP)
        cursor = page["cursor"]
        if cursor is None:
            return steps


def _add_purge(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("queue", metavar="QUEUE")
    parser.add_argument(
        "--older-than",
        type=seconds,
        default=0.0,
        metavar="DURATION",
        help="only those that died at least so long ago, such as 7d",
    )
    _add_yes(parser)
    add_acting(parser)


def _purge(options: argparse.Namespace) -> int:
    owner = owner_of(options)
    dead_count = _dead_count(owner, options.queue)
    which = f" that died {duration(options.older_than)} ago or before" if options.older_than else ""
    confirm(
        options,
        "Steps of failed runs among them are the input that `taquba runs retry` needs. "
        f"Delete at most {dead_count:,} dead jobs of `{options.queue}`{which} for good?",
    )
    with progress("dead jobs", dead_count or None):
        answer = owner.post(
            "api/dead/purge",
            {"queue": options.queue, "older_than_seconds": options.older_than},
            timeout=_PURGE_TIMEOUT_SECONDS,
        )
    if options.json:
        write_json(answer)
    else:
        say(f"{answer['purged']:,} deleted")
    return OK


def _dead_count(owner: Owner, name: str) -> int:
    """Return about how many there are: the owner counts every two seconds.

    Raises:
        CommandError: There is no such queue.
    """
    for queue in owner.get("api/overview")["queues"]:
        if queue["name"] == name:
            return int(queue["dead_count"])
    raise unknown_queue(name)


COMMAND: Final = Command(
    name="dead",
    summary="dead letters: list, group, requeue, purge",
    description="Jobs that were given up: of all queues, or of one.",
    subcommands=(
        Command(
            name="ls",
            summary="list dead jobs",
            description="Lists dead jobs, queue by queue, in the order of their enqueueing.",
            add_arguments=_add_ls,
            run=_ls,
        ),
        Command(
            name="groups",
            summary="count dead jobs by what went wrong",
            description="Counts dead jobs by their last error, without its numbers and ids. Of a "
            "store all of them are read.",
            add_arguments=_add_groups,
            run=_groups,
        ),
        Command(
            name="requeue",
            summary="make many dead jobs claimable again",
            description="Makes dead jobs of a queue claimable again, with all their attempts. "
            "They are counted first. The step of a run is left, as its run has ended: `taquba runs "
            "retry`. Ends with 1 if some were left.",
            add_arguments=_add_requeue,
            run=_requeue,
        ),
        Command(
            name="purge",
            summary="delete dead jobs",
            description="Deletes dead jobs of a queue for good. Of a run that has failed that is "
            "the input with which `taquba runs retry` submits it again.",
            add_arguments=_add_purge,
            run=_purge,
        ),
    ),
)
