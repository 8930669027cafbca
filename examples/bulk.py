"""Two thousand documents, each classified once: progress, costs, and what failed.

The run id is that of the document: start it again, and only what is missing is done and paid for.

    python examples/bulk.py
"""

import asyncio
import json
from collections import Counter

from taquba import (
    Queue,
    RunHandle,
    RunSpec,
    RunState,
    Step,
    StepError,
    StepOutcome,
    WorkflowRuntime,
)
from taquba.progress import track

DOCUMENT_COUNT, PAGE_SIZE = 2_000, 500


async def ask_model(text: str) -> bytes:
    """Stands for a call that costs money."""
    return b"billing" if "pay" in text else b"other"


async def classify(step: Step) -> StepOutcome:
    """One document. What was paid for is a memo: a second delivery finds it."""
    text = step.payload.decode()
    if not text:
        raise StepError.permanent("an empty document")
    label = await step.memo.get_or_compute("label", lambda: ask_model(text))
    report = {"label": label.decode(), "tokens": len(text) // 4}
    return StepOutcome.Succeed(json.dumps(report).encode())


async def main() -> None:
    """Submits them page by page, follows them to the end, and adds up."""
    specs = [RunSpec(b"pay me " * (n % 20), run_id=f"doc-{n}") for n in range(DOCUMENT_COUNT)]
    async with Queue.open("memory://") as queue, WorkflowRuntime(queue, classify) as runtime:
        handles: list[RunHandle] = []
        for start in range(0, DOCUMENT_COUNT, PAGE_SIZE):
            handles += await runtime.submit_many(specs[start : start + PAGE_SIZE])
        async for progress in track(handles):  # show=True draws a bar
            ended = progress
        print(f"{ended.succeeded_count} of {ended.total_count} done, {ended.failed_count} failed")

        labels: Counter[str] = Counter()
        for handle in handles:
            if (result := (await handle.outcome()).result) is not None:
                report = json.loads(result)
                labels.update({report["label"]: 1, "tokens": report["tokens"]})
        failed = await runtime.list_runs(RunState.FAILED, limit=1)
    print(dict(labels), "- failed:", failed.runs[0].run_id, failed.runs[0].error)


if __name__ == "__main__":
    asyncio.run(main())

# Output:
#
# 1900 of 2000 done, 100 failed
# {'billing': 1900, 'tokens': 32500} - failed: doc-1980 an empty document
