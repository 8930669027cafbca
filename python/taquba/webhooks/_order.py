"""What a delivery's job says: where to, what about, with which headers.

Invariants:
    1. Everything but the body is in the job's headers, under `webhook.`; a secret never is, only
       the name of the key.
    2. What an order holds was checked when its job was made, and again when it is read: a job may
       have been made by hand, and rules may have changed.
    3. The id of a webhook is made with its job, and stays the same for all attempts. It is random:
       receivers see the webhooks of several stores, and job ids are numbers of one.
"""

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final, final

from taquba import _taquba
from taquba._checks import (
    Seconds,
    check_instance,
    check_payload,
    refuse,
    refuse_type,
)
from taquba.options import EnqueueOptions, NewJob
from taquba.webhooks._rules import PORTS, make_rules, read_timeout
from taquba.webhooks._signature import SECRET_PREFIX, check_webhook_id

__all__ = [
    "CONTENT_TYPE",
    "MAX_ATTEMPTS",
    "Order",
    "check_key_id",
    "make_job",
    "shown_key_id",
    "webhook_job",
]

CONTENT_TYPE: Final = "application/octet-stream"
"""Of a body that nobody has described."""

MAX_ATTEMPTS: Final = 20
"""With the backoff of a queue that has no settings of its own, up to an hour."""

_PREFIX: Final = "webhook."
_ID: Final = "webhook.id"
_URL: Final = "webhook.url"
_RUN_ID: Final = "webhook.run_id"
_RUN_STATUS: Final = "webhook.run_status"
_TIMEOUT: Final = "webhook.timeout"
_KEY_ID: Final = "webhook.key_id"
_CONTENT_TYPE: Final = "webhook.content_type"
_SENT_PREFIX: Final = "webhook.header."

_DEFAULTS: Final = EnqueueOptions()

# Enough that no two are ever the same, whichever stores they come from.
_ID_BYTES: Final = 16

# The base64 of the shortest secret. Names that people give are shorter.
_SECRET_CHARACTERS_MIN: Final = 32

_KEY_ID_FORM: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}", re.ASCII)
_HEADER_VALUE: Final = re.compile(r"[!-~]([\t -~]*[!-~])?", re.ASCII)

# What frames a request, what names who sends it, and what the worker sets.
_REFUSED_NAMES: Final = frozenset(
    (
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "cookie2",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-real-ip",
    )
)
# What clouds ask for before they give away credentials, and families of the above.
_REFUSED_PREFIXES: Final = (
    "metadata",
    "proxy-",
    "sec-",
    "webhook-",
    "workflow-",
    "x-aliyun-ecs-",
    "x-aws-ec2-",
    "x-forwarded-",
    "x-google-",
    "x-vault-",
)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What a delivery's job says, read. Shows neither URL nor headers: both may hold secrets."""

    url: str = field(repr=False)
    webhook_id: str | None = None
    run_id: str | None = None
    run_status: str | None = None
    timeout: timedelta | None = None
    key_id: str | None = field(default=None, repr=False)
    content_type: str = CONTENT_TYPE
    sent: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> "Order":
        """Read the headers of a job.

        Raises:
            InvalidArgumentError: They are not those of a delivery.
        """
        url = headers.get(_URL)
        if url is None:
            refuse("job", f"without the header `{_URL}`", "make it with `webhook_job`")
        timeout = headers.get(_TIMEOUT)
        order = cls(
            url=url,
            webhook_id=headers.get(_ID),
            run_id=headers.get(_RUN_ID),
            run_status=headers.get(_RUN_STATUS),
            timeout=None if timeout is None else read_timeout(_seconds(timeout)),
            key_id=headers.get(_KEY_ID),
            content_type=headers.get(_CONTENT_TYPE, CONTENT_TYPE),
            sent={
                name.removeprefix(_SENT_PREFIX): value
                for name, value in headers.items()
                if name.startswith(_SENT_PREFIX)
            },
        )
        order.check()
        return order

    def check(self) -> None:
        """Refuse what cannot be sent."""
        if self.webhook_id is not None:
            check_webhook_id(self.webhook_id)
        _check_value("content_type", self.content_type)
        for name, value in (("run_id", self.run_id), ("run_status", self.run_status)):
            if value is not None:
                _check_value(name, value)
        check_key_id(self.key_id)
        _check_sent(self.sent)

    def headers(self) -> dict[str, str]:
        """Return the headers of the job."""
        seconds = None if self.timeout is None else str(self.timeout.total_seconds())
        fields = {
            _URL: self.url,
            _ID: self.webhook_id,
            _RUN_ID: self.run_id,
            _RUN_STATUS: self.run_status,
            _TIMEOUT: seconds,
            _KEY_ID: self.key_id,
            _CONTENT_TYPE: self.content_type,
        }
        kept = {name: value for name, value in fields.items() if value is not None}
        return kept | {f"{_SENT_PREFIX}{name}": value for name, value in self.sent.items()}


