"""Fan-out and fan-in: a run that has its parts done by other runs, and puts them together.

The parts have a queue and a runtime of their own: a run that waits for its parts holds a place, and
if the parts needed the same places, nobody would move.

    python examples/fan_out.py
"""

import asyncio
import json

from taquba import Queue, RunSpec, Step, StepOutcome, WorkflowRuntime


async def translate(step: Step) -> StepOutcome:
    """One part; tried again alone if it fails."""
    return StepOutcome.Succeed(step.payload.upper())


async def main() -> None:
    """A book of a hundred chapters."""
    queue = await Queue.open("memory://")
    parts = WorkflowRuntime(queue, translate, queue_name="chapters")

    async def translate_book(step: Step) -> StepOutcome:
        texts: list[str] = json.loads(step.payload)
        ids = [f"{step.run_id}-{number}" for number in range(len(texts))]  # safe to submit twice
        if step.step_number == 0:
            pairs = zip(texts, ids, strict=True)
            await parts.submit_many(RunSpec(text.encode(), run_id=part) for text, part in pairs)
            return StepOutcome.Continue(step.payload)
        ends = await asyncio.gather(*(parts.handle(part).outcome() for part in ids))
        if failed := [end.run_id for end in ends if end.result is None]:
            return StepOutcome.Fail(f"not translated: {', '.join(failed)}")
        return StepOutcome.Succeed(b" / ".join(end.result or b"" for end in ends))

    books = WorkflowRuntime(queue, translate_book, queue_name="books")
    async with queue, parts, books:
        texts = json.dumps([f"chapter {number}" for number in range(100)]).encode()
        book = await books.submit(RunSpec(texts, run_id="book-1"))
        text = (await book.outcome(timeout=20)).result or b""
    print(text.count(b"/") + 1, "chapters:", text[:21].decode(), "...", text[-10:].decode())


if __name__ == "__main__":
    asyncio.run(main())

# Output:
#
# 100 chapters: CHAPTER 0 / CHAPTER 1 ... CHAPTER 99
