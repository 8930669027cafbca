"""The checkers of the simulator, run on a history: `taquba-sim check FILE`.

They are built by `cargo build --release --locked -p taquba-sim`.
"""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAME = "taquba-sim"
BUILD = f"cargo build --release --locked -p {NAME}"


def find_checker() -> Path | None:
    """Where the program is, if it was built."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    program = target / "release" / NAME
    return program if program.is_file() else None


def check(program: Path, *histories: Path) -> list[str]:
    """Every violation that it prints, one a line; empty if there is none."""
    command = [str(program), "check", *map(str, histories)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return []
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    return lines or [f"{NAME} ended with {done.returncode}: {done.stderr.strip()}"]
