"""Errors: one class per code on both sides, messages that help, copies that survive pickling."""

import copy
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import taquba
from taquba import _taquba, exceptions
from taquba.exceptions import BY_CODE, Recovery, StoreOwnedError, TaqubaError
from taquba.workflow import StepError

CLASSES = sorted(BY_CODE.values(), key=lambda error: error.__name__)

FIELDS: dict[str, Any] = {
    "count": 3,
    "size_bytes": 4,
    "found": 5,
    "pid": 8,
    "supported": 6,
    "lease": timedelta(seconds=7),
    "since": datetime(2030, 1, 2, tzinfo=UTC),
}


def make(error: type[TaqubaError]) -> TaqubaError:
    """An instance with a value for each of its annotated fields."""
    names = {name for base in error.__mro__ for name in vars(base).get("__annotations__", {})}
    fields = {name: FIELDS.get(name, f"some {name}") for name in names - {"code", "recovery"}}
    return error("what happened: what to do", **fields)


def test_the_engine_and_the_package_know_the_same_codes() -> None:
    native = {code: Recovery(recovery) for code, recovery in _taquba.ERROR_CODES.items()}

    assert native == {code: error.recovery for code, error in BY_CODE.items()}


def test_every_class_has_a_code_of_its_own_and_is_listed_everywhere() -> None:
    defined = {
        value
        for value in vars(exceptions).values()
        if isinstance(value, type) and issubclass(value, TaqubaError) and value is not TaqubaError
    }

    assert defined == set(BY_CODE.values())
    assert all(error.code == code for code, error in BY_CODE.items())
    for error in defined:
        assert error.__name__ in exceptions.__all__
        assert f" {error.__name__} " in f"{exceptions.__doc__} ".replace("\n", " \n")
        assert getattr(taquba, error.__name__) is error


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_survives_pickling_with_message_and_fields(
    error: type[TaqubaError], protocol: int
) -> None:
    original = make(error)
    original.add_note("found at 3 am")

    loaded = pickle.loads(pickle.dumps(original, protocol))  # noqa: S301 - our own bytes

    assert type(loaded) is error
    assert str(loaded) == str(original)
    assert vars(loaded) == vars(original)
    assert (loaded.code, loaded.recovery) == (error.code, error.recovery)


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_an_error_survives_copying(error: type[TaqubaError]) -> None:
    original = make(error)

    for copied in (copy.copy(original), copy.deepcopy(original)):
        assert (type(copied), str(copied), vars(copied)) == (error, str(original), vars(original))


def test_since_when_a_store_is_owned_is_an_aware_instant() -> None:
    error = StoreOwnedError("what: do", path="p", host="h", pid=1, since="2030-01-02T03:04:05Z")

    loaded = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    for one in (error, loaded):
        assert one.since == datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


BUILTIN_BASES = {
    "StorePermissionError": PermissionError,
    "StoreNotFoundError": FileNotFoundError,
    "StoreUnavailableError": ConnectionError,
    "RunNotFoundError": LookupError,
    "JobNotFoundError": LookupError,
    "ArgumentTypeError": TypeError,
}


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_an_error_can_be_caught_as_what_it_is_in_python(error: type[TaqubaError]) -> None:
    base = BUILTIN_BASES.get(error.__name__)

    if base is not None:
        assert issubclass(error, base)
    elif error.recovery is Recovery.FIX_INPUT and error.__name__ not in (
        "CorruptedError",
        "MemoCorruptedError",
        "UnsupportedFormatError",
        # The arguments are fine; what they refer to is not as it has to be.
        "WrongJobStateError",
        "StoreOwnedError",
        "ReadOnlyError",
    ):
        assert issubclass(error, ValueError)
    else:
        assert error.__bases__ == (TaqubaError,)


async def messages() -> list[TaqubaError]:
    """What users get when they do something wrong, from the real calls."""
    caught: list[TaqubaError] = []

    async def keep(call: Any) -> None:
        with pytest.raises(TaqubaError) as info:
            await call()
        caught.append(info.value)

    async with taquba.Queue.open("memory://") as queue:
        await keep(lambda: queue.enqueue("not a name", b""))
        await keep(lambda: queue.enqueue("q", bytes(64 * 1024 * 1024 + 1)))
        await keep(lambda: queue.enqueue_batch("q", [b""] * 10_001))
        await keep(lambda: queue.claim_batch("q", 0))
        await queue.enqueue("q", b"")
        [claim] = await queue.claim_batch("q", 1)
        await queue.ack(claim)
        await keep(lambda: queue.ack(claim))
    await keep(lambda: queue.stats())
    return caught


async def test_messages_name_what_is_wrong_and_what_to_do() -> None:
    errors = await messages()

    assert [error.code for error in errors] == [
        "invalid-queue-name",
        "payload-too-large",
        "batch-too-large",
        "invalid-argument",
        "claim-lost",
        "closed",
    ]
    for error, wanted in zip(
        errors,
        [
            ("`not a name`", "255", "use"),
            ("67108865", "67108864", "object"),
            ("10001", "10000", "split"),
            ("`count_max`", "0", "1"),
            ("lease", "nothing was recorded", "settle"),
            ("closed", "open", "again"),
        ],
        strict=True,
    ):
        for word in wanted:
            assert word in str(error)


async def test_messages_keep_their_form() -> None:
    for error in await messages():
        text = str(error)
        assert text[0].islower() or text[0] in "`0123456789"
        assert not text.endswith(".")
        assert "\n" not in text


def test_step_errors_say_whether_trying_again_makes_sense() -> None:
    transient = StepError.transient("busy")
    permanent = StepError.permanent("gone")

    assert (str(transient), str(permanent)) == ("busy", "gone")
    assert isinstance(transient, Exception)
    assert not isinstance(transient, TaqubaError)
    for error in (transient, permanent):
        loaded = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
        assert (type(loaded), str(loaded), vars(loaded)) == (type(error), str(error), vars(error))
    assert repr(transient) != repr(permanent)
