"""What the service does for its customers. Yours goes here.

Knows nothing of HTTP: it is called with a step, at least once, by whichever process owns the store.
"""

import asyncio

from pydantic import BaseModel

from taquba import Step, StepOutcome


class Work(BaseModel):
    """One piece of work, as it is stored. A new field needs a default: stored work is older."""

    text: str
    seconds: float = 0.0


class Report(BaseModel):
    """What becomes of it."""

    words: int


async def count_words(step: Step) -> StepOutcome:
    """Counts words, as slowly as it was asked to: so that a deploy can be watched."""
    work = Work.model_validate_json(step.payload)
    if work.seconds:
        await asyncio.sleep(work.seconds)
    report = Report(words=len(work.text.split()))
    return StepOutcome.Succeed(report.model_dump_json().encode())
