"""A service that takes jobs over HTTP, does them durably, and tells the customer by webhook.

    python examples/fastapi_service/app.py

Run one process of it per store: one process owns a store, and a second one takes it away from the
first. One is enough for a long time, because requests that arrive together share one write. For
more, give each process a store of its own and route by customer.

There is no login here: put that of your service in front of `/jobs` and `/metrics`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import FrameType
from typing import Annotated

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from service import Service, running
from settings import Settings
from work import Report, Work

from taquba import InputMismatchError, Recovery, RunNotFoundError, RunSpec, TaqubaError
from taquba.admin import create_app, stop
from taquba.integrations.prometheus import exposition

BODY_BYTES_MAX = 16 * 1024 * 1024
# Longer than requests wait, and less than the 30 seconds that a supervisor leaves us, with those of
# `service.DRAIN_SECONDS`.
WAIT_SECONDS_MAX = 10
ANSWER_SECONDS = 12

router = APIRouter()


class NewJob(BaseModel):
    """A job as a customer submits it. With an id of his own he may safely ask again."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(max_length=100_000)
    seconds: float = Field(0.0, ge=0, le=60)
    job_id: str | None = None
    callback_url: str | None = None

    def spec(self) -> RunSpec:
        """The run that does it."""
        work = Work(text=self.text, seconds=self.seconds)
        headers = {} if self.callback_url is None else {"callback_url": self.callback_url}
        return RunSpec(work.model_dump_json().encode(), run_id=self.job_id, headers=headers)


class Status(BaseModel):
    """Where a job is. Times are in milliseconds since 1970, UTC."""

    job_id: str
    state: str
    submitted_at_ms: int
    ended_at_ms: int | None
    error: str | None
    report: Report | None


async def service_of(request: Request) -> Service:
    """What the lifespan has opened."""
    service: Service = request.app.state.service
    return service


Here = Annotated[Service, Depends(service_of)]


@router.post("/jobs", status_code=202, max_body_size=BODY_BYTES_MAX)
async def submit(job: NewJob, service: Here) -> dict[str, str]:
    """Takes one job. It is durable when this answers."""
    return {"job_id": (await service.runtime.submit(job.spec())).run_id}


@router.post("/jobs/batch", status_code=202, max_body_size=BODY_BYTES_MAX)
async def submit_batch(request: Request, service: Here) -> dict[str, list[str]]:
    """Takes up to 10,000 jobs, one JSON object per line: all of them, or none."""
    lines = (await request.body()).splitlines()
    specs = [_read_line(number, line) for number, line in enumerate(lines, start=1)]
    return {"job_ids": [handle.run_id for handle in await service.runtime.submit_many(specs)]}


def _read_line(number: int, line: bytes) -> RunSpec:
    try:
        return NewJob.model_validate_json(line).spec()
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        raise HTTPException(422, {"line": number, "problems": problems}) from None
    except TaqubaError as error:
        raise HTTPException(400, {"line": number, "code": error.code}) from None


@router.get("/jobs/{job_id}")
async def status(
    job_id: str, service: Here, wait: Annotated[float, Query(ge=0, le=WAIT_SECONDS_MAX)] = 0
) -> Status:
    """Says where a job is; waits up to `wait` seconds for its end."""
    handle = service.runtime.handle(job_id)
    if wait:
        with suppress(TimeoutError):
            await handle.outcome(wait)
    run = await handle.status()
    result = (await handle.outcome()).result if run.state.is_terminal else None
    return Status(
        job_id=run.run_id,
        state=str(run.state),
        submitted_at_ms=round(run.submitted_at.timestamp() * 1000),
        ended_at_ms=None if run.ended_at is None else round(run.ended_at.timestamp() * 1000),
        error=run.error or run.last_error,
        report=None if result is None else Report.model_validate_json(result),
    )


@router.delete("/jobs/{job_id}")
async def cancel(job_id: str, service: Here) -> dict[str, bool]:
    """Stops a job for good, unless it has ended."""
    await service.runtime.status(job_id)  # unknown ones are a 404
    return {"is_cancelled": await service.runtime.cancel(job_id)}


@router.get("/metrics")
async def metrics(service: Here) -> Response:
    """What Prometheus scrapes."""
    text = await exposition(service.queue)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/healthz")
async def health() -> dict[str, str]:
    """The process lives: restart it if this does not answer."""
    return {"status": "ok"}


@router.get("/readyz")
async def ready(service: Here) -> dict[str, str]:
    """It owns its store and works: send requests only while this says so."""
    await service.queue.stats()
    if service.working.done():
        raise HTTPException(503, "the work has ended")
    return {"status": "ready"}


async def refuse(_: Request, error: TaqubaError) -> JSONResponse:
    """Says what went wrong, and by its status whose fault it is."""
    code = 400 if error.recovery is Recovery.FIX_INPUT else 503
    code = {RunNotFoundError: 404, InputMismatchError: 409}.get(type(error), code)
    return JSONResponse({"code": error.code, "detail": str(error)}, code)


def build(settings: Settings) -> FastAPI:
    """Makes the application; it opens its store when a server starts it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running(settings) as service:
            app.state.service = service
            # Without a token it would answer this machine, and a tunnel makes everybody that.
            if settings.admin_token is not None:
                app.state.admin = create_app(
                    service.queue, runtimes=[service.runtime], token=settings.admin_token
                )
                app.mount("/admin", app.state.admin)
            yield

    # The pages that FastAPI makes of `/openapi.json` run scripts from elsewhere. These would be of
    # one origin with `/admin`, and could do what it can.
    app = FastAPI(title="Word counts", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.exception_handler(TaqubaError)(refuse)
    app.include_router(router)
    return app


class Server(uvicorn.Server):
    """A server that a dashboard which somebody has left open does not hold up."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ends the streams of events, which would go on for as long as somebody looks."""
        if isinstance(app := self.config.app, FastAPI) and hasattr(app.state, "admin"):
            stop(app.state.admin)
        super().handle_exit(sig, frame)


def main() -> None:
    """Serves until SIGTERM: then answers what it was asked, ends what it has begun, and closes."""
    settings = Settings.from_environment()
    config = uvicorn.Config(
        build(settings),
        host=settings.host,
        port=settings.port,
        # A line for each request costs as much as the request.
        access_log=False,
        timeout_graceful_shutdown=ANSWER_SECONDS,
    )
    with suppress(KeyboardInterrupt):
        Server(config).run()


if __name__ == "__main__":
    main()
