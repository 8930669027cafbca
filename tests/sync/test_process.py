"""Blocking calls and the process: Ctrl-C, fork, exit, and no thread before the first call."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(120)


def start(program: str, *arguments: str) -> "subprocess.Popen[str]":
    """Starts a program of its own, with Ctrl-C as a terminal has it."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(program: str, *arguments: str) -> tuple[int, str, str]:
    """Runs a program to its end."""
    process = start(program, *arguments)
    output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


def interrupt(process: "subprocess.Popen[str]") -> tuple[str, str]:
    """Sends Ctrl-C once the program has said that it waits."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == "waiting\n", process.communicate(timeout=60)
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=60)


# The line is written when the main thread is about to wait. The interpreter notices a signal that
# comes just before the wait at the next wake-up, so a thread sends another one that does nothing.
INTERRUPTED_CALL = """
import os, signal, sys, threading, time
from taquba import sync

def poke():
    while True:
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGUSR1)

signal.signal(signal.SIGUSR1, lambda *_: None)
with sync.Queue.open("memory://") as queue:
    threading.Thread(target=poke, daemon=True).start()
    try:
        print("waiting", flush=True)
        queue.claim_with_wait("emails", lease=3600.0)
    except KeyboardInterrupt:
        pass
    # The call was withdrawn: a job that it was still given comes back at once, not in an hour.
    queue.enqueue("emails", b"x")
    print(queue.claim_with_wait("emails", timeout=20) is not None, flush=True)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
"""


def test_ctrl_c_ends_a_call_and_the_queue_goes_on() -> None:
    process = start(INTERRUPTED_CALL)

    output, errors = interrupt(process)

    assert (process.returncode, output, errors) == (0, "True\n", "")


INTERRUPTED_WORKER = """
import sys, threading
from taquba import OpenOptions, sync

done = threading.Event()

def send(job):
    print("waiting", flush=True)
    done.wait(2.0)

with sync.Queue.open(sys.argv[1], options=OpenOptions(fsync=False)) as queue:
    queue.enqueue("emails", b"x")
    try:
        sync.run_worker(queue, "emails", send)
    except KeyboardInterrupt:
        print(queue.stats().queues["emails"].acked_total, flush=True)
"""


# As `claim` is interrupted at any moment, also in the middle of handing over: nothing may hang, no
# coroutine may be left, and what the caller did not get is given back.
INTERRUPTED_ANYWHERE = """
import random, signal, sys, time
from taquba import sync

class Interruption(BaseException): pass

def interrupt(*_):
    raise Interruption

signal.signal(signal.SIGALRM, interrupt)
def report(lost):
    # One that hits a finalizer is Python's to lose; a coroutine that nobody awaited is ours.
    if lost.exc_type is not Interruption:
        sys.__unraisablehook__(lost)

sys.unraisablehook = report
queue = sync.Queue.open("memory://")
for _ in range(2):
    queue.enqueue_batch("emails", [b"x"] * 10_000)
interrupted, got = 0, []
end = time.monotonic() + 3
while time.monotonic() < end:
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.00005, 0.0004))
        claim = queue.claim("emails", lease=3600)
        if claim is None:
            break
        got.append(claim.job_id)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Interruption:
        interrupted += 1
