"""What kind of store it is, what it is called, and which directory it is."""

import enum
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from taquba._redact import redact_text
from taquba.store import AzureStore, GCSStore, MemoryStore, S3Store, StoreLike, resolve

__all__ = ["Kind", "Place", "find"]

_SCHEMES: Final = {
    "memory": "memory",
    "file": "disk",
    "s3": "s3",
    "s3a": "s3",
    "gs": "gcs",
    "az": "azure",
    "azure": "azure",
    "abfs": "azure",
    "abfss": "azure",
}


@final
class Kind(enum.Enum):
    """What keeps the objects."""

    MEMORY = "memory"
    DISK = "disk"
    S3 = "s3"
    GCS = "gcs"
    AZURE = "azure"
    OTHER = "other"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A store.

    Args:
        given: As the user gave it.
        store: What the binding takes.
        kind: What it is.
        location: What to call it.
        directory: Where it is on a disk, if it is on one.
    """

    given: StoreLike
    store: object
    kind: Kind
    location: str
    directory: Path | None


def find(store: StoreLike) -> Place:
    """Return what is known of a store without asking it.

    Raises:
        InvalidStoreError: It is no store.
    """
    resolved = resolve(store)
    location = redact_text(str(resolved))
    if isinstance(resolved, str | os.PathLike):
        directory = _directory(os.fspath(resolved))
        kind = Kind.DISK if directory is not None else _kind_of_url(os.fspath(resolved))
        return Place(given=store, store=resolved, kind=kind, location=location, directory=directory)
    kinds = {MemoryStore: Kind.MEMORY, S3Store: Kind.S3, GCSStore: Kind.GCS}
    kinds[AzureStore] = Kind.AZURE
    kind = next((kind for each, kind in kinds.items() if isinstance(resolved, each)), Kind.OTHER)
    return Place(given=store, store=resolved, kind=kind, location=location, directory=None)


def _directory(text: str) -> Path | None:
    if "://" not in text:
        return Path(text)
    parts = urlsplit(text)
    is_here = parts.scheme == "file" and not parts.netloc
    return Path(url2pathname(parts.path)) if is_here else None


def _kind_of_url(url: str) -> Kind:
    return Kind(_SCHEMES.get(urlsplit(url).scheme, Kind.OTHER.value))
