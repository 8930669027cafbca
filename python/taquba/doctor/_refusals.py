"""Why a store refuses, and what to do: the same words in every check."""

from typing import Final, final

from taquba.doctor._check import Check, failure
from taquba.doctor._place import Kind
from taquba.doctor._probe import Answer

__all__ = ["Refused", "done", "refused", "right"]

_RIGHTS: Final = {
    "read": {
        Kind.S3: "s3:GetObject",
        Kind.GCS: "storage.objects.get",
        Kind.AZURE: "blobs/read",
    },
    "write": {
        Kind.S3: "s3:PutObject",
        Kind.GCS: "storage.objects.create",
        Kind.AZURE: "blobs/write",
    },
    "overwrite": {
        Kind.S3: "s3:PutObject",
        Kind.GCS: "storage.objects.delete",
        Kind.AZURE: "blobs/write",
    },
    "list": {
        Kind.S3: "s3:ListBucket",
        Kind.GCS: "storage.objects.list",
        Kind.AZURE: "blobs/read (list)",
    },
    "delete": {
        Kind.S3: "s3:DeleteObject",
        Kind.GCS: "storage.objects.delete",
        Kind.AZURE: "blobs/delete",
    },
    "upload": {
        Kind.S3: "s3:PutObject",
        Kind.GCS: "storage.multipartUploads.create",
        Kind.AZURE: "blobs/write",
    },
    "abort": {
        Kind.S3: "s3:AbortMultipartUpload",
        Kind.GCS: "storage.multipartUploads.abort",
        Kind.AZURE: "blobs/write",
    },
}


_MISJUDGED: Final = "nobody else writes there: the store misjudges conditions, use another one"
# What to do, whichever request was refused.
_REMEDIES: Final = {
    "unauthenticated": "the store does not know these credentials: check keys, region, clock",
    "not-found": "check the name of bucket or container, and the endpoint",
    "timeout": "check network, endpoint and proxy; a store that slow cannot hold a queue",
    "already-exists": _MISJUDGED,
    "precondition": _MISJUDGED,
    "unsupported": "the store lacks what a queue needs: use another one",
}


@final
class Refused(Exception):  # noqa: N818 - ends a check, and is no error of anybody
    """A request was not done, so its check has failed.

    Args:
        check: How it came out.
    """

    def __init__(self, check: Check) -> None:
        super().__init__(check.seen)
        self.check = check


def right(kind: Kind, action: str) -> str:
    """Return what a right is called there: for an action such as `read`."""
    return _RIGHTS[action].get(kind, action)


def refused(name: str, action: str, kind: Kind, answer: Answer) -> Check:
    """Return the failure of a check whose request was not done.

    Args:
        name: The check.
        action: What was to be done, such as `write`.
        kind: What the store is.
        answer: What it said.
    """
    seen = f"{action}: {answer.code}: {answer.detail}"
    return failure(name, seen, _remedy(action, kind, answer))


def done(name: str, action: str, kind: Kind, answer: Answer) -> Answer:
    """Return an answer that says that it was done.

    Raises:
        Refused: It was not; see `refused`.
    """
    if not answer.is_ok:
        raise Refused(refused(name, action, kind, answer))
    return answer


def _remedy(action: str, kind: Kind, answer: Answer) -> str:
    if answer.code == "denied":
        needed = right(kind, action)
        return f"grant {needed} below the path; `taquba doctor --policy` prints all that is needed"
    if answer.code in _REMEDIES:
        return _REMEDIES[answer.code]
    if kind is Kind.DISK:
        return "make the directory writable for this user, and check that the disk is not full"
    return "check endpoint, bucket and region, and ask again: one failure may pass"
