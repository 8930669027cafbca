"""Deliveries to a receiver on loopback that answers well, badly, slowly, or not at all."""

import asyncio
import gzip
import ssl
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from taquba import EnqueueOptions, NewJob
from taquba.webhooks import Circuit, WebhookWorker, _worker, verify
from taquba.webhooks._signature import Keys
from taquba.worker import PermanentFailure, Postponed, TransientFailure
from tests.waiting import eventually
from tests.webhooks.conftest import OTHER_SECRET, SECRET, Attempt, job_for, worker_for
from tests.webhooks.receiver import answer, receiving

REDIRECT = "location: http://169.254.169.254/latest/meta-data/"


@pytest.mark.parametrize("status", [200, 201, 202, 204, 226, 299])
async def test_a_status_of_200_to_299_is_a_delivery(attempt: Attempt, status: int) -> None:
    async with receiving(answer(status)) as receiver:
        await attempt(worker_for(receiver), job_for(receiver, b"\0body\xff"))

    [received] = receiver.received
    assert received.request_line == "POST /hook?token=secret HTTP/1.1"
    assert received.body == b"\0body\xff"


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
async def test_a_redirect_is_refused_and_not_followed(attempt: Attempt, status: int) -> None:
    async with receiving(answer(200)) as elsewhere:
        location = f"location: {elsewhere.url}"
        async with receiving(answer(status, location)) as receiver:
            with pytest.raises(PermanentFailure, match=f"{status}: redirects are not followed"):
                await attempt(worker_for(receiver, elsewhere), job_for(receiver))

    assert (len(receiver.received), elsewhere.connection_count) == (1, 0)


async def test_a_redirect_to_instance_metadata_is_refused(attempt: Attempt) -> None:
    async with receiving(answer(302, REDIRECT)) as receiver:
        with pytest.raises(PermanentFailure, match="302"):
            await attempt(worker_for(receiver), job_for(receiver))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 410, 413, 422, 451, 499])
async def test_other_refusals_of_the_receiver_are_final(attempt: Attempt, status: int) -> None:
    async with receiving(answer(status, "retry-after: 5", body=b"leaked text")) as receiver:
        with pytest.raises(PermanentFailure) as info:
            await attempt(worker_for(receiver), job_for(receiver))

    assert str(info.value) == f"host `127.0.0.1` answered {status}"


@pytest.mark.parametrize("status", [408, 429, 500, 501, 502, 503, 504, 599, 600, 999])
async def test_what_may_pass_is_tried_again(attempt: Attempt, status: int) -> None:
    async with receiving(answer(status, body=b"leaked text")) as receiver:
        with pytest.raises(TransientFailure) as info:
            await attempt(worker_for(receiver), job_for(receiver))

    assert str(info.value) == f"host `127.0.0.1` answered {status}"
    assert info.value.retry_after is None


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        (["retry-after: 120"], timedelta(seconds=120)),
        (["retry-after: 0"], timedelta(seconds=1)),
        (["retry-after: 99999999"], timedelta(days=1)),
        (
            ["retry-after: Wed, 02 Jan 2030 03:05:05 GMT", "date: Wed, 02 Jan 2030 03:04:05 GMT"],
            timedelta(seconds=60),
        ),
        (["retry-after: Wed, 02 Jan 2030 03:05:05 GMT"], None),
        (["retry-after: soon"], None),
    ],
)
async def test_a_receiver_may_say_when_to_try_again(
    attempt: Attempt, status: int, headers: list[str], wanted: timedelta | None
) -> None:
    async with receiving(answer(status, *headers)) as receiver:
        with pytest.raises(TransientFailure) as info:
            await attempt(worker_for(receiver), job_for(receiver))

    assert info.value.retry_after == wanted


