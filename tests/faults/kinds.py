"""What a hostile runner, hook or worker may do, short of ending its process: sixty kinds.

A kind says how a step ends that does it each time; a job's ends follow from that. Those that need
an event loop are coroutine functions; the others are called, inside a coroutine or in a thread.
"""

import asyncio
import concurrent.futures
import threading
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, NoReturn

from taquba import Effects, PermanentFailure, TransientFailure
from taquba.exceptions import ClaimLostError, ClosedError, FencedError, InternalError
from taquba.workflow import StepError, StepOutcome

# More than any limit of a result or an error text.
HUGE_BYTES = 65 * 1024 * 1024
IGNORING_SECONDS = 8.0
LONG_TEXT = "ü" * 100_000


@dataclass(frozen=True)
class Kind:
    """One of them.

    Args:
        act: What it does. A coroutine function needs the event loop.
        step: How a run ends whose step does it each time.
        job: Whether a job whose worker does it each time is `acked` or `dead`.
        word: What the error of the run says, if it failed.
    """

    act: Callable[[], Any]
    step: str = "failed"
    job: str = "dead"
    word: str = ""


class CustomBaseError(BaseException):
    """Not an `Exception`, and nobody's interruption."""


class NastyError(Exception):
    """It cannot even be shown."""

    def __str__(self) -> str:
        """Fail."""
        message = "no text"
        raise RuntimeError(message)

    def __repr__(self) -> str:
        """Fail, too."""
        message = "no text either"
        raise RuntimeError(message)


class NeedyError(Exception):
    """It cannot be made again from its text."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(one, two)


class Impostor:
    """It claims to be an outcome, and fails when it is looked at."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """Lie."""
        return StepOutcome

    def __getattr__(self, name: str) -> NoReturn:
        """Fail."""
        raise RuntimeError(name)

    def __repr__(self) -> str:
        """Fail."""
        message = "no text"
        raise RuntimeError(message)


class EvilBytes(bytes):
    """Bytes that are not what they seem."""

    def __len__(self) -> int:
        """Lie."""
        return 0


def raising(error: BaseException | type[BaseException]) -> Callable[[], NoReturn]:
    """What raises this; a new one each time if it is a class."""

    def act() -> NoReturn:
        raise error

    return act


def returning(make: Callable[[], Any]) -> Callable[[], Any]:
    """What returns this."""
    return make


def chained() -> NoReturn:
    """An error whose causes go round in a circle."""
    first, second = ValueError("circular"), KeyError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


def recurse() -> Any:
    """A stack that is used up."""
    return recurse()


def generate() -> Generator[int, None, None]:
    """A generator, which nobody asked for."""
    yield 1


async def unawaited() -> None:
    """A coroutine that nobody awaits."""


async def cancels_itself() -> None:
    """Cancels its own task, and goes on."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def awaits_cancelled() -> None:
    """Awaits a task that somebody cancels."""
    task = asyncio.ensure_future(asyncio.sleep(60))
    task.cancel()
    await task


async def hangs() -> None:
    """Never ends by itself."""
    await asyncio.Event().wait()


