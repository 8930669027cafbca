"""An idle queue costs nothing: no object is written, and the process hardly works."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

IDLE_SECONDS = 2.5
# A hundredth of a core. A loop that polls without a pause costs a hundred times as much, one that
# polls every millisecond several times.
CPU_SHARE_MAX = 0.01

# A process of its own, so that nothing else in it is measured.
PROGRAM = """
import asyncio, json, pathlib, resource, sys
from taquba import EnqueueOptions, Queue
from taquba.workflow import WorkflowRuntime

directory, idle_seconds = pathlib.Path(sys.argv[1]), float(sys.argv[2])

def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime

def files():
    return {str(path) for path in directory.rglob("*") if path.is_file()}

async def runner(step):
    raise AssertionError("no run is there")

async def main():
    async with Queue.open(directory) as queue, WorkflowRuntime(queue, runner):
        await queue.enqueue("emails", b"waiting")
        await queue.enqueue("emails", b"later", EnqueueOptions(delay=3600))
        await queue.claim_batch("emails", 1, lease=3600.0)
        # The claim may still ride in a commit; what follows the settling is idle.
        await asyncio.sleep(0.5)
        before, files_before, cpu_before = await queue.stats(), files(), cpu_seconds()
        await asyncio.sleep(idle_seconds)
        cpu_used = cpu_seconds() - cpu_before
        after, files_after = await queue.stats(), files()
    print(json.dumps({
        "puts": after.put_count - before.put_count,
        "commits": after.commit_count - before.commit_count,
        "new_files": sorted(files_after - files_before),
        "cpu_share": cpu_used / idle_seconds,
    }))

asyncio.run(main())
"""


@pytest.mark.timeout(60)
def test_an_idle_queue_writes_no_object_and_needs_no_cpu(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "store"), str(IDLE_SECONDS)]
    child = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert child.returncode == 0, child.stderr

    used = json.loads(child.stdout)

    print(used)
    assert used["new_files"] == []
    assert (used["puts"], used["commits"]) == (0, 0)
    assert used["cpu_share"] < CPU_SHARE_MAX
