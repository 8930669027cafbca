"""Kills the research agent twice, and checks that no model call was made twice.

This is what `make demo` shows: the first process dies by kill -9 halfway through step 0, the second
one makes the calls that are missing and dies once step 0 is durable, the third one writes the
report. It fails (exit code 1) unless each model call was made once.

    python examples/crash_and_resume.py --state .taquba-demo [FILE ...]
"""

import argparse
import re
import signal
import subprocess
import sys
import tempfile
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


def calls_by_process(state: Path) -> dict[str, list[str]]:
    """Each model call, with the processes that made it: `"1"` for the first one."""
    log = (state / "calls.log").read_text(encoding="utf-8")
    found = re.findall(r"^(step=\d+ subject=.*) pid=(\d+)$", log, flags=re.MULTILINE)
    numbers = {pid: str(index + 1) for index, pid in enumerate(dict.fromkeys(p for _, p in found))}
    calls: dict[str, list[str]] = {}
    for call, pid in found:
        calls.setdefault(call, []).append(numbers[pid])
    return calls


def check(claim: str, *, holds: bool) -> None:
    """Says what was checked; stops at the first thing that is off."""
    print(f"  {'ok ' if holds else 'NOT'} {claim}", flush=True)
    if not holds:
        sys.exit(1)


def demonstrate(state: Path, files: list[str]) -> None:
    """Kill twice, resume twice, check."""
    print("== 1. The agent starts. It will be killed halfway through step 0.", flush=True)
    code, output = start_agent(state, files, "--crash-in-step", "0")
    check("the process died of SIGKILL", holds=code == -signal.SIGKILL)
    first = calls_by_process(state)
    file_count = int("".join(re.findall(r"step 0: research (\d+) files", output)) or 0)
    is_half = len(first) == (file_count + 1) // 2
    check(f"it made {len(first)} of the {file_count} model calls of step 0", holds=is_half)

    print("\n== 2. A fresh process. It will be killed as soon as step 0 is durable.", flush=True)
    code, output = start_agent(state, files, "--crash-after-step", "0")
    check("the process died of SIGKILL", holds=code == -signal.SIGKILL)
    check("it found the run instead of submitting a new one", holds="resuming" in output)
    second = calls_by_process(state)
    is_rest = len(second) == file_count and output.count(": known") == len(first)
    check(f"it made the {len(second) - len(first)} calls that were missing", holds=is_rest)
    report = state / "report.md"
    check("there is no report yet", holds=not report.exists())

    print("\n== 3. Another fresh process, the same state directory.", flush=True)
    code, output = start_agent(state, files)
    check("the third process ended well", holds=code == 0)
    check("it found the run instead of submitting a new one", holds="resuming" in output)
    check("it did not repeat step 0", holds="step 0: research" not in output)
    check("it went on at step 1", holds="step 1: write the report" in output)
    calls = calls_by_process(state)
    is_one_more = set(calls) - set(second) == {"step=1 subject=overview"}
    check("step 1 made its one model call", holds=is_one_more)
    check(f"the report is in {report}", holds=report.stat().st_size > 0)

    print("\n== Who made which model call", flush=True)
    for call, processes in calls.items():
        shown = call.replace(f"{Path.cwd()}/", "")
        print(f"    process {' and '.join(processes)}: {shown}")
    is_once = all(len(processes) == 1 for processes in calls.values())
    check(f"all {len(calls)} model calls were made once", holds=is_once)


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
# == 1. The agent starts. It will be killed halfway through step 0.
#     run research-f6b38fad9ab522bd: submitted
#     step 0: research 2 files with the offline extractive model
#       [1/2] docs/stores.md
#     1 of 2 answers are durable; killing this process with SIGKILL now
#   ok  the process died of SIGKILL
#   ok  it made 1 of the 2 model calls of step 0
#
# == 2. A fresh process. It will be killed as soon as step 0 is durable.
#     run research-f6b38fad9ab522bd: found in .taquba-demo; resuming, not repeating
#     step 0: research 2 files with the offline extractive model
#       [1/2] docs/stores.md: known
#       [2/2] docs/durability.md
#     step 0 is durable; killing this process with SIGKILL now
#   ok  the process died of SIGKILL
#   ok  it found the run instead of submitting a new one
#   ok  it made the 1 calls that were missing
#   ok  there is no report yet
#
# == 3. Another fresh process, the same state directory.
#     run research-f6b38fad9ab522bd: found in .taquba-demo; resuming, not repeating
#     step 1: write the report from the notes on 2 files
#     run research-f6b38fad9ab522bd: succeeded at step 1
#     report: .taquba-demo/report.md
#
#     # Research report
#
#     2 documents, summarised by the offline extractive model.
#
#     ## Overview
#
#     - Amazon S3, Google Cloud Storage, Azure and a local file system promise that.
#     - On Google Cloud Storage the rights are `storage.objects.get`, `list`, `create` and `del...
#     - Whoever opens the store next finds every acknowledged job and run.
#
#     ## docs/stores.md
#
#     - The path inside the store is the second argument of `Queue.open` (`"taquba"` unless you...
#     - Amazon S3, Google Cloud Storage, Azure and a local file system promise that.
#     - On Google Cloud Storage the rights are `storage.objects.get`, `list`, `create` and `del...
#
#     ## docs/durability.md
#
#     - Whoever opens the store next finds every acknowledged job and run.
#     - A request to cancel a claimed job or a running run is written: it holds at the next open.
#     - **A reader** shows what is durable, and what needs no commit only later; see [Inspectin...
#   ok  the third process ended well
#   ok  it found the run instead of submitting a new one
#   ok  it did not repeat step 0
#   ok  it went on at step 1
#   ok  step 1 made its one model call
#   ok  the report is in .taquba-demo/report.md
#
# == Who made which model call
#     process 1: step=0 subject=docs/stores.md
#     process 2: step=0 subject=docs/durability.md
#     process 3: step=1 subject=overview
#   ok  all 3 model calls were made once
