"""A copy of the source with every bug in it, switched off until the environment names one.

All bugs are compiled once: the copy's crates have a version of their own, so that they stand beside
the real ones in the same directory of builds, and what they depend on is not compiled again.
"""

import os
import shutil
import subprocess
from pathlib import Path

from tests.planted.bugs import BUGS, ENGINE, WEBHOOK, Bug
from tests.simulator import ROOT, program, target_dir

SWITCH = "TAQUBA_PLANTED"
BINARY = "taquba-sim-planted"

PLANTED_RS = f"""//! Which bug is switched on.

use std::sync::OnceLock;

/// Whether it is this one.
pub fn is(bug: u8) -> bool {{
    static BUG: OnceLock<u8> = OnceLock::new();
    let named = || std::env::var("{SWITCH}").ok().and_then(|text| text.parse().ok());
    *BUG.get_or_init(|| named().unwrap_or(0)) == bug
}}
"""


def build() -> Path:
    """Makes the copy and compiles it; returns the simulator with the bugs."""
    copy = target_dir() / "planted"
    copy.mkdir(parents=True, exist_ok=True)
    for path in sources():
        write_if_changed(copy / path, planted(path, (ROOT / path).read_text()))
    for crate in (ENGINE, WEBHOOK):
        write_if_changed(copy / crate / "planted.rs", PLANTED_RS)
    command = ["cargo", "build", "--release", "--locked", "--package", "taquba-sim"]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target_dir())}
    subprocess.run(command, cwd=copy, env=environment, check=True)
    return program(BINARY)


def sources() -> list[Path]:
    """The files of the workspace, as cargo needs them."""
    files = [Path(name) for name in ("Cargo.toml", "Cargo.lock", ".clippy.toml")]
    for folder in (ROOT / "rust").iterdir():
        files += [
            path.relative_to(ROOT) for path in folder.rglob("*") if path.suffix in {".rs", ".toml"}
        ]
    return files


def planted(path: Path, text: str) -> str:
    """The file with its bugs, and with what makes its crate another one."""
    for bug in BUGS:
        if path == Path(bug.path):
            text = replaced(text, bug)
    if path.name in {"Cargo.toml", "Cargo.lock"}:
        text = renamed(path, text)
    if path in {Path(ENGINE) / "lib.rs", Path(WEBHOOK) / "lib.rs"}:
        first = text.index("\npub mod ") if "\npub mod " in text else text.index("\nmod ")
        text = f"{text[:first]}\npub mod planted;{text[first:]}"
    return text


def replaced(text: str, bug: Bug) -> str:
    """The text with one bug more."""
    count = text.count(bug.old)
    if count != 1:
        msg = f"bug {bug.number} does not fit {bug.path}: its text is there {count} times"
        raise ValueError(msg)
    return text.replace(bug.old, bug.new)


def renamed(path: Path, text: str) -> str:
    """A manifest or the lock file, with the versions and names of the copy."""
    if path == Path("Cargo.toml"):
        return text.replace('version = "0.1.0"\nedition', 'version = "0.1.0-planted"\nedition')
    if path == Path("Cargo.lock"):
        blocks = text.split("[[package]]\n")
        is_ours = [block.startswith('name = "taquba-') for block in blocks]
        ours = zip(blocks, is_ours, strict=True)
        return "[[package]]\n".join(
            block.replace('version = "0.1.0"', 'version = "0.1.0-planted"') if is_our else block
            for block, is_our in ours
        )
    if path == Path("rust/taquba-sim/Cargo.toml"):
        text = text.replace("[package]\n", "[package]\nautobins = false\n", 1)
        return f'{text}\n[[bin]]\nname = "{BINARY}"\npath = "src/main.rs"\n'
    return text


def write_if_changed(path: Path, text: str) -> None:
    """Writes a file, unless it is the same already: cargo goes by the times of files."""
    if path.exists() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def forget() -> None:
    """Removes the copy."""
    shutil.rmtree(target_dir() / "planted", ignore_errors=True)
