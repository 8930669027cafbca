"""Kills the research agent after step 0, starts it again, and checks that nothing repeated.

This is what `make demo` shows. It fails (exit code 1) unless the first process died of SIGKILL, the
second one resumed at step 1, and the log of model calls has each call exactly once.

    python examples/crash_and_resume.py --state .taquba-demo [FILE ...]
"""

import argparse
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

AGENT = Path(__file__).with_name("research_agent.py")


def start_agent(state: Path, files: list[str], *options: str) -> tuple[int, str]:
    """Runs the agent in a process of its own, passing its output through."""
    command = [sys.executable, "-u", str(AGENT), "--state", str(state), *options, *files]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        lines = []
        for line in process.stdout or ():
            print(f"    {line}", end="", flush=True)
            lines.append(line)
    return process.returncode, "".join(lines)


def count_calls(state: Path) -> Counter[str]:
    """How often each model call was made, whichever process made it."""
    log = (state / "calls.log").read_text(encoding="utf-8")
    return Counter(re.findall(r"^(step=\d+ subject=.*) pid=\d+$", log, flags=re.MULTILINE))


def check(claim: str, *, holds: bool) -> None:
    """Says what was checked; stops at the first thing that is off."""
    print(f"  {'ok ' if holds else 'NOT'} {claim}", flush=True)
    if not holds:
        sys.exit(1)


def demonstrate(state: Path, files: list[str]) -> None:
    """Kill, resume, check."""
    print("== 1. The agent starts. It will be killed as soon as step 0 is durable.", flush=True)
    code, _ = start_agent(state, files, "--crash-after-step", "0")
    check("the process died of SIGKILL", holds=code == -signal.SIGKILL)
    calls = count_calls(state)
    only_step_0 = bool(calls) and all(call.startswith("step=0 ") for call in calls)
    check(f"step 0 made {len(calls)} model calls, step 1 none", holds=only_step_0)
    report = state / "report.md"
    check("there is no report yet", holds=not report.exists())

    print("\n== 2. A fresh process, the same state directory.", flush=True)
    code, output = start_agent(state, files)
    check("the second process ended well", holds=code == 0)
    check("it found the run instead of submitting a new one", holds="resuming" in output)
    check("it did not repeat step 0", holds="step 0: research" not in output)
    check("it went on at step 1", holds="step 1: write the report" in output)
    after = count_calls(state)
    new_calls = set(after) - set(calls)
    check("step 1 made its one model call", holds=new_calls == {"step=1 subject=overview"})
    check(f"all {len(after)} model calls were made once", holds=set(after.values()) == {1})
    check(f"the report is in {report}", holds=report.stat().st_size > 0)


def main() -> None:
    """Reads the command line and uses a fresh directory if none is given."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("files", nargs="*", help="text files; default: this repository's documents")
    parser.add_argument("--state", help="directory of everything durable; must not exist yet")
    arguments = parser.parse_args()
    if arguments.state is None:
        with tempfile.TemporaryDirectory() as directory:
            demonstrate(Path(directory) / "state", arguments.files)
        return
    if Path(arguments.state).exists():
        parser.error(
            f"`{arguments.state}` exists: remove it, the demonstration starts from nothing"
        )
    demonstrate(Path(arguments.state), arguments.files)


if __name__ == "__main__":
    main()

# Output:
#
# $ python examples/crash_and_resume.py --state .taquba-demo docs/stores.md docs/durability.md
#
# == 1. The agent starts. It will be killed as soon as step 0 is durable.
#     run research-c9302d72c0c4b76e: submitted
#     step 0: research 2 files with the offline extractive model
#       [1/2] docs/stores.md
#       [2/2] docs/durability.md
#     step 0 is durable; killing this process with SIGKILL now
#   ok  the process died of SIGKILL
#   ok  step 0 made 2 model calls, step 1 none
#   ok  there is no report yet
#
# == 2. A fresh process, the same state directory.
#     run research-c9302d72c0c4b76e: found in .taquba-demo; resuming, not repeating
#     step 1: write the report from the notes on 2 files
#     run research-c9302d72c0c4b76e: succeeded at step 1
#     report: .taquba-demo/report.md
#
#     # Research report
#
#     2 documents, summarised by the offline extractive model.
#
#     ## Overview
#
#     - The path is the second argument of `Queue.open` (`"taquba"` unless you say otherwise),...
#     - `OpenOptions(fsync=False)` is faster and loses acknowledged work when the power fails;...
#     - A mail that a step sent before it died is sent again.
#
#     ## docs/stores.md
#
#     - The path is the second argument of `Queue.open` (`"taquba"` unless you say otherwise),...
#     - One process owns a store path.
#     - `OpenOptions(fsync=False)` is faster and loses acknowledged work when the power fails;...
#
#     ## docs/durability.md
#
#     - What was claimed at the crash is delivered again, and the lost delivery counts as an a...
#     - Step n+1 of a run comes into being in the commit that settles step n.
#     - A mail that a step sent before it died is sent again.
#   ok  the second process ended well
#   ok  it found the run instead of submitting a new one
#   ok  it did not repeat step 0
#   ok  it went on at step 1
#   ok  step 1 made its one model call
#   ok  all 3 model calls were made once
#   ok  the report is in .taquba-demo/report.md
