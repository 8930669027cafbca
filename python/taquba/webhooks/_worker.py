"""The worker that delivers: one attempt per delivery of a job, and what its end means.

Invariants:
    1. A receiver gets what its job says, or nothing: no redirect is followed, and no address is
       connected to that the rules do not take.
    2. Nothing of an answer is kept but its status and the time it asks to wait.
    3. A secret is in this process alone: not in a job, an error, a log or a `repr`.
    4. A door that a delivery has opened is closed: at its end or, if its event loop has gone away
       under it, before the next delivery.
"""

import asyncio
import contextlib
import functools
import random
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NoReturn, final

from taquba import _taquba, _tracing
from taquba._checks import Seconds, check_count, check_instance, refuse
from taquba._counters import WEBHOOK_DELIVERIES
from taquba._port import Port
from taquba._taquba import Claim
from taquba.exceptions import InvalidArgumentError
from taquba.webhooks._circuit import Circuit
from taquba.webhooks._gates import Gates, Passage
from taquba.webhooks._order import Order, check_key_id, shown_key_id
from taquba.webhooks._rules import PORTS, TIMEOUT, make_rules, read_timeout
from taquba.webhooks._signature import HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP, Keys
from taquba.worker import PermanentFailure, Postponed, TransientFailure

__all__ = ["WebhookWorker"]

# What metrics call the end of an attempt.
_ENDS: Final = {
    PermanentFailure: "refused",
    Postponed: "postponed",
    asyncio.CancelledError: "interrupted",
    GeneratorExit: "interrupted",
}

_NO_SECRETS: Final[Mapping[str, str]] = {}
_CIRCUIT: Final = Circuit()

_HOST_CONCURRENCY: Final = 8
_HOST_CONCURRENCY_MAX: Final = 1_000

# Names that do not resolve are given up by the machine after ten seconds or so.
_BUSY_RETRY_SECONDS: Final = 10.0

# A receiver that says "at once" would use up the attempts in a second.
_RETRY_AFTER_MIN: Final = timedelta(seconds=1)

# Signing more than this would hold up the event loop for a millisecond or longer.
_SIGNED_AT_ONCE_BYTES_MAX: Final = 1024 * 1024

_STATUS_REQUEST_TIMEOUT: Final = 408
_STATUS_TOO_MANY_REQUESTS: Final = 429


@final
@dataclass(frozen=True, slots=True)
class _Sent:
    """How an attempt ended.

    `end` is `"answered"`, `"failed"`, `"refused"` (by us), or `"busy"` (we did not get to it).
    """

    end: str
    status: int
    retry_after: timedelta | None
    detail: str


