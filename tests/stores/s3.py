"""An S3 server inside the test process (moto), and stores that talk to it.

moto keeps everything in memory and does not check signatures unless told to. It is a test double of
the protocol, not of S3's durability.
"""

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from taquba.store import S3Store

BUCKET = "taquba-test"
REGION = "us-east-1"


@dataclass(frozen=True)
class S3Server:
    """Where the server listens."""

    endpoint: str

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Sends one plain request."""
        request = urllib.request.Request(  # noqa: S310 - our own server
            f"{self.endpoint}/{path}",
            data=body,
            method=method,
            # Without it the body would be taken for a form.
            headers={"Content-Type": "application/octet-stream"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - the same
            return bytes(response.read())

    def deny_everyone(self) -> None:
        """From now on every request needs an access key that exists; none does."""
        self.request("POST", "moto-api/reset-auth", b"0")

    def store(self, bucket: str = BUCKET, prefix: str | None = None) -> S3Store:
        """A store in one bucket."""
        return S3Store(
            bucket,
            prefix=prefix,
            endpoint=self.endpoint,
            region=REGION,
            access_key_id="test-key",
            secret_access_key="test-secret",
            client_options={"allow_http": True},
        )


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Starts a server with one empty bucket and stops it at the end."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - a second to import

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        running = S3Server(f"http://{host}:{port}")
        # moto's state is the process's, so what another test left has to go.
        running.request("POST", "moto-api/reset-auth", b"Infinity")
        running.request("POST", "moto-api/reset")
        running.request("PUT", BUCKET)
        yield running
        running.request("POST", "moto-api/reset-auth", b"Infinity")
    finally:
        server.stop()
