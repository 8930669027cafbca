"""Runs every workload of every peer in turns, and reads what each one costs.

One workload at a time, each in a process, a directory and a database of its own; servers live for
one turn of one peer. In each repeat the peers change places, so that nobody is always first. What
fails is a record too, with its error: nothing is left out of the table in silence.
"""

import contextlib
import datetime as dt
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from benches.peers import _peer, _process, protocol, servers

Record = dict[str, Any]

# After `end`, workers are stopped and results may be deleted.
EXIT_SECONDS_MAX = 60.0
LOG_TAIL_CHARACTERS = 3_000


class WorkError(Exception):
    """A workload did not do what was asked for."""


@dataclass(frozen=True)
class Plan:
    """What to run, and where."""

    peers: list[_peer.Peer]
    workloads: tuple[str, ...]
    repeats: int
    quick: bool
    directory: Path
    timeout_seconds: float


@dataclass(frozen=True)
class Reading:
    """What everybody has used at one moment, by name: the peer's own processes and its servers."""

    cpu_seconds: dict[str, float]
    pss_bytes: dict[str, int]
    machine_busy_seconds: float


def run(plan: Plan) -> Iterator[Record]:
    """Runs the plan; yields a record for each workload as it ends."""
    environments: dict[str, _peer.Environment] = {}
    errors: dict[str, str] = {}
    for peer in plan.peers:
        try:
            environments[peer.name] = _peer.make_environment(peer)
        except (_peer.PeerError, OSError) as error:
            errors[peer.name] = str(error)
    for repeat in range(plan.repeats):
        turn = repeat % max(1, len(plan.peers))
        for peer in plan.peers[turn:] + plan.peers[:turn]:
            if peer.name in errors:
                yield from _refused(plan, peer, repeat, errors[peer.name])
            else:
                yield from run_turn(plan, peer, environments[peer.name], repeat)


def run_turn(
    plan: Plan, peer: _peer.Peer, environment: _peer.Environment, repeat: int
) -> Iterator[Record]:
    """All workloads of one peer, once, with its servers running."""
    with contextlib.ExitStack() as stack:
        try:
            running = [
                stack.enter_context(servers.running(name, Path(_fresh(stack, plan)) / name))
                for name in _peer.known_servers(peer)
            ]
        except (servers.ServerError, OSError) as error:
            yield from _refused(plan, peer, repeat, str(error))
            return
        for workload in _workloads(plan, peer):
            record = _record(plan, peer, workload, repeat)
            try:
                record |= run_workload(plan, peer, environment, running, workload)
            except (WorkError, servers.ServerError, OSError) as error:
                record["error"] = str(error)
            yield record


def _workloads(plan: Plan, peer: _peer.Peer) -> list[str]:
    return [name for name in plan.workloads if name in peer.counts]


def _fresh(stack: contextlib.ExitStack, plan: Plan) -> str:
    name = stack.enter_context(_scratch(plan.directory))
    # The server's user must pass through; what is below is closed to others by the server itself.
    Path(name).chmod(0o711)
    return name


def _scratch(directory: Path) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(
        prefix="taquba-peers-", dir=directory, ignore_cleanup_errors=True
    )


