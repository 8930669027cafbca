"""Signatures after Standard Webhooks 1.0.0: HMAC-SHA256 over id, timestamp and body.

Invariants:
    1. No error, `repr` or log shows a secret.
    2. Signatures are compared in constant time, each candidate with each secret.
    3. What is compared is the text that was sent: no other spelling of a signature is one.
"""

import base64
import binascii
import hmac
import re
import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, NoReturn, final

from taquba import _taquba
from taquba._checks import Seconds, check_count, check_instance, check_payload, refuse_type
from taquba.exceptions import InvalidArgumentError, WebhookVerificationError

__all__ = [
    "HEADER_ID",
    "HEADER_SIGNATURE",
    "HEADER_TIMESTAMP",
    "SECRET_PREFIX",
    "Keys",
    "check_webhook_id",
    "sign",
    "verify",
]

HEADER_ID: Final = "webhook-id"
HEADER_TIMESTAMP: Final = "webhook-timestamp"
HEADER_SIGNATURE: Final = "webhook-signature"

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what secrets begin with
_SECRET_BYTES_MIN: Final = 24
_SECRET_BYTES_MAX: Final = 64
_VERSION: Final = "v1"

# Old and new, and some more: each is tried for each signature.
_SECRET_COUNT_MAX: Final = 16
_SIGNATURE_COUNT_MAX: Final = 64

# The year 9999, as everywhere.
_TIMESTAMP_MAX: Final = 253_402_300_799
_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}", re.ASCII)

# A dot would move the border between id and timestamp.
_ID: Final = re.compile(r"[!-\-/-~]{1,256}", re.ASCII)

_TOLERANCE: Final = timedelta(minutes=5)


@final
class Keys:
    """The secrets of one receiver, decoded. Shows how many there are and nothing else.

    Args:
        name: The argument's public name, for errors.
        secrets: One secret, or several while they are exchanged.

    Raises:
        InvalidArgumentError: A secret is malformed, or there are none or too many.
    """

    __slots__ = ("_keys",)

    def __init__(self, name: str, secrets: str | Iterable[str]) -> None:
        if not isinstance(secrets, Iterable):
            refuse_type(name, secrets, "give `str`, or a list of `str`")
        texts = [secrets] if isinstance(secrets, str) else list(secrets)
        if not 1 <= len(texts) <= _SECRET_COUNT_MAX:
            _refuse(name, f"{len(texts)} secrets", f"give 1 to {_SECRET_COUNT_MAX}")
        self._keys = [_decode(name, text) for text in texts]

    def __repr__(self) -> str:
        """Show how many there are."""
        return f"Keys(<{len(self._keys)} secrets>)"

    def signatures(self, webhook_id: str, timestamp: str, body: bytes) -> list[str]:
        """Return the signature by each secret."""
        head = f"{webhook_id}.{timestamp}.".encode()
        return [_signature(key, head, body) for key in self._keys]

    def sign(self, webhook_id: str, timestamp: int, body: bytes) -> str:
        """Return the value of the header `webhook-signature`."""
        return " ".join(self.signatures(webhook_id, str(timestamp), body))


def sign(secrets: str | Iterable[str], webhook_id: str, timestamp: int, body: bytes) -> str:
    """Sign a webhook as Standard Webhooks 1.0.0 describes it.

    Args:
        secrets: `whsec_` and the base64 of 24 to 64 random bytes. Several while they are exchanged:
            a receiver that knows any of them can verify.
        webhook_id: The value of `webhook-id`: visible ASCII without a dot, at most 256 characters;
            the same for each attempt to deliver one webhook.
        timestamp: The value of `webhook-timestamp`: seconds since the Unix epoch, of this attempt.
        body: The body, byte for byte.

    Returns:
        The value of `webhook-signature`.

    Raises:
        InvalidArgumentError: A value is outside its bounds. No secret is shown.

    Example:
        >>> sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_1", 1614265330, b"{}")
        'v1,ZztYR0IIDCBCUcYzh8ZE+qsQWpIgtHU7R1hpe8htaD4='
    """
    keys = Keys("secrets", secrets)
    check_webhook_id(webhook_id)
    check_count("timestamp", timestamp, _TIMESTAMP_MAX, 0)
    check_payload("body", body)
    return keys.sign(webhook_id, timestamp, body)


