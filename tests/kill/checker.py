"""The checkers of the simulator, run on a history: `taquba-sim check FILE`.

They are built by `cargo build --release --locked -p taquba-sim`.
"""

import subprocess
from pathlib import Path

from tests.simulator import NAME, program

BUILD = f"cargo build --release --locked -p {NAME}"


def find_checker() -> Path | None:
    """Where the program is, if it was built."""
    simulator = program()
    return simulator if simulator.is_file() else None


def check(simulator: Path, *histories: Path) -> list[str]:
    """Every violation that it prints, one a line; empty if there is none."""
    command = [str(simulator), "check", *map(str, histories)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return []
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    return lines or [f"{NAME} ended with {done.returncode}: {done.stderr.strip()}"]
