"""A server that speaks as much of Google Cloud Storage's XML API as an object store needs.

It keeps objects in memory, under one lock, so that conditional writes are atomic. It is a double of
our own making: it checks our wiring, not Google. Two buckets exist: `BUCKET`, and `DENIED`, whose
every request is refused.

python tests/conformance/gcs_fake.py PORT
"""

import hashlib
import itertools
import re
import sys
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "taquba-test"
DENIED = "taquba-denied"
KEYS_PER_PAGE = 1000


@dataclass(frozen=True)
class Blob:
    """One generation of an object."""

    content: bytes
    generation: int
    metadata: dict[str, str]
    modified: datetime

    @property
    def etag(self) -> str:
        """A digest of the content, in quotes."""
        return f'"{hashlib.md5(self.content, usedforsecurity=False).hexdigest()}"'


class Precondition(Exception):  # noqa: N818 - the name of HTTP's answer
    """The object is not what the writer expects."""


@dataclass
class Bucket:
    """All objects, and uploads in parts."""

    blobs: dict[str, Blob] = field(default_factory=dict)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def write(
        self, key: str, content: bytes, metadata: dict[str, str], expected: str | None
    ) -> Blob:
        """Puts an object; `expected` is the generation that must be there, "0" for none."""
        with self.lock:
            there = self.blobs.get(key)
            if expected is not None and int(expected) != (there.generation if there else 0):
                raise Precondition
            blob = Blob(content, next(self.numbers), metadata, datetime.now(UTC))
            self.blobs[key] = blob
            return blob

    def page(self, query: dict[str, str]) -> str:
        """One page of a listing, as XML."""
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = max(query.get("start-after", ""), query.get("continuation-token", ""))
        with self.lock:
            blobs = {key: self.blobs[key] for key in sorted(self.blobs) if key > after}
        entries: list[str] = []
        folders: dict[str, None] = {}
        last = ""
        for key, blob in blobs.items():
            if not key.startswith(prefix):
                continue
            if delimiter and delimiter in key[len(prefix) :]:
                folders[prefix + key[len(prefix) :].split(delimiter)[0] + delimiter] = None
                continue
            if len(entries) == KEYS_PER_PAGE:
                break
            last = key
            entries.append(
                f"<Contents><Key>{escape(key)}</Key><Size>{len(blob.content)}</Size>"
                f"<ETag>{escape(blob.etag)}</ETag>"
                f"<LastModified>{blob.modified:%Y-%m-%dT%H:%M:%S.000Z}</LastModified></Contents>"
            )
        else:
            last = ""
        more = f"<NextContinuationToken>{escape(last)}</NextContinuationToken>" if last else ""
        folder_rows = "".join(
            f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>"
            for folder in folders
        )
        return (
            f"<ListBucketResult><IsTruncated>{str(bool(last)).lower()}</IsTruncated>"
            f"{more}{''.join(entries)}{folder_rows}</ListBucketResult>"
        )


THE_BUCKET = Bucket()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    # One segment per answer: unbuffered headers would each wait for an acknowledgement.
    wbufsize = 64 * 1024

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
        """Says nothing."""

    def handle_one(self) -> None:
        """Reads the request wholly, finds the bucket, and answers."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        bucket, _, key = unquote(url.path).removeprefix("/").partition("/")
        query = {
            name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()
        }
        if bucket == DENIED:
            self.answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        elif bucket != BUCKET:
            self.answer(404, b"<Error><Code>NoSuchBucket</Code></Error>")
        else:
            getattr(self, f"on_{self.command.lower()}")(key, query, body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_one  # noqa: N815 - the base class's

    def answer(self, status: int, body: bytes = b"", **headers: object) -> None:
        """Sends an answer; names of headers have `_` for `-`."""
        self.send_response(status)
        length = headers.pop("content_length", len(body))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def user_metadata(self) -> dict[str, str]:
        """What the writer wants kept beside the object."""
        return {
            name: value
            for name, value in self.headers.items()
            if name.lower().startswith("x-goog-meta-")
        }

    def on_put(self, key: str, query: dict[str, str], body: bytes) -> None:
        """Writes an object, a part of one, or a copy."""
        if "uploadId" in query:
            THE_BUCKET.uploads[query["uploadId"]][int(query["partNumber"])] = body
            digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
            self.answer(200, ETag=f'"{digest}"')
            return
        source = self.headers.get("x-goog-copy-source")
        if source is not None:
            found = THE_BUCKET.blobs.get(unquote(source).lstrip("/").partition("/")[2])
            if found is None:
                self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
                return
            body = found.content
        expected = self.headers.get("x-goog-if-generation-match")
        try:
            blob = THE_BUCKET.write(key, body, self.user_metadata(), expected)
        except Precondition:
            self.answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
            return
        said = f"<CopyObjectResult><ETag>{escape(blob.etag)}</ETag></CopyObjectResult>".encode()
        self.answer(200, said if source else b"", ETag=blob.etag, x_goog_generation=blob.generation)

    def on_get(self, key: str, query: dict[str, str], body: bytes) -> None:
        """Reads an object, a range of it, or a listing."""
        if not key:
            self.answer(200, THE_BUCKET.page(query).encode(), Content_Type="application/xml")
            return
        blob = THE_BUCKET.blobs.get(key)
        if blob is None:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        headers = {
            "ETag": blob.etag,
            "Last-Modified": format_datetime(blob.modified, usegmt=True),
            "x-goog-generation": blob.generation,
        } | blob.metadata
        if self.headers.get("If-None-Match") == blob.etag:
            self.answer(304, ETag=blob.etag)
            return
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        size = len(blob.content)
        if asked is None:
            length = {"content_length": size} if self.command == "HEAD" else {}
            self.answer(200, blob.content, **headers, **length)
            return
        first, last = asked.groups()
        start = int(first) if first else max(0, size - int(last))
        end = min(size, int(last) + 1) if first and last else size
        if start >= size:
            self.answer(416, b"<Error><Code>InvalidRange</Code></Error>")
            return
        span = {"Content-Range": f"bytes {start}-{end - 1}/{size}"}
        self.answer(206, blob.content[start:end], **headers, **span)

    on_head = on_get

    def on_delete(self, key: str, query: dict[str, str], body: bytes) -> None:
        """Deletes an object."""
        with THE_BUCKET.lock:
            found = THE_BUCKET.blobs.pop(key, None)
        self.answer(404 if found is None else 204)

    def on_post(self, key: str, query: dict[str, str], body: bytes) -> None:
        """Begins or ends an upload in parts."""
        if "uploads" in query:
            name = f"upload-{next(THE_BUCKET.numbers)}"
            THE_BUCKET.uploads[name] = {}
            said = (
                f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId>"
                "</InitiateMultipartUploadResult>"
            )
            self.answer(200, said.encode())
            return
        parts = THE_BUCKET.uploads.pop(query["uploadId"])
        content = b"".join(parts[number] for number in sorted(parts))
        blob = THE_BUCKET.write(key, content, {}, None)
        said = (
            f"<CompleteMultipartUploadResult><ETag>{escape(blob.etag)}</ETag>"
            "</CompleteMultipartUploadResult>"
        )
        self.answer(200, said.encode(), x_goog_generation=blob.generation)


class Server(ThreadingHTTPServer):
    """The server."""

    # With the default of five, a client that opens many connections at once waits for seconds.
    request_queue_size = 128


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
