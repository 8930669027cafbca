"""A function that is called durably: typed input, typed result, charged once per invoice.

Values travel as JSON, so it needs the extra `taquba[typed]`.

    python examples/typed_task.py
"""

import asyncio
from dataclasses import dataclass

from taquba import Queue, RunSpec, Step, StepOutcome, WorkflowRuntime


@dataclass
class Invoice:
    """What is submitted."""

    customer: str
    cents: int


@dataclass
class Receipt:
    """What comes back."""

    total: str


async def charge(step: Step) -> StepOutcome:
    """Charges; give `step.run_id` to the bank, so that a second delivery charges nothing."""
    invoice = step.load(Invoice)
    return StepOutcome.Succeed(Receipt(f"{invoice.customer} pays {invoice.cents / 100:.2f} EUR"))


async def main() -> None:
    """Submits one invoice twice, and a hundred others."""
    async with Queue.open("memory://") as queue, WorkflowRuntime(queue, charge) as runtime:
        for _ in range(2):  # a caller that did not hear the answer asks again
            handle = await runtime.submit(RunSpec(Invoice("ada", 1999), run_id="invoice-1"))
            receipt = (await handle.outcome()).load(Receipt)
            print(receipt.total, "(new)" if handle.newly_submitted else "(known)")

        handles = await runtime.submit_many(RunSpec(Invoice("bob", cents)) for cents in range(100))
        receipts = [(await handle.outcome()).load(Receipt) for handle in handles]
    print(len(receipts), "more, the last one:", receipts[-1].total)


if __name__ == "__main__":
    asyncio.run(main())

# Output:
#
# ada pays 19.99 EUR (new)
# ada pays 19.99 EUR (known)
# 100 more, the last one: bob pays 0.99 EUR
