"""`taquba worker` and `taquba dashboard`: processes that are told to end."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from taquba import Queue
from taquba.cli._command import CommandError
from taquba.cli._serving import Address, reserved
from taquba.sync import Queue as SyncQueue
from taquba.sync import QueueReader
from tests.cli.conftest import Ended, Taquba
from tests.cli.places import OPTIONS

COMMAND = [sys.executable, "-W", "error", "-m", "taquba.cli"]
PATIENCE_SECONDS = 30.0
HEARD = "finishes what is in flight; another signal interrupts it\n"

APP = """
import asyncio
from pathlib import Path
from taquba import Continue, Succeed

class tools:
    async def shout(step):
        return Succeed(step.payload.upper())

async def slow(job):
    Path("began").touch()
    await asyncio.sleep(0.3)
    Path("done").touch()

async def endless(job):
    print("began", flush=True)
    await asyncio.sleep(3600)

number = 17
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a module `app`, and a store with a job in it."""
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "broken_app.py").write_text("import a_module_that_is_not_there\n")
    with SyncQueue.open(tmp_path / "store", options=OPTIONS) as queue:
        queue.enqueue("mail", b"hello")
    return tmp_path


@contextlib.contextmanager
def started(place: Path, *words: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on until it is told to end."""
    child = subprocess.Popen(
        [*COMMAND, *words],
        cwd=place,
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.communicate()


def fetched(address: str) -> bytes:
    """What a process of this test answers."""
    with urllib.request.urlopen(address, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310 - ours
        content: bytes = answer.read()
        return content


def said(child: subprocess.Popen[str]) -> str:
    """Its next line."""
    assert child.stdout is not None
    return child.stdout.readline()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_what_is_in_flight_and_closes(place: Path, number: int) -> None:
    with started(place, "worker", "app:slow", "store", "--jobs", "--queue", "mail") as child:
        assert said(child) == "ready: works on `mail` of store\n"
        while not (place / "began").exists():
            assert child.poll() is None
        child.send_signal(number)
        out, err = child.communicate(timeout=PATIENCE_SECONDS)

    assert (child.returncode, out, err) == (0, "", HEARD)
    assert (place / "done").exists()
    with QueueReader.open(place / "store") as reader:
        assert reader.owner() is None
        assert reader.list_jobs("mail").jobs == []


def test_another_signal_interrupts_what_is_in_flight(place: Path) -> None:
    with started(place, "worker", "app:endless", "store", "--jobs", "--queue", "mail") as child:
        assert said(child).startswith("ready: ")
        assert said(child) == "began\n"
        child.send_signal(signal.SIGTERM)
        assert child.stderr is not None
        assert child.stderr.readline() == HEARD
        # One that comes before the work has heard of the first only repeats it.
        while child.poll() is None:
            child.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(2)
        _, err = child.communicate()

    assert child.returncode == 130
    assert "Traceback" not in err
    with QueueReader.open(place / "store") as reader:
        assert [job.state.value for job in reader.list_jobs("mail").jobs] == ["pending"]


def test_a_worker_serves_the_admin_app_beside_its_work(place: Path, taquba: Taquba) -> None:
    words = ("worker", "app:tools.shout", "store", "--admin", "127.0.0.1:0", "--show-payloads")
    with started(place, *words) as child:
        line = said(child)
        address = line.split("; admin at ")[1].strip()
        submitted = taquba("runs", "submit", "hello", "--wait", "--admin", address)
        run_id = submitted.out.splitlines()[0]
        result = taquba("runs", "show", run_id, "--raw", "--admin", address)
        child.send_signal(signal.SIGTERM)
        _, err = child.communicate(timeout=PATIENCE_SECONDS)

    assert line.startswith("ready: works on `workflow` of store; admin at http://127.0.0.1:")
    assert submitted.code == 0, submitted.err
    assert result.out == "HELLO"
    assert (child.returncode, err) == (0, HEARD)


def test_a_token_of_the_environment_is_wanted_of_who_asks(place: Path, taquba: Taquba) -> None:
    token = "a-token-of-32-characters-or-more"  # noqa: S105 - opens nothing
    words = ("worker", "app:tools.shout", "store", "--admin", "127.0.0.1:0")
    with started(place, *words, TAQUBA_ADMIN_TOKEN=token) as child:
        line = said(child)
        ended = taquba("queues", "--admin", line.split("; admin at ")[1].strip())

    assert ended.code == 2
    assert token not in line


@pytest.mark.parametrize("command", ["worker", "dashboard"])
def test_others_reach_nothing_without_a_token(taquba: Taquba, tmp_path: Path, command: str) -> None:
    words = {
        "worker": ("app:x", tmp_path, "--admin", "0.0.0.0:8420"),
        "dashboard": (tmp_path, "--listen", "0.0.0.0:8420"),
    }

    ended = taquba(command, *words[command])

    assert (ended.code, ended.out) == (2, "")
    assert "[token-needed]" in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["app:tools.shout", "--admin", "TAKEN"], "not-listening"),
        (["app:tools.shout", "--admin", "127.0.0.1:0", "--allow-host", "a b"], "invalid-host"),
        (["app:tools.shout", "--admin", "0.0.0.0:0"], "token-needed"),
        (["app:number"], "invalid-type"),
        (["app:number", "--jobs", "--queue", "mail"], "invalid-type"),
        (["app:tools.shout", "--queue", "no such"], "invalid-queue-name"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_refused_takes_the_store_from_nobody(
    taquba: Taquba, place: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: str
) -> None:
    ended = worked_on_while_owned(taquba, place, monkeypatch, words)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.count("\n") == 1
    assert f"[{code}]" in ended.err


def test_a_token_that_is_none_takes_the_store_from_nobody(
    taquba: Taquba, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAQUBA_ADMIN_TOKEN", "short")

    ended = worked_on_while_owned(
        taquba, place, monkeypatch, ["app:tools.shout", "--admin", "127.0.0.1:0"]
    )

    assert (ended.code, ended.out) == (2, "")
    assert "[invalid-argument]" in ended.err


def worked_on_while_owned(
    taquba: Taquba, place: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> Ended:
    """A worker of a store that another process has, and keeps."""
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "app", raising=False)
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        SyncQueue.open(place / "store", options=OPTIONS) as queue,
    ):
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        name, *rest = [where if word == "TAKEN" else word for word in words]
        ended = taquba("worker", name, "store", *rest)
        queue.enqueue("mail", b"still ours")
    sys.modules.pop("app", None)
    return ended


def test_a_port_is_held_until_it_is_served() -> None:
    with socket.create_server(("127.0.0.1", 0)) as found:
        address = Address("127.0.0.1", found.getsockname()[1])

    with reserved(address), pytest.raises(CommandError), reserved(address):
        pass
    with reserved(address):
        pass


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["app"], "cli"),
        (["nowhere:runner"], "module-not-found"),
        (["app.inner:runner"], "module-not-found"),
        (["app:nothing"], "name-not-found"),
        (["app:tools.nothing"], "name-not-found"),
        (["app:number"], "invalid-type"),
        (["app:slow", "--jobs"], "cli"),
        (["app:slow", "--jobs", "--queue", "no such"], "invalid-queue-name"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_what_cannot_work_is_told_in_one_line(
    taquba: Taquba, place: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: str
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("TAQUBA_URL", "store")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "app", raising=False)

    ended = taquba("worker", *words)

    sys.modules.pop("app", None)
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert f"[{code}]" in ended.err


def test_what_a_module_lacks_is_told_with_its_place(place: Path) -> None:
    with started(place, "worker", "broken_app:runner", "store") as child:
        _, err = child.communicate(timeout=PATIENCE_SECONDS)

    assert child.returncode == 1
    assert "broken_app.py" in err
    assert "a_module_that_is_not_there" in err


def test_an_owner_that_is_alive_keeps_its_store_if_asked_to(place: Path) -> None:
    async def while_owned() -> subprocess.Popen[str]:
        async with Queue.open(place / "store", options=OPTIONS) as queue:
            with started(place, "worker", "app:tools.shout", "store", "--no-takeover") as child:
                await asyncio.to_thread(child.wait, PATIENCE_SECONDS)
                assert child.stderr is not None
                assert "[store-owned]" in child.stderr.read()
            await queue.enqueue("mail", b"still ours")
            return child

    assert asyncio.run(while_owned()).returncode == 2


def test_a_dashboard_reads_and_changes_nothing(place: Path, taquba: Taquba) -> None:
    with started(place, "dashboard", "store", "--listen", "127.0.0.1:0") as child:
        address = said(child).strip()
        info = json.loads(fetched(f"{address}api/info"))
        page = fetched(address)
        change = taquba("kv", "put", "a", "b", "--admin", address)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=PATIENCE_SECONDS)

    assert (info["mode"], info["can_act"]) == ("reader", False)
    assert b"<!doctype html>" in page.lower()
    assert change.code == 2
    assert "[read-only]" in change.err
    assert (child.returncode, err) == (130, "")
