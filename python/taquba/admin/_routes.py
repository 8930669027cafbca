"""The table of all endpoints: what is routed, checked and described is this and nothing else."""

from collections.abc import Mapping
from typing import Final

from taquba import _taquba
from taquba.admin import _dead, _events, _jobs, _kv, _login, _runs, _status
from taquba.admin._endpoint import (
    LARGE_BODY_BYTES_MAX,
    LOGIN_BODY_BYTES_MAX,
    Access,
    Body,
    Endpoint,
)
from taquba.admin._fields import (
    Choice,
    Field,
    Flag,
    Number,
    Schema,
    Several,
    Text,
    TextList,
    Whole,
)
from taquba.admin._names import (
    CURSOR,
    JOB_ID,
    LIMIT,
    NEW_JOB,
    NEW_RUN,
    QUEUE,
    RUN_ID,
    required,
)
from taquba.admin._openapi import describe
from taquba.admin._schemas import TEXT, array, named, nullable, object_of
from taquba.queue import JobState, RunState

__all__ = ["BY_PATH", "ENDPOINTS"]

_KEY_BYTES_MAX: Final = 1_024
_ERROR_BYTES_MAX: Final = 4_096
_SECONDS_MAX: Final = _taquba.DURATION_MAX.total_seconds()

_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_FLAG: Final[Schema] = {"type": "boolean"}
_STATUS: Final = object_of(status=TEXT)
_NOTHING: Final = object_of()
_CURSOR: Final = nullable(TEXT)

_A_QUEUE: Final = required(QUEUE)
_PAGE: Final = (CURSOR, LIMIT)
_ERROR: Final = Field("error", Text(_ERROR_BYTES_MAX), "Only those whose error holds this text.")
_PREFIX: Final = Text(_KEY_BYTES_MAX)
_PAYLOAD: Final = nullable(named("Payload"))

_STATE: Final = (
    Endpoint(
        method="GET",
        path="/api/health",
        summary="Whether the process lives.",
        handler=_status.health,
        access=Access.ALL,
        answer=_STATUS,
    ),
    Endpoint(
        method="GET",
        path="/api/ready",
        summary="Whether the store answers; 503 with a code if not.",
        handler=_status.ready,
        access=Access.ALL,
        answer=_STATUS,
    ),
    Endpoint(
        method="POST",
        path="/api/session",
        summary="Log in: the answer sets the cookie of a session.",
        handler=_login.login,
        body=Body.OBJECT,
        fields=(Field("token", Text(4_096, 1), "That of `create_app`.", is_required=True),),
        body_bytes_max=LOGIN_BODY_BYTES_MAX,
        access=Access.PLACE,
        answer=_NOTHING,
    ),
    Endpoint(
        method="DELETE",
        path="/api/session",
        summary="Log out.",
        handler=_login.logout,
        answer=_NOTHING,
    ),
    Endpoint(
        method="GET",
        path="/api/info",
        summary="What this app is, and what it may do.",
        handler=_status.info,
        answer=named("Info"),
    ),
    Endpoint(
        method="GET",
        path="/api/overview",
        summary="Every queue, and what needs attention; the worst first.",
        handler=_status.overview,
        answer=named("Overview"),
    ),
    Endpoint(
        method="GET",
        path="/api/history",
        summary="The last hour, as far as somebody looked; the oldest point first.",
        handler=_status.history,
        query=(QUEUE,),
        answer=object_of(interval_seconds={"type": "number"}, points=array(named("Point"))),
    ),
    Endpoint(
        method="GET",
        path="/api/events",
        summary="Server-sent events: `overview`, every two seconds.",
        handler=_events.events,
        answer=TEXT,
        media_type="text/event-stream",
    ),
    Endpoint(
        method="GET",
        path="/metrics",
        summary="Everything that is measured, as Prometheus reads it.",
        handler=_status.metrics,
        answer=TEXT,
        media_type="text/plain",
    ),
)

