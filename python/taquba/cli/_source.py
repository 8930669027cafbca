"""Where a command reads from: a store, or the owner of one. Both answer alike.

Not here:
    Reading a store is in `_store.py`, asking the owner in `_remote.py`; changes are made by the
    owner alone, in `_owner.py`.
"""

import argparse
import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Protocol

from taquba.cli._command import CommandError
from taquba.cli._options import (
    ADMIN_VARIABLE,
    STORE_VARIABLE,
    TOKEN_VARIABLE,
    admin_address,
    store_url,
)
from taquba.cli._owner import Owner
from taquba.cli._wire import PAGE_ROWS_MAX, Content, Json, Page, RunFilter

__all__ = ["Source", "open_source", "owner_of", "unknown_queue", "walk"]


class Source(Protocol):
    """What commands read from. Answers have the shape of the admin API's."""

    def overview(self) -> Json:
        """Return every queue, counted, and who owns the store."""

    def queue_names(self) -> list[str]:
        """Return the names of all queues, in order."""

    def jobs(self, queue: str, state: str | None, cursor: str | None, limit: int) -> Page:
        """List jobs of a queue. A page may have fewer rows than there are."""

    def dead(self, queue: str, error: str | None, cursor: str | None, limit: int) -> Page:
        """List dead jobs of a queue, perhaps only those whose error has a text in it."""

    def dead_groups(self, queue: str | None) -> Json:
        """Count dead jobs by what went wrong."""

    def job(self, job_id: str) -> Json:
        """Return a job and its deliveries."""

    def payload(self, job_id: str) -> Content:
        """Return the payload of a job."""

    def runs(self, wanted: RunFilter, cursor: str | None, limit: int) -> Page:
        """List runs. A page may have fewer rows than there are."""

    def run(self, run_id: str) -> Json:
        """Return a run, its steps, and the deliveries of the latest one."""

    def result(self, run_id: str) -> Content | None:
        """Return the result of a run that succeeded; `None` for another run."""

    def memos(self, run_id: str, cursor: str | None, limit: int) -> Page:
        """List the memos of a run."""

    def keys(self, prefix: str, cursor: str | None, limit: int, *, with_values: bool) -> Page:
        """List keys, with their values if they are asked for."""

    def value(self, key: str) -> Content | None:
        """Return the value of a key; `None` if it has none."""

    def close(self) -> None:
        """Give up what was opened."""


def owner_of(options: argparse.Namespace) -> Owner:
    """Return the owner, to whom changes are given.

    Raises:
        CommandError: Its address is not known, or is none.
    """
    return Owner(admin_address(options), os.environ.get(TOKEN_VARIABLE) or None)


@contextlib.contextmanager
def open_source(options: argparse.Namespace) -> Iterator[Source]:
    """Open what a command reads from, and close it afterwards.

    Raises:
        CommandError: Neither a store nor an owner is given.
    """
    source = _source(options)
    try:
        yield source
    finally:
        source.close()


def unknown_queue(name: str) -> CommandError:
    """Return what is said of a queue that nobody has."""
    message = f"there is no queue `{name}`: `taquba queues` lists them"
    return CommandError(message, code="queue-not-found")


def walk(
    fetch: Callable[[str | None, int], Page], cursor: str | None, limit: int
) -> Iterator[Page]:
    """List page by page, until there are so many rows.

    Args:
        fetch: Returns a page, given where it begins and how many rows it may have.
        cursor: Where to begin.
        limit: Rows, of all pages together.
    """
    while limit > 0:
        page = fetch(cursor, min(limit, PAGE_ROWS_MAX))
        yield page
        limit -= len(page.rows)
        cursor = page.cursor
        if cursor is None:
            return


def _source(options: argparse.Namespace) -> Source:
    # Either is slow to import, and only one is needed.
    from taquba.cli._remote import OwnerSource  # noqa: PLC0415
    from taquba.cli._store import StoreSource  # noqa: PLC0415

    if options.store is None and options.admin is not None:
        return OwnerSource(owner_of(options))
    if options.store is None and not os.environ.get(STORE_VARIABLE):
        if os.environ.get(ADMIN_VARIABLE):
            return OwnerSource(owner_of(options))
        message = f"no store: give STORE, set {STORE_VARIABLE}, or ask its owner with --admin URL"
        raise CommandError(message, code="no-store")
    return StoreSource(store_url(options), options.path)
