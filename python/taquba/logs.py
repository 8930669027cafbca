"""What the native code says (engine, storage engine, stores), in Python's `logging`.

Off until `forward` is called. Then each event becomes a record of a logger below `taquba.native`,
named after who speaks: `taquba.native.slatedb.compactor`. Where it goes from there is configured as
for all loggers.

Invariants:
    1. The native code never waits for Python: events that find no room in its buffer of 8,192 are
       counted, and the count is logged. A thread of Python's own empties the buffer; it sleeps in
       the operating system, without the interpreter's lock.
    2. A text is redacted, has no control characters and at most a few thousand characters.
    3. The thread ends before the interpreter does. In a forked child nothing is forwarded until
       `forward` is called there.

Not here:
    What is listened to is decided in `rust/taquba-py/src/logs.rs`; what is no native code logs
    below `taquba` by itself.
"""

import atexit
import logging
import os
import re
import select
import threading
from collections.abc import Mapping, Sequence
from typing import Final, final

from taquba import _taquba
from taquba._checks import check_instance
from taquba._redact import redact_headers, redact_text

__all__ = ["forward", "stop"]

_ROOT: Final = "taquba.native"

# The native code counts its levels from 1; the last one is less urgent than `logging.DEBUG`.
_LEVELS: Final = (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG, 5)

# Loggers are never collected. Native code names a few dozen.
_LOGGER_COUNT_MAX: Final = 1_000

# A handler that hangs must not keep the interpreter from ending.
_END_TIMEOUT_SECONDS: Final = 5.0

# Also what reorders text, and what some terminals take for the end of a line.
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]+")

_Entry = tuple[int, int, str, int, str, list[tuple[str, str]]]

_logger: Final = logging.getLogger("taquba.logs")


def forward(level: int = logging.INFO) -> None:
    """Have native events logged, from this level up; called again, changes the level.

    A record has the time at which the event happened, and the attribute `fields`, a `dict` of
    strings; the message has them too. What libraries of HTTP and TLS say below `WARNING` is not
    forwarded at any level, because it shows headers of requests.

    Call it where the application configures its logging; before a queue is opened, to miss nothing.

    Args:
        level: As of `logging`; 5 and below forwards all there is. Events below cost next to
            nothing, also if a logger or handler would have wanted them.

    Raises:
        ArgumentTypeError: `level` is no `int`.
        RuntimeError: Something else in this process listens to the native code of taquba.
        ForkError: A queue was opened before this process was forked off.

    Example:
        >>> logging.basicConfig(level=logging.INFO)
        >>> taquba.logs.forward(logging.DEBUG)
    """
    check_instance("level", level, int)
    native = sum(known >= level for known in _LEVELS)
    with _state.lock:
        if _state.reader is None:
            _state.reader = _Reader(native)
        else:
            _taquba.set_log_level(native)


def stop() -> None:
    """Forward nothing more; what was said before is logged. Called at exit.

    Waits up to 5 seconds for handlers that are at work.
    """
    with _state.lock:
        reader, _state.reader = _state.reader, None
        if reader is not None:
            reader.end()
            _taquba.stop_logs()


@final
class _Reader:
    """The thread that empties the buffer.

    Args:
        level: The least urgent level, as the native code counts.
    """

    def __init__(self, level: int) -> None:
        self._is_ending = False
        self._loggers: dict[str, logging.Logger] = {}
        self._lost_count = 0
        fileno = _taquba.start_logs(level)
        self._thread = threading.Thread(
            target=self._run, args=(fileno,), name="taquba-logs", daemon=True
        )
        self._thread.start()

    def end(self) -> None:
        """Log what is there, and end the thread."""
        _taquba.set_log_level(0)
        self._is_ending = True
        _taquba.wake_logs()
        # A handler may be what stops it.
        if threading.current_thread() is not self._thread:
            self._thread.join(_END_TIMEOUT_SECONDS)

    def _run(self, fileno: int) -> None:
        waiting = select.poll()
        waiting.register(fileno, select.POLLIN)
        while not self._is_ending:
            waiting.poll()
            self._take()
        # What came between the last look and the end.
        self._take()

    def _take(self) -> None:
        entries, dropped_count = _taquba.take_logs()
        for entry in entries:
            self._try_emit(entry)
        if dropped_count:
            text = "%d native events are not logged: they came faster than handlers took them"
            self._try_say(text, dropped_count)
        lost_count, self._lost_count = self._lost_count, 0
        if lost_count:
            text = "%d native events are not logged: a handler or a filter raised"
            self._try_say(text, lost_count)

    def _try_emit(self, entry: _Entry) -> None:
        try:
            self._emit(entry)
        except Exception:  # noqa: BLE001 - of a handler; the next one must be logged all the same
            self._lost_count += 1

    def _try_say(self, text: str, count: int) -> None:
        try:
            _logger.warning(text, count)
        except Exception:  # noqa: BLE001 - the same; it is told with the next
            self._lost_count += count

    def _emit(self, entry: _Entry) -> None:
        at_ms, native_level, target, line, message, pairs = entry
        level = _LEVELS[native_level - 1]
        logger = self._logger(target)
        if not logger.isEnabledFor(level):
            return
        fields = _clean_fields(pairs)
        text = _with_fields(_clean(message), fields)
        extra = {"fields": fields}
        record = logger.makeRecord(
            logger.name, level, _clean(target), line, text, (), None, extra=extra
        )
        made_at = record.created
        record.created = at_ms / 1_000
        record.msecs = float(at_ms % 1_000)
        record.relativeCreated += (record.created - made_at) * 1_000
        logger.handle(record)

    def _logger(self, target: str) -> logging.Logger:
        known = self._loggers.get(target)
        if known is None:
            has_room = len(self._loggers) < _LOGGER_COUNT_MAX
            name = _NO_NAME.sub("_", target.replace("::", ".")).strip(".") if has_room else ""
            known = logging.getLogger(f"{_ROOT}.{name}" if name else _ROOT)
            if has_room:
                self._loggers[target] = known
        return known


@final
class _State:
    """Who reads in this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.reader: _Reader | None = None


def _forget() -> None:
    """Begin anew in a forked child, which has neither the thread nor whoever held the lock."""
    is_forwarding = _state.reader is not None
    _state.lock = threading.Lock()
    _state.reader = None
    if is_forwarding:
        _taquba.stop_logs()


def _clean_fields(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    redacted = redact_headers(dict(pairs))
    return {name: _escape(value) for name, value in redacted.items()}


def _with_fields(text: str, fields: Mapping[str, str]) -> str:
    if not fields:
        return text
    shown = ", ".join(f"{name}={value}" for name, value in fields.items())
    return f"{text} ({shown})" if text else shown


def _clean(text: str) -> str:
    return _escape(redact_text(text))


def _escape(text: str) -> str:
    return _CONTROLS.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"  # noqa: PLR2004 - two digits


_state: Final = _State()
atexit.register(stop)
os.register_at_fork(after_in_child=_forget)