_JOBS: Final = (
    Endpoint(
        method="GET",
        path="/api/jobs",
        summary="Jobs of a queue, in the order in which they were enqueued.",
        handler=_jobs.jobs,
        query=(
            _A_QUEUE,
            Field("state", Choice([state.value for state in JobState]), "Only in this state."),
            *_PAGE,
        ),
        answer=object_of(jobs=array(named("Job")), cursor=_CURSOR),
    ),
    Endpoint(
        method="GET",
        path="/api/job",
        summary="One job with its deliveries.",
        handler=_jobs.show,
        query=(JOB_ID, Field("payload", Flag(), "Whether its payload is shown.", default=False)),
        answer=object_of(job=named("Job"), attempts=array(named("Attempt")), payload=_PAYLOAD),
    ),
    Endpoint(
        method="GET",
        path="/api/scheduled",
        summary="What waits for its time in a queue, in the order of enqueueing.",
        handler=_jobs.scheduled,
        query=(_A_QUEUE, *_PAGE),
        answer=object_of(jobs=array(named("Job")), cursor=_CURSOR),
    ),
    Endpoint(
        method="POST",
        path="/api/jobs",
        summary="Add a job.",
        handler=_jobs.enqueue,
        body=Body.OBJECT,
        fields=(_A_QUEUE, *NEW_JOB),
        body_bytes_max=LARGE_BODY_BYTES_MAX,
        changes=True,
        status=201,
        answer=object_of(job_id=TEXT),
    ),
    Endpoint(
        method="POST",
        path="/api/jobs/batch",
        summary="Add jobs, one on each line, all or none.",
        handler=_jobs.enqueue_lines,
        query=(_A_QUEUE,),
        body=Body.LINES,
        fields=NEW_JOB,
        body_bytes_max=LARGE_BODY_BYTES_MAX,
        changes=True,
        status=201,
        answer=object_of(job_ids=array(TEXT)),
    ),
    Endpoint(
        method="POST",
        path="/api/job/cancel",
        summary="Remove a job that waits; ask the holder of a claimed one to stop.",
        handler=_jobs.cancel,
        body=Body.OBJECT,
        fields=(JOB_ID,),
        changes=True,
        answer=object_of(became={"type": "string", "enum": ["removed", "requested"]}),
    ),
    Endpoint(
        method="POST",
        path="/api/job/requeue",
        summary="Make a dead job claimable again, with all its attempts.",
        handler=_jobs.requeue,
        body=Body.OBJECT,
        fields=(JOB_ID,),
        changes=True,
        answer=_NOTHING,
    ),
    Endpoint(
        method="POST",
        path="/api/job/wake",
        summary="Make a scheduled job claimable now.",
        handler=_jobs.wake,
        body=Body.OBJECT,
        fields=(JOB_ID,),
        changes=True,
        answer=_NOTHING,
    ),
)

_DEAD: Final = (
    Endpoint(
        method="GET",
        path="/api/dead",
        summary="Dead jobs of a queue. A page may be short: `cursor` goes on.",
        handler=_dead.dead,
        query=(_A_QUEUE, _ERROR, *_PAGE),
        answer=object_of(jobs=array(named("Job")), cursor=_CURSOR, examined=_COUNT),
    ),
    Endpoint(
        method="GET",
        path="/api/dead/groups",
        summary="Dead jobs by their error, without its numbers and ids; the largest group first.",
        handler=_dead.groups,
        query=(QUEUE,),
        answer=object_of(groups=array(named("Group")), examined=_COUNT, is_complete=_FLAG),
    ),
    Endpoint(
        method="POST",
        path="/api/dead/requeue",
        summary="Make dead jobs, but no steps, claimable again: some, or those with an error.",
        handler=_dead.requeue,
        body=Body.OBJECT,
        fields=(
            _A_QUEUE,
            _ERROR,
            Field("job_ids", TextList(Text(64, 1), 1_000), "These, instead of a search."),
            Field("limit", Whole(1, 1_000), "At most this many.", default=1_000),
            Field("dry_run", Flag(), "Whether they are only counted.", default=False),
            CURSOR,
        ),
        changes=True,
        answer=object_of(matched=_COUNT, requeued=_COUNT, cursor=_CURSOR),
    ),
    Endpoint(
        method="POST",
        path="/api/dead/purge",
        summary="Delete dead jobs of a queue.",
        handler=_dead.purge,
        body=Body.OBJECT,
        fields=(
            _A_QUEUE,
            Field("older_than_seconds", Number(0, _SECONDS_MAX), "How long dead.", default=0.0),
        ),
        changes=True,
        answer=object_of(purged=_COUNT),
    ),
)

