"""Signed requests that make a bucket or a container: the one thing store clients cannot do.

SigV4 as in "Signature Version 4 signing process" (AWS), Shared Key as in "Authorize with Shared
Key" (Azure Storage), each for the one request without a body that is needed here.
"""

import base64
import hashlib
import hmac
import urllib.request
from datetime import UTC, datetime
from email.utils import format_datetime

SECONDS_MAX = 30
# urllib would send one of its own.
CONTENT_TYPE = "application/octet-stream"


def put(url: str, headers: dict[str, str]) -> None:
    """Sends an empty PUT."""
    headers = headers | {"Content-Type": CONTENT_TYPE}
    request = urllib.request.Request(url, data=b"", headers=headers, method="PUT")  # noqa: S310
    with urllib.request.urlopen(request, timeout=SECONDS_MAX):  # noqa: S310 - a server of ours
        pass


def make_s3_bucket(endpoint: str, bucket: str, key_id: str, secret: str) -> None:
    """Makes a bucket of an S3-compatible server."""
    now = datetime.now(UTC)
    day, instant = f"{now:%Y%m%d}", f"{now:%Y%m%dT%H%M%SZ}"
    empty = hashlib.sha256(b"").hexdigest()
    signed = {
        "host": endpoint.removeprefix("http://"),
        "x-amz-content-sha256": empty,
        "x-amz-date": instant,
    }
    names = ";".join(signed)
    lines = [f"{name}:{value}" for name, value in signed.items()]
    canonical = "\n".join(["PUT", f"/{bucket}", "", *lines, "", names, empty])
    scope = f"{day}/us-east-1/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{instant}\n{scope}\n{digest}"
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={key_id}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    # Not ours to set: urllib does, to the same value.
    del signed["host"]
    put(f"{endpoint}/{bucket}", signed | {"Authorization": authorization})


def make_azure_container(endpoint: str, container: str, account: str, key: str) -> None:
    """Makes a container of an Azure-compatible server; `endpoint` ends in the account."""
    headers = {
        "x-ms-date": format_datetime(datetime.now(UTC), usegmt=True),
        "x-ms-version": "2023-11-03",
    }
    lines = [f"{name}:{value}" for name, value in headers.items()]
    resource = f"/{account}/{account}/{container}\nrestype:container"
    # Eleven standard headers come between verb and own ones; only the type of the body is sent.
    standard = ["", "", "", "", CONTENT_TYPE, "", "", "", "", "", ""]
    text = "\n".join(["PUT", *standard, *lines, resource])
    digest = hmac.digest(base64.b64decode(key), text.encode(), "sha256")
    authorization = f"SharedKey {account}:{base64.b64encode(digest).decode()}"
    headers |= {"Authorization": authorization}
    put(f"{endpoint}/{container}?restype=container", headers)
