"""What the native code says becomes records of Python's logging."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taquba import Queue, _taquba, logs
from taquba.exceptions import ArgumentTypeError, StoreUnavailableError
from taquba.options import OpenOptions
from taquba.store import S3Store
from tests.logs.conftest import Records, open_and_close, warned
from tests.waiting import eventually

# The bound of the buffer in `rust/taquba-py/src/logs.rs`.
ENTRY_COUNT_MAX = 8_192


async def test_a_warning_of_the_engine_is_a_record_of_its_logger(
    records: Records, tmp_path: Path
) -> None:
    logs.forward(logging.WARNING)

    record = await warned(records, tmp_path)

    assert record.name == "taquba.native.taquba_engine.log.payloads"
    assert record.levelno == logging.WARNING
    assert record.fields == {"object": "taquba/payloads/stranger"}  # type: ignore[attr-defined]
    assert record.getMessage().endswith("(object=taquba/payloads/stranger)")
    assert record.lineno > 0
    assert record.threadName == "taquba-logs"


async def test_a_record_has_the_time_of_its_event_and_not_of_its_logging(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_ms = 1_700_000_000_123
    entries: list[object] = [(at_ms, 2, "slatedb::db", 7, "slow", [])]
    given = [(entries, 0)]
    monkeypatch.setattr(_taquba, "take_logs", lambda: given.pop() if given else ([], 0))
    logs.forward()

    await open_and_close(tmp_path)

    record = await records.said("slow")
    assert (record.created, record.msecs) == (at_ms / 1_000, 123.0)
    assert record.name == "taquba.native.slatedb.db"


async def test_the_storage_engine_is_heard_too_and_the_level_can_be_changed(
    records: Records, tmp_path: Path
) -> None:
    logs.forward(logging.INFO)
    await open_and_close(tmp_path)
    opening = await records.said("opening SlateDB database")
    assert opening.name.startswith("taquba.native.slatedb.")
    assert {record.levelno for record in records.kept} == {logging.INFO}

    logs.forward(logging.ERROR)
    before = len(records.kept)
    await open_and_close(tmp_path)
    logs.forward(logging.DEBUG)
    await open_and_close(tmp_path)

    await records.said("not retrying object store operation")
    later = records.kept[before:]
    assert logging.DEBUG in {record.levelno for record in later}
    assert sum("opening SlateDB" in record.getMessage() for record in later) == 1


async def test_a_level_of_a_logger_holds_too(records: Records, tmp_path: Path) -> None:
    logs.forward(logging.DEBUG)
    logging.getLogger("taquba.native").setLevel(logging.WARNING)

    await warned(records, tmp_path)

    assert {record.levelno for record in records.kept} == {logging.WARNING}


async def test_what_was_said_before_the_end_is_logged_and_what_comes_after_is_not(
    records: Records, tmp_path: Path
) -> None:
    logs.forward()
    await open_and_close(tmp_path)
    logs.stop()
    heard = len(records.kept)
    assert records.saying("opening SlateDB database")

    await open_and_close(tmp_path)
    logs.stop()

    assert len(records.kept) == heard
    assert "taquba-logs" not in {thread.name for thread in threading.enumerate()}
    logs.forward()
    await open_and_close(tmp_path)
    await records.said("opening SlateDB database")
    logs.stop()
    assert len(records.kept) > heard


async def test_a_handler_that_hangs_holds_up_nobody_and_what_is_lost_is_counted(
    records: Records, tmp_path: Path
) -> None:
    hangs, go_on = threading.Event(), threading.Event()

    def hang(_: logging.LogRecord) -> bool:
        hangs.set()
        assert go_on.wait(60)
        return True

    records.addFilter(hang)
    logs.forward(5)
    async with Queue.open(tmp_path / "first"):
        pass
    assert hangs.wait(60)
    # The reader has taken what was there; all this finds a buffer that nobody empties.
    async with Queue.open("memory://") as queue:
        for _ in range(ENTRY_COUNT_MAX):
            await queue.enqueue("emails", b"")
    go_on.set()

    told = await records.said("native events are not logged")
    assert told.name == "taquba.logs"
    logs.stop()
    assert len(records.kept) >= ENTRY_COUNT_MAX


async def test_what_waits_behind_a_slow_handler_is_logged_before_the_end(
    records: Records, tmp_path: Path
) -> None:
    hangs, go_on = threading.Event(), threading.Event()

    def hang(_: logging.LogRecord) -> bool:
        hangs.set()
        assert go_on.wait(60)
        return True

    records.addFilter(hang)
    logs.forward()
    await open_and_close(tmp_path / "first")
    assert hangs.wait(60)
    await open_and_close(tmp_path / "second")
    reader = logs._state.reader  # noqa: SLF001 - what the end of forwarding begins with
    assert reader is not None
    stopping = threading.Thread(target=logs.stop)
    stopping.start()

    async def probe() -> bool:
        return reader._is_ending  # noqa: SLF001 - the same

    await eventually(probe, "the end of forwarding")
    go_on.set()
    stopping.join()

    assert len(records.saying("opening SlateDB database")) == 2


async def test_a_handler_that_raises_stops_nothing_and_is_told_of(
    records: Records, tmp_path: Path
) -> None:
    def refuse(record: logging.LogRecord) -> bool:
        if record.name.startswith("taquba.native"):
            raise ZeroDivisionError
        return True

    records.addFilter(refuse)
    logs.forward()
    await open_and_close(tmp_path)
    told = await records.said("a handler or a filter raised")
    assert told.levelno == logging.WARNING

    records.removeFilter(refuse)
    await open_and_close(tmp_path)
    await records.said("opening SlateDB database")


def entry(target: str = "slatedb::db", text: str = "", **fields: str) -> tuple[Any, ...]:
    """What the native code hands over."""
    return (1_700_000_000_000, 3, target, 1, text, list(fields.items()))


@pytest.fixture
def say(records: Records, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Has an entry logged, and returns its record."""

    async def say_(*entries: tuple[Any, ...]) -> logging.LogRecord:
        given = [(list(entries), 0)]
        monkeypatch.setattr(_taquba, "take_logs", lambda: given.pop() if given else ([], 0))
        logs.forward()
        _taquba.wake_logs()

        async def probe() -> bool:
            return len(records.kept) >= len(entries)

        await eventually(probe, "the entry")
        return records.kept[-1]

    return say_