_RUNS: Final = (
    Endpoint(
        method="GET",
        path="/api/runs",
        summary="Runs, the latest submission first. A page may be short: `cursor` goes on.",
        handler=_runs.runs,
        query=(
            QUEUE,
            Field("state", Several([state.value for state in RunState]), "Only in these states."),
            Field("prefix", Text(128), "Only those whose id starts with this."),
            Field("header", Text(_ERROR_BYTES_MAX, 1), "Only those with this `name:value`."),
            _ERROR,
            *_PAGE,
        ),
        answer=object_of(runs=array(named("Run")), cursor=_CURSOR, examined=_COUNT),
    ),
    Endpoint(
        method="GET",
        path="/api/run",
        summary="One run with its steps, and the deliveries of its present or last one.",
        handler=_runs.show,
        query=(RUN_ID,),
        answer=object_of(
            run=named("Run"),
            steps=array(named("Step")),
            attempts=array(named("Attempt")),
            is_repeatable=_FLAG,
        ),
    ),
    Endpoint(
        method="GET",
        path="/api/run/result",
        summary="What a run has produced.",
        handler=_runs.result,
        query=(RUN_ID,),
        answer=object_of(payload=_PAYLOAD),
    ),
    Endpoint(
        method="GET",
        path="/api/run/memos",
        summary="The memos of a run, without keys and values.",
        handler=_runs.memos,
        query=(RUN_ID, *_PAGE),
        answer=object_of(memos=array(named("Memo")), cursor=_CURSOR),
    ),
    Endpoint(
        method="POST",
        path="/api/runs",
        summary="Submit a run.",
        handler=_runs.submit,
        body=Body.OBJECT,
        fields=(*NEW_RUN, QUEUE),
        body_bytes_max=LARGE_BODY_BYTES_MAX,
        changes=True,
        status=201,
        answer=named("Submitted"),
    ),
    Endpoint(
        method="POST",
        path="/api/runs/batch",
        summary="Submit runs, one on each line, all or none.",
        handler=_runs.submit_lines,
        query=(QUEUE,),
        body=Body.LINES,
        fields=NEW_RUN,
        body_bytes_max=LARGE_BODY_BYTES_MAX,
        changes=True,
        status=201,
        answer=object_of(runs=array(named("Submitted"))),
    ),
    Endpoint(
        method="POST",
        path="/api/run/cancel",
        summary="Stop a run for good.",
        handler=_runs.cancel,
        body=Body.OBJECT,
        fields=(RUN_ID,),
        changes=True,
        answer=object_of(is_cancelled=_FLAG),
    ),
    Endpoint(
        method="POST",
        path="/api/run/wake",
        summary="Make the waiting step of a run due now.",
        handler=_runs.wake,
        body=Body.OBJECT,
        fields=(RUN_ID,),
        changes=True,
        answer=_NOTHING,
    ),
    Endpoint(
        method="POST",
        path="/api/run/retry",
        summary="Let a waiting run go on now, or submit one again whose first step has failed.",
        handler=_runs.retry,
        body=Body.OBJECT,
        fields=(RUN_ID,),
        changes=True,
        answer=object_of(run_id=TEXT),
    ),
)

_KEYS: Final = (
    Endpoint(
        method="GET",
        path="/api/kv",
        summary="Keys in the order of their bytes.",
        handler=_kv.scan,
        query=(Field("prefix", _PREFIX, "Only keys that start with this.", default=""), *_PAGE),
        answer=object_of(entries=array(named("Entry")), cursor=_CURSOR),
    ),
    Endpoint(
        method="POST",
        path="/api/kv",
        summary="Set a key.",
        handler=_kv.put,
        body=Body.OBJECT,
        fields=_kv.NEW_VALUE,
        changes=True,
        answer=_NOTHING,
    ),
    Endpoint(
        method="DELETE",
        path="/api/kv",
        summary="Remove a key, if it is there.",
        handler=_kv.delete,
        query=(_kv.KEY,),
        changes=True,
        answer=_NOTHING,
    ),
)

_DESCRIBED: Final = (*_STATE, *_JOBS, *_DEAD, *_RUNS, *_KEYS)

ENDPOINTS: Final = (*_DESCRIBED, describe(_DESCRIBED))
"""Everything that can be asked."""

BY_PATH: Final[Mapping[str, Mapping[str, Endpoint]]] = {
    path: {each.method: each for each in ENDPOINTS if each.path == path}
    for path in {each.path for each in ENDPOINTS}
}
"""The same by path and method."""
