"""Reading from the owner of a store, through its admin API."""

from collections.abc import Mapping
from typing import final

from taquba.cli._command import CommandError
from taquba.cli._owner import Owner
from taquba.cli._wire import Content, Json, Page, RunFilter

__all__ = ["OwnerSource"]


@final
class OwnerSource:
    """What an owner says; see `Source`.

    Args:
        owner: Whom to ask.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    def overview(self) -> Json:
        """Return every queue, counted, what needs attention, and who owns the store."""
        return self._owner.get("api/overview")

    def queue_names(self) -> list[str]:
        """Return the names of all queues, in order."""
        return sorted(queue["name"] for queue in self.overview()["queues"])

    def jobs(self, queue: str, state: str | None, cursor: str | None, limit: int) -> Page:
        """List jobs of a queue."""
        found = self._owner.get("api/jobs", queue=queue, state=state, cursor=cursor, limit=limit)
        return _page(found, "jobs")

    def dead(self, queue: str, error: str | None, cursor: str | None, limit: int) -> Page:
        """List dead jobs of a queue."""
        found = self._owner.get("api/dead", queue=queue, error=error, cursor=cursor, limit=limit)
        return _page(found, "jobs")

    def dead_groups(self, queue: str | None) -> Json:
        """Count dead jobs by what went wrong."""
        return self._owner.get("api/dead/groups", queue=queue)

    def job(self, job_id: str) -> Json:
        """Return a job and its deliveries."""
        found = self._owner.get("api/job", job_id=job_id)
        return {"job": found["job"], "attempts": found["attempts"]}

    def payload(self, job_id: str) -> Content:
        """Return the payload of a job: the first 64 KiB of it."""
        return _content(self._owner.get("api/job", job_id=job_id, payload=1), "payload")

    def runs(self, wanted: RunFilter, cursor: str | None, limit: int) -> Page:
        """List runs."""
        found = self._owner.get(
            "api/runs",
            queue=wanted.queue,
            state=",".join(wanted.states) or None,
            prefix=wanted.prefix,
            header=None if wanted.header is None else ":".join(wanted.header),
            error=wanted.error,
            cursor=cursor,
            limit=limit,
        )
        return _page(found, "runs")

    def run(self, run_id: str) -> Json:
        """Return a run, its steps, and the deliveries of the latest one."""
        return self._owner.get("api/run", run_id=run_id)

    def result(self, run_id: str) -> Content | None:
        """Return the result of a run: the first 64 KiB of it."""
        found = self._owner.get("api/run/result", run_id=run_id)
        return None if found["payload"] is None else _content(found, "payload")

    def memos(self, run_id: str, cursor: str | None, limit: int) -> Page:
        """List the memos of a run."""
        found = self._owner.get("api/run/memos", run_id=run_id, cursor=cursor, limit=limit)
        return _page(found, "memos")

    def keys(self, prefix: str, cursor: str | None, limit: int, *, with_values: bool) -> Page:
        """List keys."""
        found = self._owner.get("api/kv", prefix=prefix, cursor=cursor, limit=limit)
        page = _page(found, "entries")
        if not with_values:
            for entry in page.rows:
                entry["value"] = None
        return page

    def value(self, key: str) -> Content | None:
        """Return the value of a key: the first 64 KiB of it."""
        # Of the keys that begin with it, a key is the first.
        found = self._owner.get("api/kv", prefix=key, limit=1)
        for entry in _page(found, "entries").rows:
            if entry["key"] == key:
                return _content(entry, "value")
        return None

    def close(self) -> None:
        """Give up nothing."""


def _page(answer: Json, name: str) -> Page:
    return Page(list(answer[name]), answer["cursor"])


def _content(answer: Mapping[str, Json | None], name: str) -> Content:
    shown = answer[name]
    if shown is None:
        message = "the owner shows no content: make it with `show_payloads=True`, or give STORE"
        raise CommandError(message, code="payloads-hidden")
    return Content.of(shown)