@final
class WebhookWorker:
    """Delivers webhooks: a worker for the queue of a `WebhookTerminalHook` and of `webhook_job`.

    A delivery is one POST, and is done when the receiver answers with a status of 200 to 299. It is
    tried again, until its attempts are used up, after 408, 429, 5xx and if there is no answer: with
    the backoff of its queue, or when the receiver asks for it (`Retry-After`, at most a day). After
    any other status, redirects among them, and if its URL or the address of its host is refused, it
    is dead-lettered at once.

    Delivered at least once: a receiver tells repeats by the header `webhook-id`, or by the run.

    One worker serves one event loop: its circuits and places are counted there.

    Args:
        secrets: What signs, by the name of the key: `whsec_` and the base64 of 24 to 64 random
            bytes; a list of them while one is exchanged for another. Without any, nothing is
            signed.
        default_key_id: The key of jobs that name none; needed if there are several, because a
            receiver must not get what another one's key has signed.
        allow_http: Whether `http` is taken beside `https`.
        allow_networks: Networks that are taken although they are not public, such as `10.1.0.0/16`.
        allowed_hosts: Hosts that are taken, such as `example.com` or `*.example.com`; `None` takes
            all.
        ports: Ports that are taken.
        timeout: How long one attempt may take if its job does not say, up to 5 minutes.
        circuit: When a host that fails is left alone.
        host_concurrency: Most deliveries of one receiver (scheme, host and port) under way, 1 to
            1,000. As many more wait for a place; give the worker loop more room than that.

    Raises:
        InvalidArgumentError: A value is outside its bounds; the message names both, and no secret.

    Example:
        >>> worker = WebhookWorker(secrets={"key-1": os.environ["WEBHOOK_SECRET"]})
        >>> await run_worker(queue, "webhooks", worker, shutdown=shutdown)
    """

    def __init__(  # noqa: PLR0913 - keyword arguments are the builder
        self,
        *,
        secrets: Mapping[str, str | Iterable[str]] = _NO_SECRETS,
        default_key_id: str | None = None,
        allow_http: bool = False,
        allow_networks: Iterable[str] = (),
        allowed_hosts: Iterable[str] | None = None,
        ports: Iterable[int] = PORTS,
        timeout: Seconds = TIMEOUT,
        circuit: Circuit = _CIRCUIT,
        host_concurrency: int = _HOST_CONCURRENCY,
    ) -> None:
        self._keys = _read_secrets(secrets)
        self._default_key_id = _read_default(self._keys, default_key_id)
        self._rules = make_rules(
            allow_http=allow_http,
            allow_networks=allow_networks,
            allowed_hosts=allowed_hosts,
            ports=ports,
        )
        self._timeout = read_timeout(timeout)
        check_instance("circuit", circuit, Circuit)
        check_count("host_concurrency", host_concurrency, _HOST_CONCURRENCY_MAX)
        self._client = _taquba.WebhookClient(self._rules)
        self._gates = Gates(circuit, host_concurrency, time.monotonic)
        self._ports: set[Port] = set()

    async def process(self, job: Claim) -> None:
        """Make one attempt to deliver a job.

        Cancellation: closes the connection; the receiver may have got the webhook all the same.

        Args:
            job: Made by `webhook_job` or by a hook.

        Raises:
            PermanentFailure: No other attempt can help.
            TransientFailure: Another attempt may help.
            Postponed: The host is left alone, has too much to do, or was not looked up because
                others take too long; the attempt does not count.
        """
        with WEBHOOK_DELIVERIES.measured(_ENDS):
            await self._attempt(job)

    def __repr__(self) -> str:
        """Show how many keys there are."""
        return f"WebhookWorker(<{len(self._keys)} keys>)"

    async def _attempt(self, job: Claim) -> None:
        order, host, origin = self._read(job)
        keys = self._keys_of(order)
        async with self._gates.enter(host, origin) as passage:
            headers = _headers(order)
            if keys is not None:
                headers |= await _signed(keys, order.webhook_id or job.job_id, job.payload)
            send = functools.partial(self._send, order, job.payload)
            tracer = _tracing.active
            if tracer is None or job.header(tracer.field) is None:
                sent = await send(headers)
            else:
                sent = await tracer.webhook(host, headers, send)
            _judge(sent, passage)

    def _read(self, job: Claim) -> tuple[Order, str, str]:
        try:
            order = Order.read(job.headers)
            host, origin = self._rules.check("url", order.url)
        except InvalidArgumentError as error:
            raise PermanentFailure(str(error)) from None
        return order, host, origin

    def _keys_of(self, order: Order) -> Keys | None:
        key_id = order.key_id or self._default_key_id
        if key_id is None:
            return None
        keys = self._keys.get(key_id)
        if keys is None:
            shown = shown_key_id(key_id)
            text = f"no secret for the key `{shown}`: add it to `secrets` of the `WebhookWorker`"
            raise TransientFailure(text)
        return keys

    async def _send(self, order: Order, body: bytes, headers: Mapping[str, str]) -> _Sent:
        # A door of its own: the answer comes to the loop that runs this delivery, and an attempt
        # that costs a connection need not save a descriptor.
        self._close_abandoned()
        port = Port()
        self._ports.add(port)
        try:
            answer = port.loop.create_future()
            request = self._client.deliver(
                port.native,
                answer,
                order.url,
                list(headers.items()),
                body,
                order.timeout or self._timeout,
            )
            try:
                return _Sent(*await answer)
            finally:
                request.abort()
        finally:
            self._ports.discard(port)
            port.close("webhooks")

    def _close_abandoned(self) -> None:
        """Close the doors of event loops that were closed with deliveries under way."""
        for port in [other for other in tuple(self._ports) if other.loop.is_closed()]:
            self._ports.discard(port)
            # It lets go of its call, but whoever awaits it can no longer be told.
            with contextlib.suppress(RuntimeError):
                port.close("webhooks")


