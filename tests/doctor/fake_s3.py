"""A small S3 server in memory that can be told to do what a bad one does.

Only what `taquba doctor` asks for, and no signatures: what S3 itself says is tested in
`tests/stores` and `tests/conformance`.
"""

import email.utils
import hashlib
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from taquba.store import S3Store

BUCKET = "bucket"
KEY = re.compile(r"<Key>(.*?)</Key>")
RANGE = re.compile(r"bytes=(\d+)-(\d+)")


@dataclass
class Spoil:
    """What goes wrong. Names of headers are lower case."""

    ignored_headers: frozenset[str] = frozenset()
    lost_metadata: bool = False
    forbidden: re.Pattern[str] | None = None
    """Requests whose method and target match are answered with 403."""
    clock_offset_seconds: float = 0.0
    delay_seconds: float = 0.0


@dataclass
class Thing:
    """An object."""

    body: bytes
    metadata: dict[str, str]
    at: float = field(default_factory=time.time)

    @property
    def tag(self) -> str:
        """Its entity tag."""
        return f'"{hashlib.sha256(self.body).hexdigest()[:32]}"'


@dataclass
class FakeS3:
    """The server's state, and what it spoils."""

    endpoint: str = ""
    spoil: Spoil = field(default_factory=Spoil)
    things: dict[str, Thing] = field(default_factory=dict)
    uploads: dict[str, list[bytes]] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    """Method and target of each request."""
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Released once for each."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def left(self) -> list[str]:
        """Objects, and uploads that nobody has ended."""
        return sorted(self.things) + sorted(self.uploads)

    def settings(self) -> dict[str, str]:
        """The environment in which a URL leads here."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test-key",
            "AWS_SECRET_ACCESS_KEY": "test-secret",
        }

    def store(self, bucket: str = BUCKET) -> S3Store:
        """A store that leads here."""
        return S3Store(
            bucket,
            prefix="app",
            endpoint=self.endpoint,
            region="us-east-1",
            access_key_id="test-key",
            secret_access_key="test-secret",
            client_options={"allow_http": True},
        )


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    # Headers and body leave as two packets; the client must not wait for the second.
    disable_nagle_algorithm = True
    fake: FakeS3

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def handle_one(self) -> None:
        """Answers a request of any method."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        spoil = self.fake.spoil
        self.fake.seen.append(f"{self.command} {self.path}")
        self.fake.arrived.release()
        time.sleep(spoil.delay_seconds)
        if spoil.forbidden is not None and spoil.forbidden.search(self.fake.seen[-1]):
            return self.refuse(HTTPStatus.FORBIDDEN, "AccessDenied")
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        query = {name: values[0] for name, values in parse_qs(parts.query, True).items()}
        if bucket != BUCKET:
            return self.refuse(HTTPStatus.NOT_FOUND, "NoSuchBucket")
        with self.fake.lock:
            return self.serve(key, query, body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_one  # noqa: N815 - what the base calls

    def serve(self, key: str, query: dict[str, str], body: bytes) -> None:
        """Does what was asked for."""
        if not key:
            return self.delete_all(body) if "delete" in query else self.list(query)
        if "uploads" in query or "uploadId" in query:
            return self.upload(key, query, body)
        if self.command == "PUT":
            return self.put(key, body)
        if self.command == "DELETE":
            self.fake.things.pop(key, None)
            return self.answer(HTTPStatus.NO_CONTENT)
        return self.get(key)

    def condition(self, name: str) -> str | None:
        """A header, unless this server ignores it."""
        return None if name in self.fake.spoil.ignored_headers else self.headers.get(name)

    def put(self, key: str, body: bytes) -> None:
        """Writes an object."""
        there = self.fake.things.get(key)
        matches = self.condition("if-match")
        if (self.condition("if-none-match") == "*" and there) or (
            matches is not None and (there is None or there.tag != matches)
        ):
            return self.refuse(HTTPStatus.PRECONDITION_FAILED, "PreconditionFailed")
        kept = {
            name: value
            for name, value in self.headers.items()
            if name.lower().startswith("x-amz-meta-") and not self.fake.spoil.lost_metadata
        }
        self.fake.things[key] = Thing(body, kept)
        return self.answer(HTTPStatus.OK, {"ETag": self.fake.things[key].tag})

    def get(self, key: str) -> None:
        """Reads an object."""
        there = self.fake.things.get(key)
        if there is None:
            return self.refuse(HTTPStatus.NOT_FOUND, "NoSuchKey")
        if self.condition("if-none-match") == there.tag:
            return self.answer(HTTPStatus.NOT_MODIFIED)
        if self.condition("if-match") not in {None, there.tag}:
            return self.refuse(HTTPStatus.PRECONDITION_FAILED, "PreconditionFailed")
        headers = {"ETag": there.tag, "Last-Modified": self.date(there), **there.metadata}
        asked = RANGE.fullmatch(self.condition("range") or "")
        if asked is None:
            return self.answer(HTTPStatus.OK, headers, there.body)
        start, last = int(asked[1]), int(asked[2])
        headers["Content-Range"] = f"bytes {start}-{last}/{len(there.body)}"
        return self.answer(HTTPStatus.PARTIAL_CONTENT, headers, there.body[start : last + 1])

    def upload(self, key: str, query: dict[str, str], body: bytes) -> None:
        """Takes part in a multipart upload, whose id is the key."""
        name = f"upload of {key}"
        if "uploads" in query:
            self.fake.uploads[name] = []
            text = f"<Bucket>{BUCKET}</Bucket><Key>{key}</Key><UploadId>{name}</UploadId>"
            return self.xml("InitiateMultipartUploadResult", text)
        if self.command == "PUT":
            self.fake.uploads[name].append(body)
            return self.answer(HTTPStatus.OK, {"ETag": '"part"'})
        parts = self.fake.uploads.pop(name)
        if self.command == "DELETE":
            return self.answer(HTTPStatus.NO_CONTENT)
        self.fake.things[key] = Thing(b"".join(parts), {})
        tag = self.fake.things[key].tag
        return self.xml("CompleteMultipartUploadResult", f"<Key>{key}</Key><ETag>{tag}</ETag>")

    def list(self, query: dict[str, str]) -> None:
        """Lists what begins with a prefix."""
        texts = [
            f"<Contents><Key>{key}</Key><Size>{len(there.body)}</Size><ETag>{there.tag}</ETag>"
            f"<LastModified>{self.date(there, is_listed=True)}</LastModified></Contents>"
            for key, there in sorted(self.fake.things.items())
            if key.startswith(query.get("prefix", ""))
        ]
        text = f"<KeyCount>{len(texts)}</KeyCount><IsTruncated>false</IsTruncated>"
        return self.xml("ListBucketResult", text + "".join(texts))

    def delete_all(self, body: bytes) -> None:
        """Deletes several objects."""
        keys = KEY.findall(body.decode())
        for key in keys:
            self.fake.things.pop(key, None)
        told = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
        return self.xml("DeleteResult", told)

    def date(self, there: Thing, *, is_listed: bool = False) -> str:
        """When an object was written, by this server's clock."""
        at = int(there.at + self.fake.spoil.clock_offset_seconds)
        if is_listed:
            return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(at))
        return email.utils.formatdate(at, usegmt=True)

    def refuse(self, status: HTTPStatus, code: str) -> None:
        """Answers that it was not done."""
        return self.xml("Error", f"<Code>{code}</Code><Message>no</Message>", status)

    def xml(self, name: str, text: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        """Answers with a document."""
        document = f'<?xml version="1.0" encoding="UTF-8"?><{name}>{text}</{name}>'
        return self.answer(status, {"Content-Type": "application/xml"}, document.encode())

    def answer(
        self, status: HTTPStatus, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> None:
        """Answers."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def fake_s3() -> Iterator[FakeS3]:
    """Starts one with an empty bucket."""
    running = FakeS3()
    kind = type("Handler", (Handler,), {"fake": running})
    listening = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    listening.daemon_threads = True
    running.endpoint = f"http://127.0.0.1:{listening.server_address[1]}"
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield running
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()
