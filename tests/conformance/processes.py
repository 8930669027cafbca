"""Servers as child processes: started on a free port, waited for, stopped."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 10.0
# Between looking for a free port and listening on it, somebody else may take it.
TRIES_MAX = 3


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


def wait_until_listening(process: "subprocess.Popen[bytes]", port: int) -> bool:
    """Waits until the port is open; `False` if the process has ended first."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        if is_listening(port):
            return True
        time.sleep(0.05)
    return False


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Asks a process to end, then makes it."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def server(make_command: Callable[[int], list[str]], directory: Path) -> Iterator[int]:
    """Runs a server for as long as the context lasts; yields its port.

    Args:
        make_command: The command for a port.
        directory: Where it runs, and where its output is kept.
    """
    for number in range(TRIES_MAX):
        port = free_port()
        output = directory / f"output-{number}.log"
        with output.open("wb") as log:
            process = subprocess.Popen(
                make_command(port),
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            if wait_until_listening(process, port):
                yield port
                return
        finally:
            stop(process)
    raise AssertionError(f"the server did not start: {output.read_text(errors='replace')[-2000:]}")