signal.setitimer(signal.ITIMER_REAL, 0)
stats = queue.stats().queues["emails"]
leaked = stats.claimed_count - len(got)
# A claim that was returned is the caller's: that is the moment between two of the lines above.
print(interrupted > 100, leaked <= interrupted // 50 + 1, (interrupted, leaked), flush=True)
queue.close()
"""


@pytest.mark.slow
def test_an_interruption_at_any_moment_neither_hangs_nor_loses_a_job() -> None:
    code, output, errors = run(INTERRUPTED_ANYWHERE)

    assert (code, output[:9], errors) == (0, "True True", "")


def test_a_daemon_thread_that_works_says_nothing_at_the_end() -> None:
    program = """
import threading, time
from taquba import sync
queue = sync.Queue.open("memory://")
done = threading.Event()
worker = threading.Thread(
    target=sync.run_worker, args=(queue, "emails", lambda job: done.set()), daemon=True
)
worker.start()
queue.enqueue("emails", b"x")
done.wait(20)
"""
    assert run(program) == (0, "", "")


def test_closing_at_the_end_of_the_process_is_fine(tmp_path: Path) -> None:
    program = """
import atexit, sys
# Registered first, so called last.
atexit.register(lambda: queue.close())
from taquba import OpenOptions, sync
queue = sync.Queue.open(sys.argv[1], options=OpenOptions(fsync=False))
queue.enqueue("emails", b"x")
"""
    assert run(program, str(tmp_path)) == (0, "", "")


@pytest.mark.slow
def test_ctrl_c_ends_a_worker_after_its_jobs_in_flight(tmp_path: Path) -> None:
    process = start(INTERRUPTED_WORKER, str(tmp_path))

    output, errors = interrupt(process)

    assert (process.returncode, output, errors) == (0, "1\n", "")


def test_importing_starts_no_thread() -> None:
    program = """
import threading
import taquba.sync
print(threading.active_count())
queue = taquba.sync.Queue.open("memory://")
queue.close()
print(threading.active_count() > 1)
"""
    assert run(program) == (0, "1\nTrue\n", "")


@pytest.mark.parametrize("last", ["queue.close()", "pass", "raise SystemExit(0)"])
def test_a_program_that_just_ends_ends(last: str, tmp_path: Path) -> None:
    program = f"""
import sys
from taquba import OpenOptions, sync
queue = sync.Queue.open(sys.argv[1], options=OpenOptions(fsync=False))
queue.enqueue("emails", b"x")
{last}
"""
    for _ in range(5):
        assert run(program, str(tmp_path)) == (0, "", "")
    code, output, errors = run(
        "import sys\nfrom taquba import OpenOptions, sync\n"
        "with sync.Queue.open(sys.argv[1], options=OpenOptions(fsync=False)) as queue:\n"
        "    print(len(queue.claim_batch('emails', 100)))\n",
        str(tmp_path),
    )
    assert (code, output, errors) == (0, "5\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_gets_a_clear_error_and_the_parent_goes_on() -> None:
    program = """
import os, warnings
from taquba import sync
from taquba.exceptions import ForkError
warnings.simplefilter("ignore", DeprecationWarning)

queue = sync.Queue.open("memory://")
queue.enqueue("emails", b"from the parent")
child = os.fork()
if child == 0:
    refused = 0
    for call in (lambda: queue.enqueue("emails", b""), queue.stats, lambda: queue.claim("emails")):
        try:
            call()
        except ForkError as error:
            assert "fork" in str(error)
            refused += 1
    os._exit(refused)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), len(queue.claim_batch("emails", 5)))
queue.close()
"""
    assert run(program) == (0, "3 1\n", "")


def test_a_blocking_call_inside_an_event_loop_of_its_own_thread_is_fine() -> None:
    program = """
import asyncio
from taquba import sync

async def main():
    # Not what one should do, but it must not hang: the loop behind is another one.
    with sync.Queue.open("memory://") as queue:
        return queue.enqueue("emails", b"x")

print(len(asyncio.run(main())) > 0)
"""
    assert run(program) == (0, "True\n", "")


def test_a_blocking_call_in_the_loop_behind_is_refused_and_does_not_hang() -> None:
    program = """
import asyncio
from taquba import run_worker, sync
from taquba.sync import _loop

queue = sync.Queue.open("memory://")

async def call():
    try:
        queue.stats()
    except RuntimeError as error:
        return str(error)

print("wait for itself" in asyncio.run_coroutine_threadsafe(call(), _loop.loop()).result(30))
queue.close()
"""
    assert run(program) == (0, "True\n", "")