def _record(plan: Plan, peer: _peer.Peer, workload: str, repeat: int) -> Record:
    now = dt.datetime.now(dt.UTC)
    return {
        "at": now.isoformat(timespec="seconds"),
        "peer": peer.name,
        "title": peer.title,
        "durability": peer.durability,
        "notes": peer.notes,
        "workload": workload,
        "repeat": repeat,
        "quick": plan.quick,
        "asked_count": peer.count(workload, quick=plan.quick),
        "in_flight": peer.width(workload),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _refused(plan: Plan, peer: _peer.Peer, repeat: int, why: str) -> Iterator[Record]:
    for workload in _workloads(plan, peer):
        yield _record(plan, peer, workload, repeat) | {"error": why}


def run_workload(
    plan: Plan,
    peer: _peer.Peer,
    environment: _peer.Environment,
    running: list[servers.Server],
    workload: str,
) -> Record:
    """One workload in a process of its own; its figures.

    Raises:
        WorkError: It took too long, ended early, or ended with an exit code other than 0.
        ProtocolError: It said what is not of the protocol, or did other work than was asked for.
    """
    count = peer.count(workload, quick=plan.quick)
    urls = {f"PEER_{server.name.upper()}": server.refresh() for server in running}
    # What others have written must not be synced in this one's time.
    os.sync()
    with _scratch(plan.directory) as scratch, (Path(scratch) / "log").open("w+b") as log:
        stores = Path(scratch) / "store"
        stores.mkdir()
        command = [str(environment.python), str(peer.folder / "work.py"), workload]
        command += ["--count", str(count), "--in-flight", str(peer.width(workload))]
        process = subprocess.Popen(  # noqa: S603 - a program of this repository
            [*command, "--dir", str(stores)],
            cwd=stores,
            env=environment.variables(peer) | urls,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
        watch = Watch(process, running, plan.timeout_seconds)
        try:
            return watch.figures(workload, count)
        except (WorkError, protocol.ProtocolError) as error:
            log.flush()
            log.seek(0)
            said = log.read().decode(errors="replace")[-LOG_TAIL_CHARACTERS:]
            message = f"{error}\n{said}".strip()
            raise WorkError(message) from error
        finally:
            watch.close()


class Watch:
    """Listens to one workload, and reads what its processes use when it says so."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        running: list[servers.Server],
        timeout_seconds: float,
    ) -> None:
        if process.stdout is None:
            message = "the process has no output"
            raise AssertionError(message)
        self._process = process
        self._output: IO[bytes] = process.stdout
        self._roots = {"peer": process.pid} | {server.name: server.pid for server in running}
        self._deadline = time.monotonic() + timeout_seconds
        self._timeout_seconds = timeout_seconds
        self._buffer = b""
        self._seen: dict[int, _process.Entry] = {}

    def figures(self, workload: str, count: int) -> Record:
        """Waits for the end of the workload."""
        line = self._line("begin")
        if line != "begin":
            message = f"expected `begin`, got `{line[:200]}`"
            raise protocol.ProtocolError(message)
        before = self.read()
        end = protocol.parse_end(self._line("end"), workload, count)
        after = self.read()
        self._exit()
        return make_figures(end, before, after)

    def read(self) -> Reading:
        """CPU time first, for it goes on; then memory."""
        everyone = _process.entries()
        busy = _process.machine_busy_seconds()
        trees = {name: _process.tree(root, everyone) for name, root in self._roots.items()}
        self._seen.update({entry.pid: entry for entry in trees["peer"]})
        return Reading(
            {name: sum(entry.cpu_seconds for entry in tree) for name, tree in trees.items()},
            {name: _process.pss_bytes(tree) for name, tree in trees.items()},
            busy,
        )

    def _line(self, what: str) -> str:
        with selectors.DefaultSelector() as selector:
            selector.register(self._output, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(0.0, self._deadline - time.monotonic())):
                    message = f"no `{what}` after {self._timeout_seconds:.0f} s"
                    raise WorkError(message)
                more = os.read(self._output.fileno(), 65536)
                if not more:
                    code = self._process.wait()
                    message = f"ended with exit code {code} before `{what}`"
                    raise WorkError(message)
                self._buffer += more
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode(errors="replace").strip()

    def _exit(self) -> None:
        try:
            code = self._process.wait(EXIT_SECONDS_MAX)
        except subprocess.TimeoutExpired as error:
            message = f"did not exit within {EXIT_SECONDS_MAX:.0f} s of its `end`"
            raise WorkError(message) from error
        if code != 0:
            message = f"exit code {code} after `end`: not verified"
            raise WorkError(message)

    def close(self) -> None:
        """Ends what is left of the process and of its children."""
        self._seen.update(
            {entry.pid: entry for entry in _process.tree(self._process.pid, _process.entries())}
        )
        left_count = _process.stop(self._seen.values())
        self._process.wait()
        self._output.close()
        if left_count:
            print(f"   {left_count} processes were left over and ended", file=sys.stderr)


def make_figures(end: protocol.End, before: Reading, after: Reading) -> Record:
    """The figures of one workload from its two readings."""
    cpu = {name: after.cpu_seconds[name] - before.cpu_seconds[name] for name in after.cpu_seconds}
    busy = after.machine_busy_seconds - before.machine_busy_seconds
    return {
        "count": end.count,
        "seconds": round(end.seconds, 6),
        "rate": round(end.count / end.seconds, 3),
        "p50_ms": end.p50_ms,
        "p99_ms": end.p99_ms,
        "verified": end.verified,
        "cpu_seconds": {name: round(value, 3) for name, value in cpu.items()},
        "cpu_us_each": round(sum(cpu.values()) / end.count * 1e6, 3),
        "pss_mib": {
            name: round(max(before.pss_bytes[name], after.pss_bytes[name]) / _process.MIB, 1)
            for name in after.pss_bytes
        },
        "busy_elsewhere_seconds": round(max(0.0, busy - sum(cpu.values())), 3),
    }
