"""A planted loss: the last commits of a killed process vanish, and the lane has to notice.

    python -m tests.kill.planted DIRECTORY

Prints every violation that is found, one a line. What vanishes looks like the end of a log that was
never written further, so the next process opens the store without a word.
"""

import sys
from pathlib import Path

from tests.kill import service
from tests.kill.cycles import Aim, BrokenError, Cycles

SEED = "planted"
WORKING_SECONDS = 0.3
# So much of what was written stays.
KEPT_SHARE = 0.6
# A run that vanished is waited for in vain; the processes are forked, so they see this.
DRAIN_SECONDS_MAX = 5.0


def forget_the_end(store: Path) -> None:
    """Wipes what was written last to the latest file of the log."""
    latest = max(store.glob("*/log/*-*"))
    content = latest.read_bytes()
    written = content.rstrip(b"\0")
    kept = written[: int(len(written) * KEPT_SHARE)]
    latest.write_bytes(kept.ljust(len(content), b"\0"))


def main(directory: Path) -> None:
    """Kills twice, forgets, and lets the lane find it."""
    directory.mkdir()
    service.DRAIN_SECONDS_MAX = DRAIN_SECONDS_MAX
    cycles = Cycles(directory, SEED)
    for _ in range(2):
        cycles.kill_one(Aim("working", WORKING_SECONDS))
    forget_the_end(directory / "store")
    try:
        cycles.finish()
    except BrokenError as error:
        cycles.tally.violations.append(f"broken: {error}")
    cycles.judge()
    print(*cycles.tally.violations, sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