async def swallows_cancellation() -> None:
    """Takes its interruption for a mistake, and goes on for longer than the engine waits."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(IGNORING_SECONDS)


async def raises_when_cancelled() -> None:
    """Answers its interruption with an error."""
    try:
        await asyncio.sleep(60)
    finally:
        message = "not while I work"
        raise ValueError(message)


LEAKED: set["asyncio.Task[None]"] = set()


async def leaks_a_task() -> Any:
    """Leaves a task that fails behind."""

    async def fails_later() -> None:
        await asyncio.sleep(0.01)
        message = "leaked"
        raise ValueError(message)

    LEAKED.add(asyncio.ensure_future(fails_later()))
    return StepOutcome.Succeed(b"")


async def leaves_a_future() -> Any:
    """Returns a future that nobody will fulfil."""
    return asyncio.get_running_loop().create_future()


async def closes_the_loop() -> None:
    """Closes the loop that runs it, which asyncio refuses."""
    asyncio.get_running_loop().close()


async def fails_in_a_group() -> None:
    """Fails in several tasks of a group."""
    async with asyncio.TaskGroup() as group:
        group.create_task(awaits_cancelled())
        group.create_task(async_raise(ValueError("first of the group")))
        group.create_task(async_raise(KeyError("second of the group")))


async def async_raise(error: BaseException) -> None:
    """Raises it."""
    raise error


def thread_fails() -> Any:
    """Starts a thread that dies, and goes on."""
    # What a dead thread says goes to standard error, which is not ours to judge.
    thread = threading.Thread(target=raising(ValueError("in a thread")))
    thread.start()
    thread.join()
    return StepOutcome.Succeed(b"")


def taquba_error(kind: type[BaseException]) -> BaseException:
    """One of our own errors, raised by somebody else."""
    return kind("not from us")


ACKED = "acked"

KINDS: dict[str, Kind] = {
    "ValueError": Kind(raising(ValueError("a text")), word="a text"),
    "a class": Kind(raising(ValueError), word="ValueError"),
    "KeyError": Kind(raising(KeyError("k")), word="KeyError"),
    "OSError": Kind(raising(OSError(28, "No space left")), word="No space left"),
    "TimeoutError": Kind(raising(TimeoutError("of its own")), word="TimeoutError"),
    "MemoryError": Kind(raising(MemoryError()), word="MemoryError"),
    "AssertionError": Kind(raising(AssertionError("no")), word="AssertionError"),
    "a warning": Kind(raising(UserWarning("careful")), word="UserWarning"),
    "StopIteration": Kind(raising(StopIteration("s")), word="StopIteration"),
    "StopAsyncIteration": Kind(raising(StopAsyncIteration("s")), word="StopAsyncIteration"),
    "GeneratorExit": Kind(raising(GeneratorExit("g")), word="GeneratorExit"),
    "CancelledError": Kind(raising(asyncio.CancelledError("c")), word="CancelledError"),
    "futures.CancelledError": Kind(raising(concurrent.futures.CancelledError("c"))),
    "futures.InvalidState": Kind(raising(concurrent.futures.InvalidStateError("c"))),
    "a BaseException": Kind(raising(CustomBaseError("base")), word="CustomBaseError"),
    "ExceptionGroup": Kind(raising(ExceptionGroup("several", [ValueError("one")])), word="several"),
    "BaseExceptionGroup": Kind(
        raising(BaseExceptionGroup("several", [KeyboardInterrupt(), SystemExit(1)])),
        word="BaseExceptionGroup",
    ),
    "a group in a group": Kind(
        raising(ExceptionGroup("outer", [ExceptionGroup("inner", [ValueError("deep")])])),
        word="outer",
    ),
    "no text": Kind(raising(NastyError()), word="NastyError"),
    "needs arguments": Kind(raising(NeedyError), word="TypeError"),
    "two arguments": Kind(raising(NeedyError(1, 2)), word="NeedyError"),
    "a long text": Kind(raising(ValueError(LONG_TEXT)), word="ValueError"),
    "odd characters": Kind(raising(ValueError("a\x00b\nc\ud800")), word="ValueError"),
    "causes in a circle": Kind(chained, word="circular"),
    "recursion": Kind(recurse, word="RecursionError"),
    "our FencedError": Kind(raising(taquba_error(FencedError)), word="FencedError"),
    "our ClosedError": Kind(raising(taquba_error(ClosedError)), word="ClosedError"),
    "our ClaimLostError": Kind(raising(taquba_error(ClaimLostError)), word="ClaimLostError"),
    "our InternalError": Kind(raising(taquba_error(InternalError)), word="InternalError"),
    "StepError.transient": Kind(raising(StepError.transient("later")), word="later"),
    "StepError.permanent": Kind(raising(StepError.permanent("never")), word="never"),
    "a worker's permanent": Kind(raising(PermanentFailure("never")), word="never"),
    "a worker's transient": Kind(raising(TransientFailure("later")), word="later"),
    "None": Kind(returning(lambda: None), job=ACKED, word="NoneType"),
    "True": Kind(returning(lambda: True), word="bool"),
    "a number": Kind(returning(lambda: 42), word="int"),
    "NaN": Kind(returning(lambda: float("nan")), word="float"),
    "a text": Kind(returning(lambda: "text"), word="str"),
    "bytes": Kind(returning(lambda: b"bytes"), word="bytes"),
    "odd bytes": Kind(returning(lambda: EvilBytes(b"bytes")), word="EvilBytes"),
    "a list of outcomes": Kind(returning(lambda: [StepOutcome.Succeed(b"")]), word="list"),
    "an outcome's class": Kind(returning(lambda: StepOutcome.Succeed), word="type"),
    "the base class": Kind(returning(lambda: StepOutcome), word="type"),
    "a function": Kind(returning(lambda: raising), word="function"),
    "an error": Kind(returning(lambda: ValueError("returned")), word="ValueError"),
    "an error's class": Kind(returning(lambda: ValueError), word="type"),
    "a generator": Kind(returning(generate), word="generator"),
    "an impostor": Kind(returning(Impostor), word="Impostor"),
    "effects of a step": Kind(returning(Effects), job=ACKED, word="Effects"),
    "too many effects": Kind(
        returning(lambda: Effects().enqueue_batch("other", [b""] * 1001)), word="Effects"
    ),
    "a value too large": Kind(
        returning(lambda: Effects().kv_put("key", bytes(300 * 1024))), word="Effects"
    ),
    "a result too large": Kind(returning(lambda: StepOutcome.Succeed(bytes(HUGE_BYTES)))),
    "a payload too large": Kind(returning(lambda: StepOutcome.Continue(bytes(HUGE_BYTES)))),
    "a result of no codec": Kind(returning(lambda: StepOutcome.Succeed(object()))),
    "an endless delay": Kind(returning(lambda: StepOutcome.ContinueAfter(b"", float("inf")))),
    "a delay before now": Kind(returning(lambda: StepOutcome.ContinueAfter(b"", -1.0))),
    "a reason that is none": Kind(returning(lambda: StepOutcome.Fail(None))),  # type: ignore[arg-type]
    "a dying thread": Kind(thread_fails, step="succeeded"),
    "cancels itself": Kind(cancels_itself),
    "awaits the cancelled": Kind(awaits_cancelled, word="CancelledError"),
    "hangs": Kind(hangs, word="step_timeout"),
    "swallows its cancellation": Kind(swallows_cancellation),
    "raises when cancelled": Kind(raises_when_cancelled),
    "leaks a task": Kind(leaks_a_task, step="succeeded"),
    "leaves a future": Kind(leaves_a_future, word="Future"),
    "closes the loop": Kind(closes_the_loop, word="RuntimeError"),
    "fails in a group": Kind(fails_in_a_group, word="ExceptionGroup"),
}


def needs_loop(kind: Kind) -> bool:
    """Whether it works in a coroutine only."""
    return asyncio.iscoroutinefunction(kind.act)


def as_coroutine(kind: Kind) -> Callable[[], Awaitable[Any]]:
    """What to await to have it done."""
    if needs_loop(kind):
        return kind.act

    async def act() -> Any:
        return kind.act()

    return act
