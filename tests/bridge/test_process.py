"""Whole processes: how they end, fork, are interrupted, and what an import costs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import taquba

pytestmark = pytest.mark.timeout(180)

EXIT_COUNT = 20


def run_child(
    program: str, *options: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a program of its own and waits for its end."""
    command = [sys.executable, *options, "-W", "error", "-c", program]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=environment
    )


EXIT_AFTER_AWAIT = """
import asyncio
from taquba import Queue

async def main():
    queue = await Queue.open("memory://")
    await queue.enqueue("emails", b"x")
    {last}

asyncio.run(main())
"""


@pytest.mark.parametrize("last", ["await queue.close()", "pass"], ids=["closed", "not closed"])
def test_a_process_that_exits_right_after_an_await_exits_cleanly(last: str) -> None:
    program = EXIT_AFTER_AWAIT.format(last=last)

    children = [run_child(program) for _ in range(EXIT_COUNT)]

    assert [(child.returncode, child.stderr) for child in children] == [(0, "")] * EXIT_COUNT


def test_a_loop_closed_with_steps_in_flight_does_not_harm_the_exit() -> None:
    program = """
import asyncio
from taquba import Queue
from taquba.workflow import RunSpec, WorkflowRuntime

async def runner(step):
    await asyncio.sleep(3600)

async def begin():
    global runtime
    queue = await Queue.open("memory://")
    runtime = WorkflowRuntime(queue, runner, concurrency=128)
    await runtime.__aenter__()
    await runtime.submit_many([RunSpec(b"")] * 256)
    await asyncio.sleep(0.05)
    print(len(asyncio.all_tasks()) > 100)

loop = asyncio.new_event_loop()
loop.run_until_complete(begin())
loop.close()
"""
    children = [run_child(program) for _ in range(5)]

    for child in children:
        assert child.returncode == 0, child.stderr
        assert child.stdout == "True\n"
        assert "panicked" not in child.stderr


def test_a_queue_that_nobody_closed_keeps_what_was_enqueued(tmp_path: Path) -> None:
    program = f"""
import asyncio, sys
from taquba import Queue

async def write():
    queue = await Queue.open({str(tmp_path)!r})
    for _ in range(3):
        await queue.enqueue("emails", b"x")

async def read():
    async with Queue.open({str(tmp_path)!r}) as queue:
        print(len(await queue.claim_batch("emails", 10, lease=1.0)))

asyncio.run(write() if sys.argv[1:] == ["write"] else read())
"""
    for mode, printed in (("write", ""), ("read", "3\n")):
        command = [sys.executable, "-c", program, mode]
        child = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (child.returncode, child.stdout) == (0, printed), child.stderr


def test_a_forked_child_gets_a_clear_error_and_the_parent_goes_on() -> None:
    program = """
import asyncio, os, warnings
from taquba import Queue
from taquba.exceptions import ForkError
warnings.simplefilter("ignore", DeprecationWarning)

async def use(queue):
    refused = 0
    for call in (
        lambda: queue.enqueue("emails", b""),
        lambda: queue.stats(),
        lambda: queue.claim_batch("emails", 1),
        lambda: Queue.open("memory://"),
    ):
        try:
            await call()
        except ForkError as error:
            assert "fork" in str(error)
            refused += 1
    return refused

async def main():
    queue = await Queue.open("memory://")
    await queue.enqueue("emails", b"from the parent")
    child = os.fork()
    if child == 0:
        os._exit(asyncio.run(use(queue)))
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), len(await queue.claim_batch("emails", 5)))
    await queue.close()

asyncio.run(main())
"""
    child = run_child(program)

    assert (child.returncode, child.stdout) == (0, "4 1\n"), child.stderr


def test_a_fork_before_the_first_queue_is_opened_is_fine() -> None:
    program = """
import asyncio, os
from taquba import Queue

async def main():
    async with Queue.open("memory://") as queue:
        await queue.enqueue("emails", b"x")
        return len(await queue.claim_batch("emails", 1))

child = os.fork()
count = asyncio.run(main())
if child == 0:
    os._exit(count)
print(count, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    child = run_child(program)

    assert (child.returncode, child.stdout) == (0, "1 1\n"), child.stderr


WAIT_FOREVER = """
import asyncio, signal, sys
# A shell starts its background jobs with SIGINT ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGUSR1, lambda number, frame: None)
from taquba import Queue
from taquba.workflow import RunSpec, WorkflowRuntime

async def runner(step):
    print("ready", flush=True)
    await asyncio.sleep(3600)

async def main():
    async with Queue.open("memory://") as queue:
        async with WorkflowRuntime(queue, runner, shutdown_timeout=0.1) as runtime:
            handle = await runtime.submit(RunSpec(b""))
            await handle.outcome()

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
"""


def ended(process: "subprocess.Popen[str]") -> tuple[str, str]:
    """What a process printed that was told to end.

    A signal that comes between the interpreter's last look for signals and the loop's wait is seen
    only at the next wake-up, in any asyncio program. So the loop is woken, by a signal that does
    nothing else.
    """
    for _ in range(5):
        try:
            return process.communicate(timeout=2)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGUSR1)
    process.kill()
    pytest.fail("Ctrl-C did not end the process")


def test_ctrl_c_ends_a_process_that_waits_for_an_outcome() -> None:
    command = [sys.executable, "-c", WAIT_FOREVER]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        output, errors = ended(process)

    assert (process.returncode, output) == (0, "interrupted\n"), errors


def test_importing_needs_no_optional_dependency(tmp_path: Path) -> None:
    (tmp_path / "taquba").symlink_to(Path(taquba.__file__).parent)
    program = f"""
import sys
before = set(sys.modules)
sys.path.insert(0, {str(tmp_path)!r})
import taquba, taquba.workflow, taquba.store, taquba.exceptions
roots = {{name.partition(".")[0] for name in set(sys.modules) - before}}
foreign = sorted(roots - set(sys.stdlib_module_names) - {{"taquba"}})
print(foreign)
"""
    child = run_child(program, "-S", "-I")

    assert (child.returncode, child.stdout) == (0, "[]\n"), child.stderr


def test_a_queue_works_in_two_loops_one_after_the_other_in_one_process() -> None:
    program = """
import asyncio
from taquba import Queue
from taquba.store import MemoryStore
store = MemoryStore()

async def put():
    async with Queue.open(store) as queue:
        await queue.enqueue("emails", b"x")

async def take():
    async with Queue.open(store) as queue:
        return [claim.payload for claim in await queue.claim_batch("emails", 10)]

asyncio.run(put())
print(asyncio.run(take()))
"""
    child = run_child(program)

    assert (child.returncode, child.stdout) == (0, "[b'x']\n"), child.stderr


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="counts descriptors in /proc")
def test_opening_and_closing_leaks_no_descriptor() -> None:
    program = """
import asyncio, os
from taquba import Queue

async def once():
    async with Queue.open("memory://") as queue:
        await queue.enqueue("emails", b"x")

def count():
    return len(os.listdir("/proc/self/fd"))

for _ in range(3):
    asyncio.run(once())
before = count()
for _ in range(10):
    asyncio.run(once())
print(count() - before)
"""
    child = run_child(program)

    assert (child.returncode, child.stdout) == (0, "0\n"), child.stderr