async def test_secrets_in_texts_and_fields_are_redacted(say: Callable[..., Any]) -> None:
    text = "GET https://me:hunter2@host/?X-Amz-Signature=ab12 failed"

    record = await say(entry(text=text, api_key="hunter2", url="https://me:hunter2@host/"))

    assert "hunter2" not in str(record.__dict__)
    assert "ab12" not in record.getMessage()
    assert record.fields == {"api_key": "[redacted]", "url": "https://[redacted]@host/"}


async def test_no_text_can_forge_a_line_or_steer_a_terminal(say: Callable[..., Any]) -> None:
    hostile = "a\r\nINFO forged\x1b[2J\u202e\u2028\x85\x00"

    record = await say(entry(f"t\n{hostile}", hostile, key=hostile))

    shown = logging.Formatter("%(name)s %(pathname)s %(message)s %(fields)s").format(record)
    assert shown.isprintable()
    assert r"\x0d\x0aINFO forged\x1b[2J\u202e\u2028\x85\x00" in record.getMessage()
    assert record.name == "taquba.native.t_a_INFO_forged_2J_"


async def test_a_percent_sign_is_no_format(say: Callable[..., Any]) -> None:
    record = await say(entry(text="100%s %d", path="%(x)s"))

    assert record.getMessage() == "100%s %d (path=%(x)s)"


async def test_names_without_end_make_loggers_with_an_end(
    say: Callable[..., Any], records: Records
) -> None:
    await say(*[entry(f"made::up::{number}", "x") for number in range(1_500)])

    names = {record.name for record in records.kept}
    assert len(names) == 1_001
    assert "taquba.native" in names


async def test_a_text_that_does_not_end_is_cut(records: Records, tmp_path: Path) -> None:
    logs.forward()
    name = "n" * 200
    path = "/".join([name] * 15)

    async with Queue.open("memory://", path):
        pass

    record = await records.said("opening SlateDB database")
    assert record.getMessage().endswith("…")
    assert len(record.getMessage()) <= 2_049


async def test_what_http_libraries_say_of_their_requests_is_never_forwarded(
    records: Records,
) -> None:
    secret = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"  # noqa: S105 - of AWS's documentation
    store = S3Store(
        "bucket",
        endpoint="http://127.0.0.1:9",
        region="us-east-1",
        access_key_id="AKIAIOSFODNN7EXAMPLE",
        secret_access_key=secret,
        client_options={"allow_http": True},
    )
    logs.forward(1)

    with pytest.raises(StoreUnavailableError):
        await Queue.open(store, options=OpenOptions(store_timeout=0.3))

    await records.said("Encountered transport error")
    logs.stop()
    speakers = {record.name.split(".")[2] for record in records.named("taquba.native")}
    assert speakers <= {"object_store", "slatedb", "taquba_engine"}
    assert secret not in "".join(str(record.__dict__) for record in records.kept)


def test_a_level_is_a_number() -> None:
    with pytest.raises(ArgumentTypeError):
        logs.forward("INFO")  # type: ignore[arg-type]