def _headers(order: Order) -> dict[str, str]:
    headers = {**order.sent, "Content-Type": order.content_type}
    if order.run_id is not None:
        headers["Workflow-Run-Id"] = order.run_id
    if order.run_status is not None:
        headers["Workflow-Run-Status"] = order.run_status
    return headers


async def _signed(keys: Keys, webhook_id: str, body: bytes) -> dict[str, str]:
    timestamp = int(time.time())
    if len(body) > _SIGNED_AT_ONCE_BYTES_MAX:
        signature = await asyncio.to_thread(keys.sign, webhook_id, timestamp, body)
    else:
        signature = keys.sign(webhook_id, timestamp, body)
    return {
        HEADER_ID: webhook_id,
        HEADER_TIMESTAMP: str(timestamp),
        HEADER_SIGNATURE: signature,
    }


def _judge(sent: _Sent, passage: Passage) -> None:
    """Say what an attempt's end means for the job, and for the host."""
    if sent.end == "refused":
        raise PermanentFailure(sent.detail)
    if sent.end == "busy":
        spread = random.uniform(1.0, 1.5)  # noqa: S311 - nobody gains by guessing it
        raise Postponed(sent.detail, retry_after=_BUSY_RETRY_SECONDS * spread)
    if sent.end == "failed":
        passage.fail()
        raise TransientFailure(sent.detail)
    status = sent.status
    if status >= 500:  # noqa: PLR2004 - statuses are known by their numbers
        passage.fail()
        _try_again(sent, passage.host)
    passage.succeed()
    if 200 <= status < 300:  # noqa: PLR2004 - the same
        return
    if status in {_STATUS_REQUEST_TIMEOUT, _STATUS_TOO_MANY_REQUESTS}:
        _try_again(sent, passage.host)
    hint = ": redirects are not followed, give the URL that it leads to"
    is_redirect = 300 <= status < 400  # noqa: PLR2004 - the same
    text = f"host `{passage.host}` answered {status}{hint if is_redirect else ''}"
    raise PermanentFailure(text)


def _try_again(sent: _Sent, host: str) -> NoReturn:
    wait = sent.retry_after
    retry_after = None if wait is None else max(wait, _RETRY_AFTER_MIN)
    text = f"host `{host}` answered {sent.status}"
    raise TransientFailure(text, retry_after=retry_after)


def _read_secrets(secrets: Mapping[str, str | Iterable[str]]) -> dict[str, Keys]:
    check_instance("secrets", secrets, Mapping)
    for key_id in secrets:
        check_instance("secrets", key_id, str)
        check_key_id(key_id)
    return {key_id: Keys("secrets", texts) for key_id, texts in secrets.items()}


def _read_default(keys: Mapping[str, Keys], default_key_id: str | None) -> str | None:
    check_key_id(default_key_id)
    if default_key_id is not None and default_key_id not in keys:
        refuse("default_key_id", shown_key_id(default_key_id), "give one of the names in `secrets`")
    if default_key_id is None and len(keys) > 1:
        refuse("default_key_id", None, "give one of the names in `secrets`: there are several")
    return default_key_id or next(iter(keys), None)
