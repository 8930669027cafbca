"""The blocking classes have the same methods as the asynchronous ones, with the same arguments."""

import inspect

import pytest

import taquba
import taquba.sync

PAIRS = [
    (taquba.Queue, taquba.sync.Queue),
    (taquba.QueueReader, taquba.sync.QueueReader),
]
# What is for the package itself, or is not a call that can block.
NOT_FOR_USERS = {"port", "room"}


def public(owner: type) -> dict[str, inspect.Signature]:
    """Public methods and their signatures."""
    return {
        name: inspect.signature(member)
        for name, member in inspect.getmembers(owner, callable)
        if not name.startswith("_") and name not in NOT_FOR_USERS
    }


@pytest.mark.parametrize(("awaited", "blocking"), PAIRS)
def test_each_call_is_there_with_the_same_arguments(awaited: type, blocking: type) -> None:
    theirs, ours = public(awaited), public(blocking)

    assert set(ours) == set(theirs)
    for name, signature in theirs.items():
        described = [
            (one.name, one.kind, one.default if name != "open" else None)
            for one in signature.parameters.values()
        ]
        found = [
            (one.name, one.kind, one.default if name != "open" else None)
            for one in ours[name].parameters.values()
        ]
        assert found == described, name


@pytest.mark.parametrize(("awaited", "blocking"), PAIRS)
def test_no_call_returns_something_to_await(awaited: type, blocking: type) -> None:
    for name in public(blocking):
        assert not inspect.iscoroutinefunction(getattr(blocking, name)), name
        assert inspect.getdoc(getattr(blocking, name)), name
