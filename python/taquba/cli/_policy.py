"""The smallest rights that a queue needs, in the words of its store.

Invariants:
    1. An owner gets what it needs below its path, and nothing elsewhere but the right to list: a
       store that may not list hides what is missing.
    2. A reader can change nothing.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final
from urllib.parse import unquote, urlsplit

from taquba.cli._command import CommandError

__all__ = ["Policy", "policy"]

_S3_OWNER: Final = (
    "s3:GetObject",
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:AbortMultipartUpload",
)
_S3_READER: Final = ("s3:GetObject",)
# What a policy takes for a pattern or a variable.
_S3_SPECIAL: Final = re.compile(r"[*?$]")

_GCS_READER: Final = ("storage.objects.get", "storage.objects.list")
_GCS_OWNER: Final = (
    *_GCS_READER,
    "storage.objects.create",
    "storage.objects.delete",
    "storage.multipartUploads.create",
    "storage.multipartUploads.abort",
)

_AZURE: Final = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What an owner and a reader need.

    Args:
        owner: For the process that opens the queue, as JSON has it.
        reader: For those who only look.
        notes: What else to know, a sentence each.
    """

    owner: Mapping[str, Any]
    reader: Mapping[str, Any]
    notes: Sequence[str]


def policy(url: str, path: str) -> Policy:
    """Return the smallest rights for a queue.

    Args:
        url: The store's address: `s3://`, `gs://` or `az://`, with bucket and prefix.
        path: Where in it.

    Raises:
        CommandError: It is no such address.
    """
    parts = urlsplit(url)
    makers = {
        "s3": _s3,
        "s3a": _s3,
        "gs": _gcs,
        "az": _azure,
        "azure": _azure,
        "abfs": _azure,
        "abfss": _azure,
    }
    make = makers.get(parts.scheme)
    # `abfss://container@account` names both; a password in an address is no part of it.
    bucket = parts.netloc.rpartition("@")[2]
    if ":" in bucket:
        # A password with a slash in it: what follows would be taken for the path, and shown.
        message = "give the address without user and password: they come from the environment"
        raise CommandError(message)
    if parts.scheme.startswith("abfs") and parts.username:
        bucket = parts.username
    if make is None or not bucket:
        message = (
            "a policy is of a bucket: give s3://bucket/prefix, gs://bucket/prefix or "
            "az://container/prefix. A directory needs a user who may read and write it, a reader "
            "one who may read it"
        )
        raise CommandError(message, code="no-policy")
    within = "/".join(part for part in (unquote(parts.path).strip("/"), path.strip("/")) if part)
    return make(bucket, within)


def _s3(bucket: str, within: str) -> Policy:
    # `*`, `?` and `$` of a name are written as variables, else they would match others.
    name = _S3_SPECIAL.sub(lambda found: f"${{{found.group()}}}", within)
    objects = f"arn:aws:s3:::{bucket}/{name}/*"

    def statements(actions: Sequence[str]) -> dict[str, Any]:
        of_objects = {
            "Sid": "TaqubaObjects",
            "Effect": "Allow",
            "Action": list(actions),
            "Resource": objects,
        }
        of_bucket = {
            "Sid": "TaqubaList",
            "Effect": "Allow",
            "Action": ["s3:ListBucket"],
            "Resource": f"arn:aws:s3:::{bucket}",
        }
        return {"Version": "2012-10-17", "Statement": [of_objects, of_bucket]}

    notes = (
        "attach each to the role or user that needs it; in a bucket policy, add a `Principal`",
        "give s3:ListBucket no condition on s3:prefix: under one, S3 may hide what is not there",
        "s3:ListBucket shows other names too: where that matters, give the queue its own bucket",
        "with SSE-KMS also allow kms:Decrypt on the key, and kms:GenerateDataKey for the owner",
    )
    return Policy(owner=statements(_S3_OWNER), reader=statements(_S3_READER), notes=notes)


def _gcs(bucket: str, _: str) -> Policy:
    def grants(role: str, permissions: Sequence[str]) -> dict[str, Any]:
        return {"role": role, "on": f"gs://{bucket}", "permissions": list(permissions)}

    notes = (
        "the role is the smallest ready-made one; a custom role needs the permissions only",
        "a condition on names also forbids to list: give the queue a bucket of its own instead",
    )
    return Policy(
        owner=grants("roles/storage.objectUser", _GCS_OWNER),
        reader=grants("roles/storage.objectViewer", _GCS_READER),
        notes=notes,
    )


def _azure(container: str, _: str) -> Policy:
    def grants(role: str, actions: Sequence[str], letters: str) -> dict[str, Any]:
        return {
            "role": role,
            "on": f"container {container}",
            "data_actions": [f"{_AZURE}/{action}" for action in actions],
            "sas_permissions": letters,
        }

    notes = (
        "assign the role on the container, not on the account",
        "a custom role needs the data actions only, a shared access signature the letters only",
    )
    return Policy(
        owner=grants("Storage Blob Data Contributor", ("read", "write", "delete"), "rwdl"),
        reader=grants("Storage Blob Data Reader", ("read",), "rl"),
        notes=notes,
    )
