"""Counts of an open store."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from taquba.queue._html import table

__all__ = ["QueueStats", "Stats"]

_COLUMNS: Final = (
    "queue",
    "pending",
    "scheduled",
    "claimed",
    "done",
    "dead",
    "live runs",
    "enqueued",
    "acked",
)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class QueueStats:
    """Jobs of one queue, counted. Totals count since the queue's first job, over restarts.

    Args:
        pending_count: Claimable now.
        scheduled_count: Claimable later: scheduled, or waiting for a retry.
        claimed_count: Being delivered.
        done_count: Acked and still kept.
        dead_count: Dead-lettered and still kept.
        live_run_count: Runs that have not ended.
        enqueued_total: Jobs ever enqueued, steps and notifications among them.
        acked_total: Deliveries ever acked.
        retried_total: Jobs ever made to wait again: nacked, released, expired or requeued.
        dead_total: Jobs ever dead-lettered.
        cancelled_total: Jobs ever cancelled: removed, or given up by their holder.
    """

    pending_count: int
    scheduled_count: int
    claimed_count: int
    done_count: int
    dead_count: int
    live_run_count: int
    enqueued_total: int
    acked_total: int
    retried_total: int
    dead_total: int
    cancelled_total: int


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Stats:
    """Counts of an open store.

    Args:
        queues: By queue name.
        quarantined_count: Records found damaged and moved aside.
        commit_count: Commits since the store was opened.
        row_count: Rows in those commits.
        put_count: Objects written since the store was opened; on a local disk, commits among them.
        put_bytes: Bytes of those objects.
        get_count: Objects, or parts of them, read since the store was opened, and looks at what is
            known about one.
        get_bytes: Bytes that those reads returned.
        list_count: Listings since the store was opened.
        delete_count: Objects deleted since the store was opened.
    """

    queues: Mapping[str, QueueStats]
    quarantined_count: int
    commit_count: int
    row_count: int
    put_count: int
    put_bytes: int
    get_count: int
    get_bytes: int
    list_count: int
    delete_count: int

    def _repr_html_(self) -> str:
        """Show the queues in a notebook, one in each row."""
        rows = [
            (
                name,
                queue.pending_count,
                queue.scheduled_count,
                queue.claimed_count,
                queue.done_count,
                queue.dead_count,
                queue.live_run_count,
                queue.enqueued_total,
                queue.acked_total,
            )
            for name, queue in sorted(self.queues.items())
        ]
        caption = f"{len(rows)} queues"
        if self.quarantined_count:
            caption += f", {self.quarantined_count} damaged records moved aside"
        return table(caption, _COLUMNS, rows)
