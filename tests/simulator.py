"""Where cargo puts what it builds, and the simulator among it.

The simulator is built by `cargo build --release --locked -p taquba-sim`.
"""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = "taquba-sim"


def target_dir() -> Path:
    """Where cargo keeps its builds."""
    return Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")


def program(name: str = NAME) -> Path:
    """Where the simulator is, if it was built."""
    return target_dir() / "release" / name
