"""The servers, running: each yields the address of one empty bucket of its own."""

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conformance import gcs_fake, installs
from tests.conformance.address import AZURITE_ACCOUNT, AZURITE_KEY, BUCKET, KEY_ID, SECRET, Address
from tests.conformance.processes import server
from tests.conformance.signing import make_azure_container, make_s3_bucket

S3PROXY_SETTINGS = """
s3proxy.endpoint=http://127.0.0.1:{port}
s3proxy.authorization=aws-v2-or-v4
s3proxy.identity={key_id}
s3proxy.credential={secret}
jclouds.provider=transient-nio2
jclouds.identity=x
jclouds.credential=x
"""
# It starts quicker with these, and one suite needs little memory.
JAVA_OPTIONS = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx512m"]


@contextmanager
def s3proxy(directory: Path) -> Iterator[Address]:
    """S3Proxy, in memory."""
    settings = directory / "s3proxy.conf"

    def command(port: int) -> list[str]:
        text = S3PROXY_SETTINGS.format(port=port, key_id=KEY_ID, secret=SECRET)
        settings.write_text(text)
        jar = ["-jar", str(installs.s3proxy_jar())]
        return ["java", *JAVA_OPTIONS, *jar, "--properties", str(settings)]

    with server(command, directory) as port:
        endpoint = f"http://127.0.0.1:{port}"
        make_s3_bucket(endpoint, BUCKET, KEY_ID, SECRET)
        yield Address("s3", endpoint)


@contextmanager
def versitygw(directory: Path) -> Iterator[Address]:
    """The Versity gateway, on a directory."""
    data = directory / "data"
    data.mkdir()

    def command(port: int) -> list[str]:
        keys = ["--access", KEY_ID, "--secret", SECRET]
        where = ["--port", f"127.0.0.1:{port}", "--quiet", "posix", str(data)]
        return [str(installs.versitygw_program()), *keys, *where]

    with server(command, directory) as port:
        endpoint = f"http://127.0.0.1:{port}"
        make_s3_bucket(endpoint, BUCKET, KEY_ID, SECRET)
        yield Address("s3", endpoint)


@contextmanager
def moto(directory: Path) -> Iterator[Address]:
    """moto, in memory. Not atomic under racing creators, and it checks no keys."""

    def command(port: int) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]

    with server(command, directory) as port:
        endpoint = f"http://127.0.0.1:{port}"
        make_s3_bucket(endpoint, BUCKET, KEY_ID, SECRET)
        yield Address("s3", endpoint)


@contextmanager
def azurite(directory: Path) -> Iterator[Address]:
    """Azurite, in memory."""

    def command(port: int) -> list[str]:
        options = ["--inMemoryPersistence", "--skipApiVersionCheck", "--silent"]
        where = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--disableTelemetry"]
        return [str(installs.azurite_program()), *options, *where]

    with server(command, directory) as port:
        endpoint = f"http://127.0.0.1:{port}/{AZURITE_ACCOUNT}"
        make_azure_container(endpoint, BUCKET, AZURITE_ACCOUNT, AZURITE_KEY)
        yield Address("azure", endpoint, secret=AZURITE_KEY)


@contextmanager
def gcs(directory: Path) -> Iterator[Address]:
    """Our double of Google Cloud Storage."""

    def command(port: int) -> list[str]:
        return [sys.executable, str(Path(gcs_fake.__file__)), str(port)]

    with server(command, directory) as port:
        yield Address("gcs", f"http://127.0.0.1:{port}", bucket=gcs_fake.BUCKET)


def best_s3() -> str | None:
    """The S3-compatible server to use: the first of these that can run here."""
    if installs.s3proxy_jar().exists() and shutil.which("java"):
        return "s3proxy"
    if installs.versitygw_program().exists():
        return "versitygw"
    if importlib.util.find_spec("moto") and importlib.util.find_spec("flask"):
        return "moto"
    return None


def has_azurite() -> bool:
    """Whether Azurite can run here."""
    return installs.azurite_program().exists() and shutil.which("node") is not None
