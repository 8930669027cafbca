"""Waiting for what real time brings: due jobs, expired leases, retries.

The engine's clock is the machine's. A test therefore never asserts how long something took; it
waits for it with a generous bound, and fails with what it was waiting for.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from taquba import Claim, Queue

T = TypeVar("T")

WAIT_SECONDS_MAX = 20.0
LOOK_EVERY_SECONDS = 0.005


async def eventually(probe: Callable[[], Awaitable[T]], what: str) -> T:
    """Calls ``probe`` until it returns something true, and returns that."""
    try:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while not (found := await probe()):  # noqa: ASYNC110 - nothing to wait on
                await asyncio.sleep(LOOK_EVERY_SECONDS)
            return found
    except TimeoutError:
        raise AssertionError(f"still waiting after {WAIT_SECONDS_MAX} s: {what}") from None


async def claim_one(queue: Queue, name: str, lease: float = 30.0) -> Claim:
    """Waits for a claimable job and claims it."""

    async def probe() -> list[Claim]:
        return await queue.claim_batch(name, 1, lease=lease)

    claims = await eventually(probe, f"a claimable job in `{name}`")
    return claims[0]


async def drain(queue: Queue, name: str) -> list[Claim]:
    """Claims and acks everything that is claimable now, in the order of delivery."""
    taken: list[Claim] = []
    while claims := await queue.claim_batch(name, 100, lease=30.0):
        for claim in claims:
            await queue.ack(claim)
        taken += claims
    return taken
