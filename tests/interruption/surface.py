"""What can be awaited: every coroutine function, and what opens, of the public package."""

import importlib
import inspect
from collections.abc import Iterator
from typing import Any, Final

__all__ = ["public_awaitables"]

_MODULES: Final = ("taquba", "taquba.store", "taquba.workflow", "taquba.memo", "taquba.webhooks")
"""Calls of `taquba.sync` are awaited in a thread of its own: `tests/sync` interrupts those."""


def public_awaitables() -> set[str]:
    """Their names: `Class.method`, or the name of a function."""
    modules = [importlib.import_module(name) for name in _MODULES]
    return {
        name
        for module in modules
        for public in module.__all__
        for name in _awaitables(public, getattr(module, public))
    }


def _awaitables(name: str, thing: Any) -> Iterator[str]:
    if inspect.iscoroutinefunction(thing):
        yield name
    if not inspect.isclass(thing):
        return
    for attribute in dir(thing):
        method = getattr(thing, attribute)
        if attribute.startswith("_") or "Not for users" in (getattr(method, "__doc__", "") or ""):
            continue
        if inspect.iscoroutinefunction(method) or _opens(method):
            yield f"{name}.{attribute}"


def _opens(method: Any) -> bool:
    return inspect.ismethod(method) and "Opening" in str(
        inspect.signature(method).return_annotation
    )
