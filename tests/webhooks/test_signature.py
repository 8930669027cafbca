"""Signatures: the published vectors, another implementation, every byte, every way to be wrong."""

import base64
import json
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError as TheirError

from taquba.exceptions import InvalidArgumentError, TaqubaError
from taquba.webhooks import WebhookVerificationError, sign, verify
from tests.webhooks.conftest import OTHER_SECRET, SECRET

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
BODY = b'{"type":"run.ended"}'

VECTORS = [
    (
        SECRET,
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ),
    (
        OTHER_SECRET,
        "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        1649367553,
        b'{"email":"test@example.com","username":"test_user"}',
        "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
    ),
]


def secret_of(size_bytes: int) -> str:
    """A secret of so many bytes."""
    return "whsec_" + base64.b64encode(bytes(range(size_bytes))).decode()


def signed(
    secrets: Any = SECRET, body: bytes = BODY, now: datetime = NOW, webhook_id: str = "msg_1"
) -> dict[str, str]:
    """The headers of a webhook."""
    timestamp = int(now.timestamp())
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secrets, webhook_id, timestamp, body),
    }


@pytest.mark.parametrize(("secret", "webhook_id", "timestamp", "body", "wanted"), VECTORS)
def test_the_published_vectors_are_met(
    secret: str, webhook_id: str, timestamp: int, body: bytes, wanted: str
) -> None:
    assert sign(secret, webhook_id, timestamp, body) == wanted

    headers = {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": wanted,
    }
    verify(secret, headers, body, now=datetime.fromtimestamp(timestamp, UTC))


BODIES = [b"{}", b'{"a": "\xc3\xa4"}', json.dumps({"n": list(range(1000))}).encode()]


@pytest.mark.parametrize("body", BODIES, ids=len)
@pytest.mark.parametrize("size_bytes", [24, 32, 64])
def test_another_implementation_verifies_what_we_sign(body: bytes, size_bytes: int) -> None:
    headers = signed(secret_of(size_bytes), body, datetime.now(UTC))

    assert Webhook(secret_of(size_bytes)).verify(body, headers) == json.loads(body)
    with pytest.raises(TheirError):
        Webhook(secret_of(size_bytes)).verify(body + b" ", headers)


@pytest.mark.parametrize("body", BODIES, ids=len)
@pytest.mark.parametrize("size_bytes", [24, 32, 64])
def test_we_verify_what_another_implementation_signs(body: bytes, size_bytes: int) -> None:
    secret = secret_of(size_bytes)
    headers = {
        "Webhook-Id": "msg_2",
        "Webhook-Timestamp": str(int(NOW.timestamp())),
        "Webhook-Signature": Webhook(secret).sign("msg_2", NOW, body.decode()),
    }

    verify(secret, headers, body, now=NOW)


def test_a_change_of_any_byte_is_noticed() -> None:
    good = signed()
    verify(SECRET, good, BODY, now=NOW)

    for index in range(len(BODY)):
        for bit in range(8):
            changed = bytearray(BODY)
            changed[index] ^= 1 << bit
            with pytest.raises(WebhookVerificationError):
                verify(SECRET, good, bytes(changed), now=NOW)
    for name, value in good.items():
        for index in range(len(value)):
            for bit in range(7):
                text = value[:index] + chr(ord(value[index]) ^ (1 << bit)) + value[index + 1 :]
                with pytest.raises(WebhookVerificationError):
                    verify(SECRET, {**good, name: text}, BODY, now=NOW)
            with pytest.raises(WebhookVerificationError):
                short = value[:index] + value[index + 1 :]
                verify(SECRET, {**good, name: short}, BODY, now=NOW)


def test_the_border_between_id_timestamp_and_body_does_not_move() -> None:
    headers = signed(body=b"1.body")
    second = {**headers, "webhook-id": f"msg_1.{headers['webhook-timestamp']}"}

    for changed in (second, {**second, "webhook-timestamp": "1"}):
        with pytest.raises(WebhookVerificationError) as info:
            verify(SECRET, changed, b"body", now=NOW)
        assert info.value.reason == "malformed-header"


def test_secrets_can_be_exchanged_without_a_gap() -> None:
    both = signed([OTHER_SECRET, SECRET])

    assert len(both["webhook-signature"].split(" ")) == 2
    for receiver in (SECRET, OTHER_SECRET, [SECRET, OTHER_SECRET], [OTHER_SECRET, secret_of(24)]):
        verify(receiver, both, BODY, now=NOW)
    verify([OTHER_SECRET, SECRET], signed(SECRET), BODY, now=NOW)
    with pytest.raises(WebhookVerificationError):
        verify(secret_of(24), both, BODY, now=NOW)


