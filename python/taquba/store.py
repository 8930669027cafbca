"""Object stores: where a queue is kept.

The store classes are those of `obstore`, compiled into taquba so that the engine can use them; see
obstore's documentation for their arguments. `Queue.open` also takes URLs, paths, and the objects of
an installed `obstore`, which are built again here: connections are not shared with the original.

Not here:
    What a store has to provide is the engine's business; see `docs/`.
"""

import os
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from taquba import _taquba
from taquba._taquba import (
    AzureStore,
    ChaosStore,
    GCSStore,
    LocalStore,
    MemoryStore,
    S3Store,
    SlowStore,
    from_url,
)
from taquba.exceptions import InvalidStoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "AzureStore",
    "GCSStore",
    "HasStoreArguments",
    "LocalStore",
    "MemoryStore",
    "S3Store",
    "StoreLike",
    "from_url",
]


class HasStoreArguments(Protocol):
    """A store of `obstore`: it tells how it was made."""

    def __getnewargs_ex__(self) -> "tuple[tuple[object, ...], Mapping[str, object]]":
        """Return the arguments of its constructor."""


StoreLike: TypeAlias = (
    str | os.PathLike[str] | HasStoreArguments | MemoryStore | SlowStore | ChaosStore
)
"""A URL, a directory, or a store object."""

_ADOPTED: Final = {
    "AzureStore": AzureStore,
    "GCSStore": GCSStore,
    "LocalStore": LocalStore,
    "S3Store": S3Store,
}


def resolve(store: StoreLike) -> object:
    """Turn a store into what the binding takes: a URL, a directory, or a store of ours.

    Args:
        store: What the user gave.

    Raises:
        InvalidStoreError: It is no store, it has no prefix, or it is a memory store of another
            library, whose content taquba cannot reach.
    """
    if isinstance(store, str | os.PathLike | MemoryStore | SlowStore | ChaosStore):
        return store
    adopted = _adopt(store)
    if isinstance(adopted, LocalStore):
        return _directory(adopted)
    return adopted


def _adopt(store: object) -> object:
    """Build a store of ours from what another library's store says of itself."""
    if isinstance(store, tuple(_ADOPTED.values())):
        return store
    for base in type(store).__mro__:
        if base.__name__ == "MemoryStore":
            remedy = (
                'use `taquba.store.MemoryStore()` or "memory://": memory cannot cross libraries'
            )
            raise _refusal(store, remedy)
        ours = _ADOPTED.get(base.__name__)
        if ours is not None and hasattr(store, "__getnewargs_ex__"):
            return _rebuild(store, ours)
    raise _refusal(store, "give a URL, a path, or a store of `obstore` or `taquba.store`")


def _rebuild(store: HasStoreArguments, ours: type) -> object:
    try:
        args, kwargs = store.__getnewargs_ex__()
    except BaseException as error:
        # obstore 0.12 panics on client options that were given as `config`, such as `allow_http`.
        if type(error).__name__ != "PanicException":
            raise
        remedy = "give client options such as `allow_http` in `client_options`, not in `config`"
        raise _refusal(store, remedy) from error
    made: object = ours(*args, **kwargs)
    return made


def _directory(store: object) -> object:
    # The store itself would not sync what it writes; the engine opens the directory in its own way.
    prefix: object = getattr(store, "prefix", None)
    if prefix is None:
        raise _refusal(store, "give `LocalStore` a directory as prefix, else it is the whole disk")
    return prefix


def _refusal(store: object, remedy: str) -> InvalidStoreError:
    location = _taquba.shown(store)
    message = f"the store `{location}` cannot be used: {remedy}"
    return InvalidStoreError(message, location=location, remedy=remedy)
