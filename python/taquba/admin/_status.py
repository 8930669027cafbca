"""How things are: life, readiness, what this app may do, counts now and over the last hour."""

from collections.abc import Mapping

from starlette.responses import Response

import taquba
from taquba import _shown
from taquba.admin import _wire
from taquba.admin._history import INTERVAL_SECONDS
from taquba.admin._refusal import Refusal
from taquba.admin._requests import Asked
from taquba.admin._site import Site
from taquba.queue import Queue

__all__ = ["health", "history", "info", "metrics", "overview", "ready"]


async def health(_site: Site, _asked: Asked) -> Mapping[str, object]:
    """Say that the process lives."""
    return {"status": "ok"}


async def ready(site: Site, _asked: Asked) -> Mapping[str, object] | Response:
    """Say whether the store answers, and is still its owner's."""
    code = await site.readiness.code()
    body = {"status": code}
    if code == "ready":
        return body
    return Response(_wire.as_json(body), 503, media_type="application/json")


async def info(site: Site, asked: Asked) -> Mapping[str, object]:
    """Say what this app is, and what it may do."""
    owner = await site.source.owner()
    site.ownership.see(owner)
    can_act = site.can_act
    return {
        "version": taquba.__version__,
        # What a queue was opened with is nobody's business but ours.
        "path": site.source._path,  # noqa: SLF001
        "mode": "owner" if site.is_owner else "reader",
        "can_act": can_act,
        "can_submit_runs": sorted(site.runtimes) if can_act else [],
        "shows_payloads": site.show_payloads,
        "csrf": site.sessions.proof(asked.identity.session),
        "needs_login": site.sessions.has_token,
        "owner": None if owner is None else _shown.record(owner),
    }


async def overview(site: Site, _asked: Asked) -> Response:
    """Show every queue, and what needs attention."""
    return Response(await site.overview.current(), media_type="application/json")


async def history(site: Site, asked: Asked) -> Mapping[str, object]:
    """Show the last hour, as far as somebody looked."""
    sampler = site.overview.sampler
    await sampler.latest()
    return {
        "interval_seconds": INTERVAL_SECONDS,
        "points": sampler.history.points(asked.query["queue"]),
    }


async def metrics(site: Site, _asked: Asked) -> Response:
    """Show everything that is measured, as Prometheus reads it."""
    message = "metrics are had from the owner of a store, with the extra `prometheus`"
    if not isinstance(site.source, Queue):
        raise Refusal(404, "no-metrics", message)
    try:
        from taquba.integrations.prometheus import (  # noqa: PLC0415 - an extra
            CONTENT_TYPE,
            exposition,
        )
    except ImportError as error:
        raise Refusal(404, "no-metrics", message) from error
    text = await exposition(site.source)
    return Response(text, headers={"Content-Type": CONTENT_TYPE})