def test_signatures_of_other_versions_are_passed_over() -> None:
    good = signed()
    signature = good["webhook-signature"]
    for others in ("v1a,aGVsbG8=", "v2,x", "nonsense", "", ",", "v1", "v1,", "v1,\udcff"):
        verify(SECRET, {**good, "webhook-signature": f"{others} {signature}"}, BODY, now=NOW)
        with pytest.raises(WebhookVerificationError):
            verify(SECRET, {**good, "webhook-signature": others}, BODY, now=NOW)
    for relabelled in (signature.replace("v1,", "v1a,"), signature.replace("v1,", "v2,")):
        with pytest.raises(WebhookVerificationError):
            verify(SECRET, {**good, "webhook-signature": relabelled}, BODY, now=NOW)


def test_only_so_many_signatures_are_looked_at() -> None:
    good = signed()
    crowd = " ".join(["v1,x"] * 100 + [good["webhook-signature"]])

    with pytest.raises(WebhookVerificationError):
        verify(SECRET, {**good, "webhook-signature": crowd}, BODY, now=NOW)


@pytest.mark.parametrize(
    ("age", "reason"),
    [(0, None), (300, None), (301, "too-old"), (-300, None), (-301, "too-new"), (1e9, "too-old")],
)
def test_a_webhook_is_good_for_five_minutes_in_both_directions(
    age: float, reason: str | None
) -> None:
    headers = signed()
    now = NOW + timedelta(seconds=age)

    if reason is None:
        verify(SECRET, headers, BODY, now=now)
    else:
        with pytest.raises(WebhookVerificationError) as info:
            verify(SECRET, headers, BODY, now=now)
        assert info.value.reason == reason


def test_the_tolerance_and_the_present_can_be_given() -> None:
    verify(SECRET, signed(now=datetime.now(UTC)), BODY)
    later = NOW + timedelta(seconds=5)
    verify(SECRET, signed(), BODY, now=later, tolerance=timedelta(seconds=5))
    with pytest.raises(WebhookVerificationError):
        verify(SECRET, signed(), BODY, now=later, tolerance=4)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"webhook-id": None}, "missing-header"),
        ({"webhook-timestamp": None}, "missing-header"),
        ({"webhook-signature": None}, "missing-header"),
        ({"Webhook-Id": "msg_1"}, "malformed-header"),
        ({"webhook-id": ""}, "malformed-header"),
        ({"webhook-id": "a b"}, "malformed-header"),
        ({"webhook-id": "x" * 257}, "malformed-header"),
        ({"webhook-timestamp": ""}, "malformed-header"),
        ({"webhook-timestamp": "-1"}, "malformed-header"),
        ({"webhook-timestamp": "1e9"}, "malformed-header"),
        ({"webhook-timestamp": "\u0661"}, "malformed-header"),
        ({"webhook-timestamp": "9" * 13}, "malformed-header"),
        ({"webhook-timestamp": b"1"}, "malformed-header"),
    ],
)
def test_headers_that_are_missing_or_malformed_are_refused(
    change: dict[str, Any], reason: str
) -> None:
    changed = {**signed(), **change}
    headers = {name: value for name, value in changed.items() if value is not None}

    with pytest.raises(WebhookVerificationError) as info:
        verify(SECRET, headers, BODY, now=NOW)

    assert info.value.reason == reason


BAD_SECRETS: list[Any] = [
    "",
    "whsec_",
    "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "whsec_Canary!!",
    "whsec_CanaryCanary",
    secret_of(23),
    secret_of(65),
    secret_of(24) + "\n",
    "WHSEC_" + secret_of(24).removeprefix("whsec_"),
    [],
    [SECRET] * 17,
    [SECRET, "whsec_CanaryCanary"],
    None,
    7,
    [7],
    b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
]


@pytest.mark.parametrize("secret", BAD_SECRETS, ids=range(len(BAD_SECRETS)))
def test_a_malformed_secret_is_refused_and_not_shown(secret: Any) -> None:
    calls: list[Any] = [
        lambda: sign(secret, "msg", 1, b""),
        lambda: verify(secret, signed(), BODY, now=NOW),
    ]
    for call in calls:
        with pytest.raises(InvalidArgumentError) as info:
            call()

        shown = f"{info.value!s} {info.value!r} {vars(info.value)} {info.value.__context__}"
        for text in ("Canary", "MfKQ9r8", secret_of(23)[6:20]):
            assert text not in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ("a.b", 1, b""),
        ("", 1, b""),
        ("x" * 257, 1, b""),
        ("ä", 1, b""),
        (7, 1, b""),
        ("a", -1, b""),
        ("a", 1.5, b""),
        ("a", True, b""),
        ("a", 1, "text"),
    ],
)
def test_what_cannot_be_signed_is_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TaqubaError):
        sign(SECRET, *arguments)


def test_a_naive_present_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="aware"):
        verify(SECRET, signed(), BODY, now=NOW.replace(tzinfo=None))


def test_signing_a_large_body_needs_no_second_one() -> None:
    body = bytes(8 * 1024 * 1024)
    tracemalloc.start()
    try:
        sign([SECRET, OTHER_SECRET], "msg_1", 1, body)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most_bytes < len(body) // 8
