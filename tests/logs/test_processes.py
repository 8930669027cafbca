"""Forwarding in processes that are forked, that end, and that never asked for it."""

import subprocess
import sys
from dataclasses import dataclass
from typing import Final

# Long enough for a machine that is busy; none of these processes waits for anything.
TIMEOUT_SECONDS: Final = 60

SETUP: Final = """
import asyncio, logging, os, sys, threading
import taquba, taquba.logs

logging.basicConfig(level=1, format="%(name)s %(message)s", stream=sys.stdout)
logging.getLogger("asyncio").setLevel(logging.WARNING)

async def use(store="memory://"):
    async with taquba.Queue.open(store) as queue:
        await queue.enqueue("emails", b"")

def say(text):
    print(text, flush=True)
"""

NEVER_ASKED: Final = """
import asyncio, logging, sys, threading
import taquba

logging.basicConfig(level=1, stream=sys.stdout)
logging.getLogger("asyncio").setLevel(logging.WARNING)

async def main():
    async with taquba.Queue.open("memory://") as queue:
        await queue.enqueue("emails", b"")

asyncio.run(main())
print("taquba.logs" in sys.modules, [thread.name for thread in threading.enumerate()])
"""

ENDS_WITHOUT_STOP: Final = """
taquba.logs.forward(5)
asyncio.run(use())
"""

ENDS_WITH_AN_OPEN_QUEUE: Final = """
taquba.logs.forward(5)
async def main():
    await taquba.Queue.open("memory://")
asyncio.run(main())
"""

ENDS_WITH_A_HANDLER_THAT_HANGS: Final = """
def hang(record):
    # Not in `emit`: there it would hold a lock for which `logging` itself waits at exit.
    threading.Event().wait()

taquba.logs._END_TIMEOUT_SECONDS = 0.1
logging.getLogger().handlers[0].addFilter(hang)
taquba.logs.forward(5)
asyncio.run(use())
"""

STOPS_IN_A_HANDLER: Final = """
class Stops(logging.Handler):
    def emit(self, record):
        taquba.logs.stop()
        say("stopped")

logging.getLogger("taquba.native").addHandler(Stops())
taquba.logs.forward(5)
asyncio.run(use())
"""

FORKED_BEFORE_THE_FIRST_QUEUE: Final = """
taquba.logs.forward()
child = os.fork()
if not child:
    asyncio.run(use())
    taquba.logs.stop()
    say("child is quiet")
    taquba.logs.forward()
    asyncio.run(use())
    taquba.logs.stop()
    say("child is done")
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
say("parent begins")
asyncio.run(use())
taquba.logs.stop()
"""

FORKED_AFTER_THE_FIRST_QUEUE: Final = """
taquba.logs.forward()
asyncio.run(use())
child = os.fork()
if not child:
    try:
        taquba.logs.forward()
    except taquba.exceptions.ForkError:
        say("refused")
    taquba.logs.stop()
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
say("parent goes on")
asyncio.run(use())
taquba.logs.stop()
"""


@dataclass(frozen=True)
class Ran:
    """What became of a process."""

    lines: list[str]
    errors: str
    status: int

    def count(self, text: str) -> int:
        """How many lines have a text."""
        return sum(text in line for line in self.lines)


def run(source: str) -> Ran:
    """Runs a program to its end."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", source]
    ran = subprocess.run(
        command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
    )
    return Ran(ran.stdout.splitlines(), ran.stderr, ran.returncode)


def test_who_never_asks_has_neither_records_nor_a_thread() -> None:
    ran = run(NEVER_ASKED)

    assert (ran.lines, ran.errors) == (["False ['MainThread']"], "")


def test_a_process_that_ends_has_logged_what_was_said_before() -> None:
    ran = run(SETUP + ENDS_WITHOUT_STOP)

    assert (ran.status, ran.errors) == (0, "")
    assert ran.count("opening SlateDB database") == 1


def test_a_process_ends_although_a_queue_is_open_and_speaks() -> None:
    ran = run(SETUP + ENDS_WITH_AN_OPEN_QUEUE)

    assert (ran.status, ran.errors) == (0, "")
    assert ran.count("opening SlateDB database") == 1


def test_a_process_ends_although_a_handler_hangs() -> None:
    ran = run(SETUP + ENDS_WITH_A_HANDLER_THAT_HANGS)

    assert (ran.status, ran.errors) == (0, "")


def test_a_handler_may_end_the_forwarding() -> None:
    ran = run(SETUP + STOPS_IN_A_HANDLER)

    assert (ran.status, ran.errors) == (0, "")
    assert ran.count("stopped") >= 1


def test_a_child_forwards_nothing_until_it_asks_and_takes_nothing_from_its_parent() -> None:
    ran = run(SETUP + FORKED_BEFORE_THE_FIRST_QUEUE)

    assert (ran.status, ran.errors) == (0, "")
    quiet, done = ran.lines.index("child is quiet"), ran.lines.index("child is done")
    assert quiet == 0
    opening = [number for number, line in enumerate(ran.lines) if "opening SlateDB" in line]
    assert len(opening) == 2
    assert opening[0] < done < ran.lines.index("parent begins") < opening[1]


def test_a_child_of_a_process_that_had_a_queue_is_refused_and_ends() -> None:
    ran = run(SETUP + FORKED_AFTER_THE_FIRST_QUEUE)

    assert (ran.status, ran.errors) == (0, "")
    assert ran.count("refused") == 1
    assert ran.count("opening SlateDB") == 2
