"""What the command line takes, and where it reads from."""

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from taquba.cli._main import _parser
from tests.cli.conftest import Taquba
from tests.cli.places import OwnerThread


def commands(parser: argparse.ArgumentParser, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The words of every command."""
    yield words
    for action in parser._actions:  # noqa: SLF001 - as the product does
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - the same
            for name, each in action.choices.items():
                yield from commands(each, (*words, name))


COMMANDS = list(commands(_parser(), ()))


def test_every_command_of_the_issue_is_there() -> None:
    asked = "queues jobs runs dead memo kv worker bench doctor verify dashboard completion"

    assert {words[0] for words in COMMANDS if len(words) == 1} == set(asked.split())


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_says_what_it_does(taquba: Taquba, words: tuple[str, ...]) -> None:
    ended = taquba(*words, "--help")

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("usage: ")


def test_a_store_may_stand_on_either_side_of_an_option(taquba: Taquba, filled: Path) -> None:
    orders = [
        [filled, "good", "--json"],
        ["--json", filled, "good"],
        [filled, "--json", "good"],
        [filled, "--path", "taquba", "good", "--json"],
    ]

    answers = [taquba("runs", "show", *words).out for words in orders]

    assert len(set(answers)) == 1
    assert '"run_id": "good"' in answers[0]


def test_a_store_is_taken_from_the_environment(
    taquba: Taquba, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAQUBA_URL", str(filled))

    assert taquba("runs", "show", "good").code == 0
    assert taquba("queues").code == 0
    assert taquba("verify", "--json").json()["is_clean"] is True


def test_without_a_store_and_an_owner_it_says_what_to_give(taquba: Taquba) -> None:
    ended = taquba("queues")

    assert (ended.code, ended.out) == (2, "")
    assert "give STORE, set TAQUBA_URL, or ask its owner with --admin URL" in ended.err


def test_what_stands_on_the_command_line_goes_before_the_environment(
    taquba: Taquba, filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mode(*words: object) -> str:
        return str(taquba("queues", "--json", *words).json()["mode"])

    with OwnerThread(tmp_path / "store", works=False) as owner:
        monkeypatch.setenv("TAQUBA_ADMIN", owner.address)
        only_owner = mode()
        monkeypatch.setenv("TAQUBA_URL", str(filled))
        found = [mode(), mode("--admin", owner.address), mode(filled, "--admin", owner.address)]

    assert only_owner == "owner"
    assert found == ["reader", "owner", "reader"]


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["jobs"],
        ["jobs", "nonsense"],
        ["jobs", "ls", "store"],
        ["runs", "ls", "store", "--state", "nonsense"],
        ["runs", "ls", "store", "--limit", "0"],
        ["runs", "ls", "store", "--limit", "many"],
        ["runs", "ls", "store", "--header", "novalue"],
        ["runs", "show", "a", "b", "c"],
        ["queues", "--watch", "store"],
        ["queues", "--watch", "0"],
        ["jobs", "enqueue", "q", "p", "--delay", "soon"],
        ["jobs", "enqueue", "q", "p", "--priority", "-1"],
        ["memo", "get", "store", "run", "-1", "key"],
        ["worker", "app:x", "store", "--admin", "8420"],
        ["worker", "app:x", "store", "--admin", "host:99999"],
        ["worker", "app:x", "store", "--concurrency", "0"],
    ],
    ids=" ".join,
)
def test_what_no_command_takes_ends_with_two(taquba: Taquba, words: list[str]) -> None:
    ended = taquba(*words)

    assert (ended.code, ended.out) == (2, "")
    assert "usage: " in ended.err
    assert "Traceback" not in ended.err


def test_bench_takes_what_the_benchmarks_take(taquba: Taquba) -> None:
    assert "steps" in taquba("bench", "--list").out
    ended = taquba("bench", "nonsense")
    assert ended.code == 2
    assert "no scenario `nonsense`" in ended.err


def test_verify_tells_what_is_damaged(taquba: Taquba, filled: Path, tmp_path: Path) -> None:
    clean, missing = taquba("verify", filled), taquba("verify", tmp_path / "nothing")

    assert clean.code == 0
    assert clean.out.endswith("clean\n")
    assert missing.code == 2


GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text()


def shown() -> list[list[str]]:
    """The words of each command that the guide shows."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    found = []
    for line in "".join(blocks).splitlines():
        words = shlex.split(re.split(r"[|>]|&&", line)[0], comments=True)
        if words and words[0] == "taquba":
            found.append(words[1:])
    return found


@pytest.mark.parametrize("words", shown(), ids=" ".join)
def test_what_the_guide_shows_is_taken(words: list[str]) -> None:
    assert callable(_parser().parse_args(words).run)


def test_the_guide_shows_every_command() -> None:
    groups = {words[:-1] for words in COMMANDS if words}
    wanted = {" ".join(words) for words in COMMANDS if words and words not in groups}
    seen = {" ".join(words[:count]) for words in shown() for count in (1, 2)}
    elsewhere = {"doctor", "verify", "bench"}

    assert wanted - seen - elsewhere == set()
    assert all(f"`{name}`" in GUIDE for name in elsewhere)