def webhook_job(  # noqa: PLR0913 - one per part of a delivery
    url: str,
    body: bytes,
    *,
    headers: Mapping[str, str] | None = None,
    content_type: str = CONTENT_TYPE,
    timeout: Seconds | None = None,
    key_id: str | None = None,
    options: EnqueueOptions = _DEFAULTS,
    allow_http: bool = False,
    allow_networks: Iterable[str] = (),
    allowed_hosts: Iterable[str] | None = None,
    ports: Iterable[int] = PORTS,
) -> NewJob:
    """Make the job of a delivery, for the queue of a `WebhookWorker`.

    The URL is checked here as far as its text tells, and again, with the addresses that its host
    has by then, when it is sent. Give both the same rules.

    The job holds the `webhook-id`, which is new for each call: enqueued twice, it is one webhook
    that is sent twice, and receivers drop the second.

    Args:
        url: The receiver: absolute, at most 2,048 bytes, without user, password and fragment.
        body: The body, byte for byte; at most 64 MiB.
        headers: HTTP headers of your own: names of at most 128 characters, values of visible ASCII.
            Those that frame the request, say who sends it, or are the worker's are refused.
        content_type: The type of the body.
        timeout: How long one attempt may take, up to 5 minutes; the worker's timeout if absent.
        key_id: Which secret of the worker signs it; the worker's default if absent.
        options: Priority, due time, dedup key, attempts; 20 attempts if they do not say.
        allow_http: Whether `http` is taken beside `https`.
        allow_networks: Networks that are taken although they are not public, such as `10.1.0.0/16`.
        allowed_hosts: Hosts that are taken, such as `example.com` or `*.example.com`; `None` takes
            all.
        ports: Ports that are taken.

    Returns:
        The job, for `Queue.enqueue_batch` or `Effects.enqueue_batch`.

    Raises:
        InvalidArgumentError: The URL, a header or another value is refused; the message says why.
        HeadersTooLargeError: Too many headers, or too long ones.

    Example:
        >>> job = webhook_job("https://example.com/hook", b"{}", content_type="application/json")
        >>> [job_id] = await queue.enqueue_batch("webhooks", [job])
    """
    rules = make_rules(
        allow_http=allow_http,
        allow_networks=allow_networks,
        allowed_hosts=allowed_hosts,
        ports=ports,
    )
    rules.check("url", url)
    order = Order(
        url=url,
        timeout=None if timeout is None else read_timeout(timeout),
        key_id=key_id,
        content_type=content_type,
        sent=_own(headers),
    )
    return make_job(order, body, options)


def make_job(order: Order, body: bytes, options: EnqueueOptions) -> NewJob:
    """Make the job of an order whose URL was checked, and give it an id. Not for users."""
    order = replace(order, webhook_id=secrets.token_hex(_ID_BYTES))
    order.check()
    check_payload("body", body)
    check_instance("options", options, EnqueueOptions)
    for name in options.headers:
        if name.startswith(_PREFIX):
            refuse("options", name, f"leave out headers that start with `{_PREFIX}`")
    max_attempts = MAX_ATTEMPTS if options.max_attempts is None else options.max_attempts
    headers = {**options.headers, **order.headers()}
    return NewJob(body, replace(options, headers=headers, max_attempts=max_attempts))


def check_key_id(key_id: str | None) -> None:
    """Refuse the name of a key that cannot be one."""
    if key_id is None:
        return
    check_instance("key_id", key_id, str)
    is_secret = key_id.lower().startswith(SECRET_PREFIX)
    if is_secret or _KEY_ID_FORM.fullmatch(key_id) is None:
        # Not shown: it may be a secret in the wrong place.
        given = "a secret" if is_secret else "malformed"
        refuse("key_id", given, "give 1 to 64 characters of `[A-Za-z0-9_-]`, not the secret")


def shown_key_id(key_id: str) -> str:
    """Return the name of a key as it may be shown, or what to say instead of a possible secret."""
    return key_id if len(key_id) < _SECRET_CHARACTERS_MIN else f"<{len(key_id)} characters>"


def _own(headers: Mapping[str, str] | None) -> dict[str, str]:
    if headers is None:
        return {}
    check_instance("headers", headers, Mapping)
    return dict(headers)


def _check_sent(headers: Mapping[str, str]) -> None:
    seen: set[str] = set()
    for name, value in headers.items():
        check_instance("headers", name, str)
        lower = name.lower()
        if _HEADER_NAME.fullmatch(name) is None:
            refuse("headers", name, "give names of 1 to 128 letters, digits and hyphens")
        if lower in _REFUSED_NAMES or lower.startswith(_REFUSED_PREFIXES):
            refuse("headers", name, "leave it out: it is not yours to set")
        if lower in seen:
            refuse("headers", name, "give each header once")
        seen.add(lower)
        _check_value("headers", value)


def _check_value(name: str, value: str) -> None:
    if not isinstance(value, str):
        refuse_type(name, value, "give `str`")
    if _HEADER_VALUE.fullmatch(value) is None:
        # Not shown: it may be a secret.
        remedy = "use visible ASCII characters, and spaces between them"
        refuse(name, "a value that cannot be sent", remedy)


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        refuse(_TIMEOUT, _taquba.shown(text), "give seconds")
