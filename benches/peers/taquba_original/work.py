"""The program that `prepare` has built does the work; nothing of it runs in Python."""

import os
import sys
from pathlib import Path

program = Path(os.environ["PEER_CACHE"]) / "target" / "release" / "taquba-original-bench"
os.execv(program, [str(program), *sys.argv[1:]])  # noqa: S606 - what `prepare` has built
