"""What is public: every argument of every function and class that the package exports.

Read off the package itself, so that an argument that is added later has to be put into the table,
or be left out here with a reason.
"""

import importlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any, Final

from taquba.exceptions import TaqubaError

__all__ = ["LEFT_OUT", "public_arguments"]

MODULES: Final = (
    "taquba",
    "taquba.store",
    "taquba.workflow",
    "taquba.memo",
    "taquba.webhooks",
    "taquba.sync",
)
"""`taquba.testing` and `taquba.bench` serve tests and measurements, and stand before no user."""

LEFT_OUT: Final[dict[str, str]] = {
    "S3Store": "a store of obstore, compiled in: its arguments are obstore's",
    "GCSStore": "the same",
    "AzureStore": "the same",
    "LocalStore": "the same",
    "MemoryStore": "the same",
    "store.from_url": "the same",
    "StepLogFilter": "a `logging.Filter`, called by `logging`",
    "HasStoreArguments": "a protocol",
    "StepRunner": "a protocol",
    "TerminalHook": "a protocol",
    "Worker": "a protocol",
    "sync.Worker": "a protocol",
    "NoopTerminalHook.on_termination": "called by taquba, with what it has made",
    "WebhookTerminalHook.on_termination": "the same",
    "WebhookTerminalHook.check_submission": "the same",
    "WebhookWorker.process": "the same",
}
"""Callables without a row, and why."""

# Made by taquba only, and handed out: nobody is asked to make one.
_MADE_BY_TAQUBA: Final = frozenset(
    (
        "Attempt",
        "CancelToken",
        "Histogram",
        "JobInfo",
        "JobPage",
        "KvPage",
        "Memo",
        "MemoInfo",
        "MemoPage",
        "Metrics",
        "Owner",
        "Queue",
        "QueueMetrics",
        "QueueReader",
        "QueueStats",
        "RunHandle",
        "RunPage",
        "RunStatus",
        "Stats",
        "StepLease",
        "StepRecord",
        "StorageMetric",
        "sync.Queue",
        "sync.QueueReader",
    )
)


def public_arguments() -> dict[str, frozenset[str]]:
    """The arguments of each public callable that has some, by `Class.method` or by name."""
    found: dict[str, frozenset[str]] = {}
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in module.__all__:
            path_of_it = _path(module_name, name, getattr(module, name))
            for path, callable_ in _callables(path_of_it, getattr(module, name)):
                arguments = _arguments(callable_)
                if arguments and not _is_left_out(path):
                    found[path] = arguments
    return found


def _path(module_name: str, name: str, thing: Any) -> str:
    # Functions of a part of the package may have names that others have elsewhere.
    part = module_name.removeprefix("taquba").removeprefix(".")
    is_named_by_part = part == "sync" or (not inspect.isclass(thing) and part)
    return f"{part}.{name}" if is_named_by_part else name


def _is_left_out(path: str) -> bool:
    return path in LEFT_OUT or path.rsplit(".", 1)[0] in LEFT_OUT


def _callables(path: str, thing: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    if not inspect.isclass(thing):
        if callable(thing):
            yield path, thing
        return
    is_enum = hasattr(thing, "__members__")
    is_error = issubclass(thing, TaqubaError)
    if not is_enum and not is_error and path not in _MADE_BY_TAQUBA:
        yield path, thing
    for name in dir(thing):
        method = getattr(thing, name)
        if name.startswith("_") or not callable(method) or inspect.isclass(method):
            continue
        if hasattr(BaseException, name) or hasattr(str, name) or is_enum:
            continue
        if "Not for users" not in (method.__doc__ or ""):
            yield f"{path}.{name}", method


def _arguments(callable_: Callable[..., Any]) -> frozenset[str]:
    try:
        parameters = inspect.signature(callable_).parameters.values()
    except ValueError:
        return frozenset()
    return frozenset(one.name for one in parameters if one.name not in {"self", "args", "kwargs"})