async def test_a_receiver_gets_what_it_needs_and_nothing_else(attempt: Attempt) -> None:
    async with receiving(answer(200)) as receiver:
        headers = {"X-Tenant": "a b", "User-Agent": "mine/1"}
        job = job_for(receiver, headers=headers, content_type="application/json")
        await attempt(worker_for(receiver), job)

    [received] = receiver.received
    assert received.headers == {
        "accept": "*/*",
        "content-length": "4",
        "content-type": "application/json",
        "host": f"127.0.0.1:{receiver.port}",
        "user-agent": "mine/1",
        "x-tenant": "a b",
    }
    assert len(received.header_lines) == len(received.headers)


async def test_a_signed_delivery_can_be_verified(attempt: Attempt) -> None:
    async with receiving(answer(200)) as receiver:
        await attempt(worker_for(receiver, secrets={"key-1": SECRET}), job_for(receiver, b"{}"))

    [received] = receiver.received
    verify(SECRET, received.headers, received.body)
    assert "." not in received.headers["webhook-id"]


async def test_the_webhook_id_is_that_of_the_job_and_new_for_each_job(attempt: Attempt) -> None:
    async with receiving(answer(200)) as receiver:
        jobs = [job_for(receiver), job_for(receiver)]
        by_hand = NewJob(b"", EnqueueOptions(headers={"webhook.url": receiver.url}))
        for job in (*jobs, by_hand):
            await attempt(worker_for(receiver, secrets={"key-1": SECRET}), job)

    first, second, last = (one.headers["webhook-id"] for one in receiver.received)
    assert [first, second] == [job.options.headers["webhook.id"] for job in jobs]
    assert first != second
    # A job that nobody gave an id has its own.
    assert last.isdigit()


@pytest.mark.parametrize(("size_bytes", "is_elsewhere"), [(1024 * 1024, False), (2**20 + 1, True)])
async def test_large_bodies_are_not_signed_on_the_event_loop(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch, size_bytes: int, is_elsewhere: bool
) -> None:
    threads: list[int] = []
    sign = Keys.sign

    def noticed(keys: Keys, webhook_id: str, timestamp: int, body: bytes) -> str:
        threads.append(threading.get_ident())
        return sign(keys, webhook_id, timestamp, body)

    monkeypatch.setattr(Keys, "sign", noticed)
    async with receiving(answer(200)) as receiver:
        worker = worker_for(receiver, secrets={"key-1": SECRET})
        await attempt(worker, job_for(receiver, bytes(size_bytes)))

    [received] = receiver.received
    verify(SECRET, received.headers, received.body)
    assert [thread != threading.get_ident() for thread in threads] == [is_elsewhere]


async def test_a_job_is_signed_with_its_own_key_and_no_other(attempt: Attempt) -> None:
    secrets = {"a": SECRET, "b": [OTHER_SECRET, SECRET]}
    async with receiving(answer(200)) as receiver:
        worker = worker_for(receiver, secrets=secrets, default_key_id="a")
        for key_id in (None, "a", "b"):
            await attempt(worker, job_for(receiver, key_id=key_id))

    default, own, exchanged = (one.headers["webhook-signature"] for one in receiver.received)
    assert [len(text.split(" ")) for text in (default, own, exchanged)] == [1, 1, 2]
    for received in receiver.received:
        verify(SECRET, received.headers, received.body)
    verify(OTHER_SECRET, receiver.received[2].headers, b"body")


async def test_a_key_that_this_process_lacks_is_waited_for(attempt: Attempt) -> None:
    async with receiving(answer(200)) as receiver:
        for worker in (worker_for(receiver), worker_for(receiver, secrets={"old": SECRET})):
            with pytest.raises(TransientFailure, match="no secret for the key `new`"):
                await attempt(worker, job_for(receiver, key_id="new"))

    assert receiver.connection_count == 0


async def test_a_silent_receiver_is_given_up_after_the_timeout(attempt: Attempt) -> None:
    async def stay_silent(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with receiving(stay_silent) as receiver:
        for worker, job in (
            (worker_for(receiver, timeout=0.05), job_for(receiver)),
            (worker_for(receiver), job_for(receiver, timeout=0.05)),
        ):
            with pytest.raises(TransientFailure, match=r"did not answer within 50ms"):
                await attempt(worker, job)


@pytest.mark.slow
async def test_an_answer_whose_body_trickles_is_a_delivery(attempt: Attempt) -> None:
    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.2)

    async with receiving(trickle) as receiver:
        await attempt(worker_for(receiver, timeout=30), job_for(receiver))