def verify(
    secrets: str | Iterable[str],
    headers: Mapping[str, str],
    body: bytes,
    *,
    tolerance: Seconds = _TOLERANCE,
    now: datetime | None = None,
) -> None:
    """Check that a webhook is what its sender signed. For receivers.

    A webhook that was sent again, by its sender or by somebody who overheard it, passes within
    `tolerance`: keep the ids (`webhook-id`) that were worked on for at least as long.

    Args:
        secrets: The receiver's secret, or several while they are exchanged: any may match.
        headers: Headers of the request; upper and lower case are the same.
        body: The body as it was received, byte for byte. Parsed and printed again it is another.
        tolerance: How far the timestamp may lie from now, in both directions.
        now: The present, an aware `datetime`; the machine's clock if absent.

    Raises:
        WebhookVerificationError: It is not, or not now. Answer with status 400 or 401 and do
            nothing; `reason` is for the log.
        InvalidArgumentError: A secret or another argument is malformed.

    Example:
        >>> verify("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", request.headers, await request.body())
    """
    keys = Keys("secrets", secrets)
    check_instance("headers", headers, Mapping)
    check_payload("body", body)
    seconds = _taquba.duration("tolerance", tolerance).total_seconds()
    present = time.time() if now is None else _epoch_seconds(now)
    webhook_id = _header(headers, HEADER_ID)
    timestamp = _header(headers, HEADER_TIMESTAMP)
    given = _header(headers, HEADER_SIGNATURE)
    if _ID.fullmatch(webhook_id) is None or _TIMESTAMP.fullmatch(timestamp) is None:
        _fail("malformed-header", "id or timestamp is malformed")
    if not _is_signed(keys, webhook_id, timestamp, body, given):
        _fail("wrong-signature", "no signature matches: check the secret, and give the raw body")
    if int(timestamp) < present - seconds:
        _fail("too-old", f"its timestamp is more than {seconds:g} s old")
    if int(timestamp) > present + seconds:
        _fail("too-new", f"its timestamp is more than {seconds:g} s ahead: check the clock")


def check_webhook_id(webhook_id: str) -> None:
    """Refuse an id that cannot be signed. Not for users."""
    check_instance("webhook_id", webhook_id, str)
    if _ID.fullmatch(webhook_id) is None:
        shown = _taquba.shown(webhook_id)
        _refuse("webhook_id", shown, "give 1 to 256 visible ASCII characters, and no dot")


def _signature(key: bytes, head: bytes, body: bytes) -> str:
    # Not joined: a body may be as large as a payload.
    code = hmac.new(key, head, digestmod="sha256")
    code.update(body)
    return f"{_VERSION},{base64.b64encode(code.digest()).decode()}"


def _is_signed(keys: Keys, webhook_id: str, timestamp: str, body: bytes, given: str) -> bool:
    wanted = [text.encode() for text in keys.signatures(webhook_id, timestamp, body)]
    candidates = given.split(" ", _SIGNATURE_COUNT_MAX)[:_SIGNATURE_COUNT_MAX]
    is_signed = False
    # All of them, always: how long it takes says nothing about which one matched.
    for candidate in candidates:
        text = candidate.encode(errors="backslashreplace")
        for signature in wanted:
            is_signed |= hmac.compare_digest(text, signature)
    return is_signed


def _header(headers: Mapping[str, str], name: str) -> str:
    values = [
        value for key, value in headers.items() if isinstance(key, str) and key.lower() == name
    ]
    if not values:
        _fail("missing-header", f"the header `{name}` is missing")
    if len(values) > 1 or not isinstance(values[0], str):
        _fail("malformed-header", f"the header `{name}` is not one text")
    return values[0]


def _decode(name: str, secret: str) -> bytes:
    if not isinstance(secret, str):
        refuse_type(name, secret, "give `str`, or a list of `str`")
    remedy = (
        f"give `{SECRET_PREFIX}` and the base64 of {_SECRET_BYTES_MIN} to "
        f"{_SECRET_BYTES_MAX} random bytes"
    )
    if not secret.startswith(SECRET_PREFIX):
        _refuse(name, f"a text without `{SECRET_PREFIX}`", remedy)
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = None
    # Outside of the handler: the error must not carry the secret along as its context.
    if key is None:
        _refuse(name, "not in base64", remedy)
    if not _SECRET_BYTES_MIN <= len(key) <= _SECRET_BYTES_MAX:
        _refuse(name, f"of {len(key)} bytes", remedy)
    return key


def _epoch_seconds(now: datetime) -> float:
    check_instance("now", now, datetime)
    if now.utcoffset() is None:
        shown = _taquba.shown(now)
        _refuse("now", shown, "give an aware `datetime`, such as `datetime.now(UTC)`")
    return now.timestamp()


def _refuse(name: str, value: str, remedy: str) -> NoReturn:
    """Refuse an argument whose value must not be shown as it is."""
    message = f"`{name}` is {value}: {remedy}"
    raise InvalidArgumentError(message, name=name, value=value, remedy=remedy)


def _fail(reason: str, text: str) -> NoReturn:
    message = f"the webhook is refused: {text}"
    raise WebhookVerificationError(message, reason=reason)
