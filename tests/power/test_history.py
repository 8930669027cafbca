"""The checker of this lane: each broken promise has its words."""

from typing import Any

import pytest

from tests.power.history import BrokenPromiseError, History, parse


def do(op: str, **states: str | None) -> dict[str, Any]:
    return {"kind": "do", "op": op, "set": states}


def ok(op: str) -> dict[str, Any]:
    return {"kind": "ok", "op": op}


def saw(**states: str | None) -> dict[str, Any]:
    return {"kind": "saw", "set": states}


def seen(**states: str) -> dict[str, Any]:
    return {"kind": "seen", "set": states}


def test_what_was_only_begun_may_be_there_or_not() -> None:
    history = History([do("1", a="live")])

    assert history.violations({}) == []
    assert history.violations({"a": "live"}) == []


def test_what_was_answered_has_to_be_there() -> None:
    assert History([do("1", a="live"), ok("1")]).violations({}) == ["a: None, not one of ['live']"]


def test_what_was_settled_must_not_come_back() -> None:
    history = History([do("1", a="live"), ok("1"), do("2", a=None), ok("2")])

    assert history.violations({"a": "live"}) == ["a: live, not one of [None]"]


def test_what_was_delivered_has_to_be_there_though_nobody_was_answered() -> None:
    history = History([do("1", a="live", b="live"), saw(a="live")])

    assert history.violations({"a": "live"}) == ["b: None, not one of ['live']"]


def test_half_of_what_was_done_together_is_torn() -> None:
    history = History([do("1", a="live", b="live")])

    (found,) = history.violations({"a": "live"})
    assert found.startswith("operation 1: torn")


def test_what_nobody_has_made_is_a_phantom() -> None:
    assert History().violations({"a": "live"}) == ["a: live, nobody has made it"]


def test_what_an_open_did_not_find_does_not_come_back_later() -> None:
    history = History([do("1", a="live"), seen()])

    assert history.violations({"a": "live"}) == ["a: live, not one of [None]"]


def test_an_open_that_contradicts_a_promise_is_an_error() -> None:
    with pytest.raises(BrokenPromiseError):
        History([do("1", a="live"), ok("1"), seen()])


def test_a_mark_that_was_being_written_when_its_process_died_is_none() -> None:
    assert parse('{"kind": "ok", "op": "1"}\n{"kind": ') == [ok("1")]