async def test_headers_that_trickle_do_not_outlast_the_timeout(attempt: Attempt) -> None:
    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"x: y\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with receiving(trickle) as receiver:
        with pytest.raises(TransientFailure, match="did not answer"):
            await attempt(worker_for(receiver, timeout=0.1), job_for(receiver))


@pytest.mark.parametrize("framing", ["content-length: 9999999999999", "x: y"])
async def test_an_endless_answer_is_cut_short(attempt: Attempt, framing: str) -> None:
    async def write_for_ever(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode())
        while True:
            writer.write(bytes(64 * 1024))
            receiver.sent_bytes += 64 * 1024
            await writer.drain()

    async with receiving(write_for_ever) as receiver:
        await attempt(worker_for(receiver), job_for(receiver))

        async def is_closed() -> bool:
            return receiver.closed_count == 1

        await eventually(is_closed, "the end of the connection")

    # What was read, and what the sockets of both ends hold.
    assert receiver.sent_bytes < 32 * 1024 * 1024


async def test_a_compressed_answer_is_not_unpacked(attempt: Attempt) -> None:
    bomb = gzip.compress(bytes(64 * 1024 * 1024))
    async with receiving(answer(200, "content-encoding: gzip", body=bomb)) as receiver:
        await attempt(worker_for(receiver), job_for(receiver))

    assert "accept-encoding" not in receiver.received[0].headers


BROKEN_ANSWERS = [
    b"",
    b"HTTP/1.1 20",
    b"nonsense\r\n\r\n",
    b"HTTP/1.1 abc OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200_000 + b"\r\n",
    b"HTTP/1.1 200 OK\r\nx: " + b"y" * 2_000_000,
    b"SSH-2.0-server\r\n",
    b"\x16\x03\x01\x02\x00",
]


@pytest.mark.parametrize("answered", BROKEN_ANSWERS, ids=range(len(BROKEN_ANSWERS)))
async def test_an_answer_that_is_none_is_tried_again(attempt: Attempt, answered: bytes) -> None:
    async with receiving(answered) as receiver:
        with pytest.raises(TransientFailure) as info:
            await attempt(worker_for(receiver), job_for(receiver))

    assert str(info.value).startswith("host `127.0.0.1`: ")
    assert "secret" not in str(info.value)
    assert len(receiver.received) == 1


async def test_a_receiver_that_is_not_there_is_tried_again(attempt: Attempt) -> None:
    async with receiving(b"") as receiver:
        pass

    with pytest.raises(TransientFailure, match="`127"):
        await attempt(worker_for(receiver), job_for(receiver))


def encrypted(receiver: Any) -> str:
    """The receiver's URL, with encryption."""
    return f"https://127.0.0.1:{receiver.port}/hook?token=secret"


async def test_a_receiver_that_never_greets_is_given_up(attempt: Attempt) -> None:
    async with receiving(b"") as receiver:
        job = job_for(receiver, url=encrypted(receiver))
        with pytest.raises(TransientFailure, match="did not answer within 100ms"):
            await attempt(worker_for(receiver, timeout=0.1), job)


