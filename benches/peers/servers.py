"""The servers that peers need: PostgreSQL and Redis, each for one turn of one peer.

A server has a fresh directory beside the stores of the other peers, so that all of them sync to one
disk; it listens on a free port of 127.0.0.1 only; it is stopped, and its directory goes, at the end
of the context. Both are set to survive loss of power: that is what is compared. Nothing is
downloaded.
"""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 30.0
# Between looking for a free port and listening on it, somebody else may take it.
TRIES_MAX = 3

# Room for the pools of the peers and for the pages of one workload; the rest is as it comes, so
# `fsync`, `synchronous_commit` and `full_page_writes` are on.
POSTGRES_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "log_min_messages": "fatal",
}
REDIS_SETTINGS = {"bind": "127.0.0.1", "appendonly": "yes", "appendfsync": "always", "save": ""}


class ServerError(Exception):
    """A server is not there, or did not start."""


class Server:
    """A server that runs."""

    def __init__(
        self, name: str, process: "subprocess.Popen[bytes]", refresh: Callable[[int], str]
    ) -> None:
        self.name = name
        self.pid = process.pid
        self._refresh = refresh
        self._refresh_count = 0

    def refresh(self) -> str:
        """Makes room for one workload, empty; returns its URL."""
        self._refresh_count += 1
        return self._refresh(self._refresh_count)


@contextlib.contextmanager
def running(name: str, directory: Path) -> Iterator[Server]:
    """A server for as long as the context lasts.

    Args:
        name: `postgres` or `redis`.
        directory: Where it keeps its data; made here, and deleted at the end.

    Raises:
        ServerError: The program is not installed, or it did not start.
    """
    directory.mkdir(parents=True)
    try:
        with _STARTERS[name](directory) as server:
            yield server
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def find_program(name: str, package: str) -> Path:
    """A program on the path, or where Debian puts it.

    Raises:
        ServerError: It is nowhere; the message names the package.
    """
    installed = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"),
        key=lambda path: [int(part) for part in path.parts[4].split(".") if part.isdigit()],
    )
    found = shutil.which(name) or (installed[-1] if installed else None)
    if found is None:
        message = f"`{name}` is not installed (on Debian: apt-get install {package})"
        raise ServerError(message)
    # Not resolved: `redis-server` may be a link to a program that goes by the name it is called by.
    return Path(found)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_listening(port: int) -> bool:
    """Whether somebody accepts connections."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def _started(
    make_command: Callable[[int], list[str]], directory: Path, user: str | None
) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    output = directory / "output.log"
    for _ in range(TRIES_MAX):
        port = free_port()
        with output.open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - a program that was looked up above
                make_command(port),
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
                group=None if user is None else pwd.getpwnam(user).pw_gid,
                extra_groups=None if user is None else [],
            )
        try:
            if _wait_until_listening(process, port):
                yield process, port
                return
        finally:
            _stop(process)
    message = f"`{make_command(0)[0]}` did not start: {output.read_text(errors='replace')[-2000:]}"
    raise ServerError(message)


def _wait_until_listening(process: "subprocess.Popen[bytes]", port: int) -> bool:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        if is_listening(port):
            return True
        time.sleep(0.05)
    return False


def _stop(process: "subprocess.Popen[bytes]") -> None:
    # SIGINT: PostgreSQL lets go of its clients at once and shuts down in order; Redis as well.
    process.send_signal(2)
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _postgres(directory: Path) -> Iterator[Server]:
    program = find_program("postgres", "postgresql")
    tools = {name: _beside(program, name) for name in ("initdb", "createdb")}
    user = _user_for_postgres(directory)
    data = directory / "data"
    make = ["-D", str(data), "-U", "bench", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
    _run([str(tools["initdb"]), *make], directory, user)

    def command(port: int) -> list[str]:
        settings = POSTGRES_SETTINGS | {"unix_socket_directories": str(directory)}
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [str(program), "-D", str(data), "-p", str(port), *options]

    with _started(command, directory, user) as (process, port):

        def refresh(number: int) -> str:
            name = f"work_{number}"
            address = ["-h", "127.0.0.1", "-p", str(port), "-U", "bench"]
            _until_it_works([str(tools["createdb"]), *address, name], directory, user)
            return f"postgresql://bench@127.0.0.1:{port}/{name}"

        yield Server("postgres", process, refresh)


def _beside(program: Path, name: str) -> Path:
    # A `createdb` of Debian's wrappers asks for a cluster; the one beside the server does not.
    beside = program.resolve().with_name(name)
    return beside if beside.exists() else find_program(name, "postgresql postgresql-client")


def _user_for_postgres(directory: Path) -> str | None:
    """Who shall run PostgreSQL, which refuses to be root; `None`: whoever we are."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = "postgres" if "postgres" in names else "nobody"
    for parent in directory.parents:
        if not parent.stat().st_mode & 0o001:
            message = f"`{parent}` is closed to user `{user}`, who runs PostgreSQL because we are"
            raise ServerError(message + " root: give another --store-dir")
    shutil.chown(directory, user)
    return user


def _until_it_works(command: list[str], directory: Path, user: str | None) -> None:
    # The port is open a moment before the server answers queries.
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            _run(command, directory, user)
        except ServerError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def _run(command: list[str], directory: Path, user: str | None) -> None:
    done = subprocess.run(  # noqa: S603 - a program that was looked up above
        command,
        cwd=directory,
        user=user,
        group=None if user is None else pwd.getpwnam(user).pw_gid,
        extra_groups=None if user is None else [],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        message = f"`{command[0]}` failed: {(done.stderr or done.stdout)[-2000:]}"
        raise ServerError(message)


@contextlib.contextmanager
def _redis(directory: Path) -> Iterator[Server]:
    program = find_program("redis-server", "redis-server")

    def command(port: int) -> list[str]:
        options = [text for name, value in REDIS_SETTINGS.items() for text in (f"--{name}", value)]
        return [str(program), "--port", str(port), "--dir", str(directory), *options]

    with _started(command, directory, None) as (process, port):

        def refresh(_number: int) -> str:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                connection.sendall(b"FLUSHALL\r\n")
                answer = connection.recv(64)
            if answer != b"+OK\r\n":
                message = f"FLUSHALL was answered with `{answer!r}`"
                raise ServerError(message)
            return f"redis://127.0.0.1:{port}/0"

        yield Server("redis", process, refresh)


_STARTERS = {"postgres": _postgres, "redis": _redis}
KNOWN = frozenset(_STARTERS)
