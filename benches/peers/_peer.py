"""A peer: its folder, what its `peer.toml` says, and the environment it runs in.

Environments are in the user's cache, one for each folder, and are made again only when what they
were made from has changed. A stamp is written last: what was interrupted is done again.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benches.peers import protocol, servers

FOLDER = Path(__file__).resolve().parent
CHECKOUT = FOLDER.parent.parent
# The row that all others are compared with.
HOME = "taquba"
IN_FLIGHT = {"enqueue": 64, "steps": 512, "drain": 64}
# `--quick` is a look: counts are divided, but not below what a batch or a percentile needs.
QUICK_DIVISOR = 20
QUICK_COUNTS_MIN = {
    "enqueue": 100,
    "enqueue_batch": protocol.BATCH_COUNT,
    "drain": 100,
    "steps": 20,
    "latency": 20,
}
KEYS = {"title", "durability", "notes", "servers", "counts", "in_flight"}


class PeerError(Exception):
    """A peer cannot be run: its description is wrong, or its environment cannot be made."""


@dataclass(frozen=True)
class Peer:
    """One row of the table."""

    name: str
    folder: Path
    title: str
    durability: str
    notes: str
    servers: tuple[str, ...]
    counts: dict[str, int]
    in_flight: dict[str, int]

    def count(self, workload: str, *, quick: bool) -> int:
        """The `--count` of a workload."""
        whole = self.counts[workload]
        return max(whole // QUICK_DIVISOR, QUICK_COUNTS_MIN[workload]) if quick else whole

    def width(self, workload: str) -> int:
        """The `--in-flight` of a workload."""
        return self.in_flight.get(workload, IN_FLIGHT.get(workload, 1))


def find_all() -> list[Peer]:
    """Every peer, taquba first, then by name."""
    found = [peer for place in FOLDER.glob("*/peer.toml") for peer in read(place)]
    return sorted(found, key=lambda peer: (peer.name != HOME, peer.name))


def choose(names: Iterable[str]) -> list[Peer]:
    """Peers by name, or by the folder that several share; all of them if no name is given."""
    known, wanted = find_all(), list(names)
    unknown = set(wanted) - {peer.name for peer in known} - {peer.folder.name for peer in known}
    if unknown:
        message = f"no such peer: {', '.join(sorted(unknown))}; there are "
        raise PeerError(message + ", ".join(peer.name for peer in known))
    return [
        peer for peer in known if not wanted or peer.name in wanted or peer.folder.name in wanted
    ]


def read(place: Path) -> list[Peer]:
    """The peers of one `peer.toml`: one, or one for each of its variants."""
    said = tomllib.loads(place.read_text())
    variants = said.pop("variants", None)
    if variants is None:
        return [_peer(place.parent.name, place.parent, said)]
    return [_peer(name, place.parent, said | own) for name, own in variants.items()]


def _peer(name: str, folder: Path, said: dict[str, Any]) -> Peer:
    problems = [f"unknown key `{key}`" for key in sorted(said.keys() - KEYS)]
    problems += [f"no `{key}`" for key in ("title", "durability", "counts") if key not in said]
    counts, in_flight = said.get("counts", {}), said.get("in_flight", {})
    for key in sorted((counts.keys() | in_flight.keys()) - set(protocol.WORKLOADS)):
        problems.append(f"unknown workload `{key}`")
    if problems:
        message = f"{folder.name}/peer.toml: {'; '.join(problems)}"
        raise PeerError(message)
    needs, notes = tuple(said.get("servers", [])), said.get("notes", "")
    return Peer(name, folder, said["title"], said["durability"], notes, needs, counts, in_flight)


@dataclass(frozen=True)
class Environment:
    """Where a peer runs."""

    cache: Path
    python: Path

    def variables(self, peer: Peer) -> dict[str, str]:
        """What the programs of a peer find in their environment."""
        inherited = {k: v for k, v in os.environ.items() if k not in {"VIRTUAL_ENV", "PYTHONHOME"}}
        path = f"{self.python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return inherited | {
            "PATH": path,
            "PYTHONPATH": str(CHECKOUT),
            "PEER_NAME": peer.name,
            "PEER_CACHE": str(self.cache),
            "PEER_SOURCE": str(peer.folder),
            "PEER_PYTHON": str(self.python),
        }


def cache_directory() -> Path:
    """Where environments are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "taquba-peers"


def make_environment(peer: Peer) -> Environment:
    """The environment of a peer, made or found.

    Raises:
        PeerError: A command failed; the message has the end of its output.
    """
    cache = cache_directory() / peer.folder.name
    cache.mkdir(parents=True, exist_ok=True)
    requirements, prepare = peer.folder / "requirements.txt", peer.folder / "prepare"
    environment = Environment(cache, Path(sys.executable))
    if requirements.exists():
        environment = Environment(cache, cache / "venv" / "bin" / "python")
        stamp = cache / "venv" / ".made-from"
        made_from = f"{sys.version}\n{requirements.read_text()}"
        if not (stamp.exists() and stamp.read_text() == made_from):
            print(f"== {peer.folder.name}: environment", file=sys.stderr, flush=True)
            shutil.rmtree(cache / "venv", ignore_errors=True)
            _run(peer, environment, [sys.executable, "-m", "venv", str(cache / "venv")])
            pip = [str(environment.python), "-m", "pip", "install", "--quiet"]
            _run(peer, environment, [*pip, "--requirement", str(requirements)])
            stamp.write_text(made_from)
    if prepare.exists():
        stamp, made_from = cache / ".prepared-from", fingerprint(peer.folder)
        if not (stamp.exists() and stamp.read_text() == made_from):
            print(f"== {peer.folder.name}: prepare", file=sys.stderr, flush=True)
            stamp.unlink(missing_ok=True)
            _run(peer, environment, [str(prepare)])
            stamp.write_text(made_from)
    return environment


def fingerprint(folder: Path) -> str:
    """What `prepare` depends on: itself, and every file that only it reads."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        is_ours = file.suffix in {".py", ".pyc", ".md"}
        if file.is_file() and not is_ours and file.name not in {"peer.toml", "requirements.txt"}:
            content = file.read_bytes()
            digest.update(f"{file.relative_to(folder)} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _run(peer: Peer, environment: Environment, command: list[str]) -> None:
    done = subprocess.run(  # noqa: S603 - programs of this repository, and pip
        command,
        cwd=environment.cache,
        env=environment.variables(peer) | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        message = f"`{' '.join(command)}` failed with {done.returncode}:\n{done.stdout[-3000:]}"
        raise PeerError(message)


def known_servers(peer: Peer) -> list[str]:
    """Those of its servers that the driver starts; the peer starts the others itself."""
    return [name for name in peer.servers if name in servers.KNOWN]