async def test_a_certificate_that_nobody_vouches_for_gets_nothing(
    attempt: Attempt, tls: ssl.SSLContext
) -> None:
    async with receiving(answer(200), tls=tls) as receiver:
        job = job_for(receiver, url=encrypted(receiver))
        with pytest.raises(TransientFailure, match="certificate") as info:
            await attempt(worker_for(receiver), job)

    assert receiver.received == []
    assert "secret" not in str(info.value)


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    """A server's side of encryption, with a certificate that it has signed itself."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "127.0.0.1")])
    draft = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    draft = draft.public_key(key.public_key()).serial_number(1)
    draft = draft.not_valid_before(datetime(2020, 1, 1))  # noqa: DTZ001 - as the library wants it
    draft = draft.not_valid_after(datetime(2090, 1, 1))  # noqa: DTZ001 - the same
    pem = serialization.Encoding.PEM
    private = serialization.PrivateFormat.PKCS8
    path = tmp_path / "server.pem"
    path.write_bytes(
        key.private_bytes(pem, private, serialization.NoEncryption())
        + draft.sign(key, hashes.SHA256()).public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


async def test_a_proxy_of_the_environment_is_not_asked(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving(answer(200)) as proxy, receiving(answer(200)) as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        await attempt(worker_for(receiver), job_for(receiver))

    assert (proxy.connection_count, receiver.connection_count) == (0, 1)


async def test_a_delivery_that_is_cancelled_closes_its_connection(attempt: Attempt) -> None:
    async def say_nothing(writer: asyncio.StreamWriter) -> None:
        pass

    async with receiving(say_nothing, keeps_open=True) as receiver:
        delivery = asyncio.create_task(attempt(worker_for(receiver), job_for(receiver)))
        await receiver.has_received(1)
        delivery.cancel()
        with pytest.raises(asyncio.CancelledError):
            await delivery

        async def is_closed() -> bool:
            return receiver.closed_count == 1

        await eventually(is_closed, "the end of the connection")


async def test_a_connection_serves_again(attempt: Attempt) -> None:
    async def keep_open(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()

    async with receiving(keep_open, keeps_open=True) as receiver:
        worker = worker_for(receiver)
        for _ in range(5):
            await attempt(worker, job_for(receiver))

    assert (len(receiver.received), receiver.connection_count) == (5, 1)


async def test_large_bodies_arrive_whole(attempt: Attempt) -> None:
    body = bytes(range(256)) * 16 * 1024
    async with receiving(answer(200)) as receiver:
        options = EnqueueOptions(max_attempts=1)
        await attempt(worker_for(receiver), job_for(receiver, body, options=options))

    assert receiver.received[0].body == body


async def test_a_dead_host_is_left_alone_and_says_until_when(attempt: Attempt) -> None:
    async with receiving(answer(500)) as receiver:
        worker = worker_for(receiver)
        for _ in range(5):
            with pytest.raises(TransientFailure, match="answered 500"):
                await attempt(worker, job_for(receiver))
        with pytest.raises(Postponed, match="left alone") as info:
            await attempt(worker, job_for(receiver))

    assert receiver.connection_count == 5
    assert info.value.retry_after > timedelta(seconds=29)


async def test_a_name_that_was_not_looked_up_is_no_failure_of_its_receiver(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def not_looked_up(*_: object) -> _worker._Sent:
        return _worker._Sent("busy", 0, None, "too many lookups")  # noqa: SLF001 - the same

    async with receiving(answer(200)) as receiver:
        worker = worker_for(receiver, circuit=Circuit(failure_count=1))
        with monkeypatch.context() as patch:
            patch.setattr(WebhookWorker, "_send", not_looked_up)
            with pytest.raises(Postponed, match="too many lookups") as info:
                await attempt(worker, job_for(receiver))
        await attempt(worker, job_for(receiver))

    assert 10 <= info.value.retry_after.total_seconds() <= 15


async def test_a_submitter_cannot_have_a_host_left_alone_by_naming_another_port(
    attempt: Attempt,
) -> None:
    async with receiving(answer(500)) as bad, receiving(answer(200)) as good:
        worker = worker_for(bad, good, circuit=Circuit(failure_count=1))
        with pytest.raises(TransientFailure, match="answered 500"):
            await attempt(worker, job_for(bad))
        await attempt(worker, job_for(good))

    assert (bad.connection_count, good.connection_count) == (1, 1)


async def test_refusals_of_a_receiver_that_is_alive_do_not_open_its_circuit(
    attempt: Attempt,
) -> None:
    async with receiving(answer(404)) as receiver:
        worker = worker_for(receiver)
        for _ in range(8):
            with pytest.raises(PermanentFailure, match="404"):
                await attempt(worker, job_for(receiver))

    assert receiver.connection_count == 8
