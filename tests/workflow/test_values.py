"""Typed values: what is not bytes travels as JSON, and is read back as a type."""

import builtins
import dataclasses
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from taquba.exceptions import ArgumentTypeError, InputMismatchError, InvalidArgumentError
from taquba.workflow import (
    Continue,
    ContinueAfter,
    RunOutcome,
    RunSpec,
    Step,
    StepOutcome,
    Succeed,
    TerminalStatus,
)
from tests.workflow.conftest import StartRuntime


class Order(msgspec.Struct):
    """What a run is about."""

    number: int
    lines: list[str]


@dataclasses.dataclass
class Receipt:
    """What a run produces."""

    number: int
    total: float


async def test_typed_values_travel_from_the_submission_to_the_outcome(start: StartRuntime) -> None:
    async def runner(step: Step) -> StepOutcome:
        if step.step_number == 0:
            order = step.load(Order)
            return StepOutcome.Continue({"number": order.number, "lines": order.lines})
        if step.step_number == 1:
            return StepOutcome.ContinueAfter(step.load(dict[str, Any]), 0)
        return StepOutcome.Succeed(Receipt(step.load(Order).number, 1.5))

    runtime = await start(runner)
    handle = await runtime.submit(RunSpec(Order(42, ["a", "b"])))
    outcome = await handle.outcome(timeout=20)

    assert outcome.load(Receipt) == Receipt(42, 1.5)
    assert outcome.result == b'{"number":42,"total":1.5}'


@pytest.mark.parametrize("value", [b"", b"\x00raw", bytearray(b"raw"), memoryview(b"raw")])
def test_bytes_are_never_changed(value: Any) -> None:
    assert RunSpec(value).input == Continue(value).payload == Succeed(value).result == bytes(value)
    assert ContinueAfter(value, 1).payload == bytes(value)


@pytest.mark.parametrize(
    ("value", "json"),
    [
        ("text", b'"text"'),
        (None, b"null"),
        (5, b"5"),
        ({"b": 1, "a": [None, True]}, b'{"a":[null,true],"b":1}'),
        ({"z", "a", "m"}, b'["a","m","z"]'),
    ],
)
def test_other_values_are_json_that_depends_on_the_value_alone(value: Any, json: bytes) -> None:
    assert RunSpec(value).input == Continue(value).payload == Succeed(value).result == json


async def test_submitting_an_equal_value_again_is_submitting_the_same_input(
    start: StartRuntime,
) -> None:
    async def runner(step: Step) -> StepOutcome:
        return StepOutcome.Succeed(step.payload)

    runtime = await start(runner)
    await runtime.submit(RunSpec({"a": 1, "b": 2}, run_id="run"))

    again = await runtime.submit(RunSpec({"b": 2, "a": 1}, run_id="run"))

    assert again.newly_submitted is False
    with pytest.raises(InputMismatchError):
        await runtime.submit(RunSpec({"b": 2, "a": 3}, run_id="run"))


@pytest.mark.parametrize(
    ("payload", "kind"),
    [(b'{"number":"42","lines":[]}', Order), (b"1", str), (b"[1,2]", list[str]), (b"", int)],
)
async def test_json_that_does_not_fit_the_type_is_refused(
    start: StartRuntime, payload: bytes, kind: Any
) -> None:
    refused: list[Exception] = []

    async def runner(step: Step) -> StepOutcome:
        try:
            step.load(kind)
        except msgspec.DecodeError as error:
            refused.append(error)
        return StepOutcome.Succeed(b"")

    runtime = await start(runner)
    await (await runtime.submit(RunSpec(payload))).outcome(timeout=20)

    assert len(refused) == 1


@pytest.mark.parametrize("make", [RunSpec, Continue, Succeed, lambda v: ContinueAfter(v, 1)])
def test_a_value_that_is_no_json_is_refused_by_its_argument(make: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="msgspec") as caught:
        make(object())

    assert caught.value.name in ("input", "payload", "result")
    with pytest.raises(InvalidArgumentError, match="msgspec"):
        make("lone surrogate \ud800")


def test_an_outcome_without_a_result_cannot_be_loaded() -> None:
    outcome = RunOutcome("run", TerminalStatus.Failed, error="reason")

    with pytest.raises(InvalidArgumentError, match="succeeded"):
        outcome.load(int)


def test_an_outcome_of_a_test_can_be_loaded() -> None:
    assert RunOutcome("run", TerminalStatus.Succeeded, result=b"[1,2]").load(list[int]) == [1, 2]


def test_without_msgspec_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without_msgspec(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "msgspec":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real_import(name, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", without_msgspec)
        for call in (
            lambda: Continue({"a": 1}),
            lambda: RunSpec([1]),
            lambda: RunOutcome("r", TerminalStatus.Succeeded, result=b"1").load(int),
        ):
            with pytest.raises(
                ModuleNotFoundError, match=r"pip install 'taquba\[typed\]'"
            ) as caught:
                call()
            assert caught.value.name == "msgspec"
        # Bytes need nothing.
        assert Continue(b"raw").payload == RunSpec(b"raw").input == b"raw"


def test_msgspec_is_not_imported_before_it_is_needed() -> None:
    program = (
        "import sys, taquba, taquba.workflow\n"
        "taquba.RunSpec(b'raw'), taquba.Continue(b'raw')\n"
        "sys.exit('msgspec' in sys.modules)"
    )

    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    "value",
    [float("nan"), [float("inf")], {"a": {"b": (1, -float("inf"))}}, Receipt(1, float("nan"))],
)
def test_numbers_that_json_has_not_are_refused(value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="NaN"):
        Succeed(value)


def test_json_that_is_there_already_stays_as_it_is() -> None:
    assert (
        Succeed({"raw": msgspec.Raw(b'{"b": null, "a": 1}')}).result
        == b'{"raw":{"b": null, "a": 1}}'
    )


def test_fields_stay_in_their_order() -> None:
    assert Succeed(Order(1, ["a"])).result == b'{"number":1,"lines":["a"]}'


def test_keys_that_become_the_same_text_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="same text"):
        Succeed({1: "a", "1": "b"})


def test_null_is_a_value() -> None:
    assert Succeed([None, 1.5]).result == b"[null,1.5]"


def test_keys_of_any_kind_become_text_in_a_fixed_order() -> None:
    assert (
        RunSpec({2: "b", 1: "a"}).input == RunSpec({1: "a", 2: "b"}).input == b'{"1":"a","2":"b"}'
    )


@pytest.mark.parametrize(
    "value", [{"password": "hunter2", "x": "\ud800"}, {"password": "hunter2", "x": object()}]
)
def test_an_error_does_not_show_what_a_value_holds(value: Any) -> None:
    with pytest.raises(InvalidArgumentError) as info:
        Succeed(value)

    assert "hunter2" not in str(info.value)


async def test_what_is_no_type_is_refused(start: StartRuntime) -> None:
    async def runner(step: Step) -> StepOutcome:
        with pytest.raises(InvalidArgumentError, match="type"):
            step.load(object())  # type: ignore[arg-type]
        return StepOutcome.Succeed(b"")

    runtime = await start(runner)
    outcome = await (await runtime.submit(RunSpec(1))).outcome(timeout=20)

    assert outcome.status is TerminalStatus.Succeeded
