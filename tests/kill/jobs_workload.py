"""Plain jobs of a process that is killed: who enqueues, works on, cancels and counts them.

Everything that is asked and seen goes to the history. What becomes of a job is drawn from the
process's own random numbers; the judgement needs no plan, because the history has it all.
"""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from typing import Any

from taquba import (
    PRIORITY_HIGH,
    Claim,
    Effects,
    EnqueueOptions,
    JobCancelled,
    NewJob,
    PermanentFailure,
    Queue,
    TransientFailure,
    run_worker,
)
from taquba.exceptions import ClaimLostError, JobNotFoundError, WrongJobStateError
from tests.kill.recording import Fields, Recorder
from tests.kill.shown import claim_fields, filled, job_fields, text_of

PULLED = "pulled"
PUSHED = "pushed"
DERIVED = "derived"
FOLLOWUPS = "followups"
COUNTER = "counter"

# Above this a payload is an object of its own.
OFFLOAD_BYTES = 4096
LARGE_BYTES = 6000
# A job whose process is killed many times shall still be done, unless it is there to be given up.
MANY_ATTEMPTS = 10_000
DEDUP_KEY_COUNT = 4
REMEMBERED_COUNT = 50
LEASE_SECONDS = 30.0
SHORT_LEASE_SECONDS = 0.02


class JobsWorkload:
    """One process's plain jobs.

    Args:
        queue: The open store.
        recorder: Where everything is noted.
        rng: What the process does is drawn from it.
    """

    def __init__(self, queue: Queue, recorder: Recorder, rng: random.Random) -> None:
        self.queue = queue
        self.recorder = recorder
        self.rng = rng
        self.names = (f"o{recorder.owner}-{number}" for number in itertools.count())
        self.remembered: list[str] = []
        self.shutdown = asyncio.Event()

    def producers(self) -> list[Awaitable[None]]:
        """Who adds jobs and keys, until cancelled."""
        return [
            self.enqueue_forever(count_max=1),
            self.enqueue_forever(count_max=12),
            self.enqueue_same_forever("waiting"),
            self.enqueue_same_forever("settled"),
            self.cancel_forever(),
            self.count_forever(),
            self.count_forever(),
        ]

    def workers(self) -> list[Awaitable[None]]:
        """Who works on them, until `shutdown` is set."""
        pushed = run_worker(self.queue, PUSHED, self.process, shutdown=self.shutdown)
        pulled = [
            self.pull(name, count) for name in (PULLED, DERIVED, FOLLOWUPS) for count in (1, 8)
        ]
        return [pushed, *pulled]

    # Enqueueing.

    def new_job(self) -> tuple[NewJob, Fields]:
        """A job, and what the history says of it."""
        rng, name = self.rng, next(self.names)
        payload = filled(name, LARGE_BYTES if rng.random() < 0.05 else 0)
        delay = rng.choice((None, None, None, 0.0, rng.uniform(0, 0.2)))
        priority = rng.choice((None, PRIORITY_HIGH))
        headers = {"of": name} if rng.random() < 0.3 else {}
        max_attempts = rng.choice((1, 2, 3, MANY_ATTEMPTS, MANY_ATTEMPTS, MANY_ATTEMPTS))
        options = EnqueueOptions(
            delay=delay, priority=priority, headers=headers, max_attempts=max_attempts
        )
        fields = {
            "payload": text_of(payload),
            "headers": headers,
            "priority": priority,
            "delay_ms": None if delay is None else int(delay * 1000),
            "max_attempts": max_attempts,
        }
        return NewJob(payload, options), fields

    async def enqueue_forever(self, count_max: int) -> None:
        """Adds jobs, alone or in batches."""
        while True:
            count = self.rng.randint(1, count_max)
            jobs = [self.new_job() for _ in range(count)]
            name = self.rng.choice((PULLED, PUSHED))
            ids = await self.recorder.call(
                "enqueue",
                {"queue": name, "jobs": [fields for _, fields in jobs]},
                self.queue.enqueue_batch(name, [job for job, _ in jobs]),
                lambda ids: {"enqueued": [{"job": job, "is_new": True} for job in ids]},
            )
            self.remembered = [*self.remembered, *ids][-REMEMBERED_COUNT:]
            await asyncio.sleep(self.rng.uniform(0, 0.01))

    async def enqueue_same_forever(self, scope: Any) -> None:
        """Adds jobs of which one at a time may be there."""
        while True:
            name, payload = self.rng.choice((PULLED, PUSHED)), next(self.names)
            key = f"{scope}-{self.rng.randrange(DEDUP_KEY_COUNT)}"
            options = EnqueueOptions(
                dedup_key=key, dedup_scope=scope, delay=0.01, max_attempts=MANY_ATTEMPTS
            )
            fields = {
                "payload": payload,
                "dedup_key": key,
                "is_dedup_until_settled": scope == "settled",
                "delay_ms": 10,
                "max_attempts": MANY_ATTEMPTS,
            }
            call = self.recorder.invoked("enqueue", queue=name, jobs=[fields])
            job = await self.queue.enqueue(name, payload.encode(), options)
            is_new = await self.payload_of(job) == payload
            self.recorder.answered(call, {"enqueued": [{"job": job, "is_new": is_new}]})
            await asyncio.sleep(self.rng.uniform(0, 0.01))

    async def payload_of(self, job: str) -> str | None:
        """What a job holds that is there, or that was delivered by this process.

        An enqueue returns the id of the job that has its key, and does not say whose that is. A
        job that is gone was delivered: those with a key are not cancelled.
        """
        try:
            return text_of((await self.queue.get_job(job)).payload or b"")
        except JobNotFoundError:
            return self.recorder.payloads.get(job)

    # Working.

    async def pull(self, name: str, count_max: int) -> None:
        """Claims jobs and settles them by hand."""
        while not self.shutdown.is_set():
            is_brief = self.rng.random() < 0.03
            lease = SHORT_LEASE_SECONDS if is_brief else LEASE_SECONDS
            fields = {"queue": name, "count_max": count_max, "lease_ms": int(lease * 1000)}
            if count_max == 1:
                fields["wait_ms"] = 20
                call = self.recorder.invoked("claim", **fields)
                claim = await self.queue.claim_with_wait(name, timeout=0.02, lease=lease)
                claims = [] if claim is None else [claim]
            else:
                call = self.recorder.invoked("claim", **fields)
                claims = await self.queue.claim_batch(name, count_max, lease=lease)
            tokens = [self.recorder.delivered(claim_fields(claim), call) for claim in claims]
            self.recorder.answered(call, {"claimed": len(claims)})
            # So long that the lease may be over.
            pause = SHORT_LEASE_SECONDS * 2 if is_brief else self.rng.uniform(0, 0.01)
            await asyncio.sleep(pause)
            settling = map(self.settle, claims, tokens)
            await asyncio.gather(*settling)

    async def settle(self, claim: Claim, token: str) -> None:
        """Ends a delivery in one way or another."""
        queue, draw = self.queue, self.rng.random()
        effects, told = Effects(), list[Fields]()
        if draw < 0.2 and claim.queue == PULLED:
            effects, told = self.effects_of(text_of(claim.payload), token)
        if self.rng.random() < 0.05:
            await self.renew(claim, token)
        made: Awaitable[None]
        verdict: Any
        if draw < 0.85 or claim.queue != PULLED:
            verdict, made = "ack", queue.ack_with(claim, effects) if told else queue.ack(claim)
        elif draw < 0.95:
            wait = self.rng.choice((None, 0.005))
            verdict = {"nack": {"error": "not yet", "retry_after_ms": None if wait is None else 5}}
            made = queue.nack(claim, "not yet", retry_after=wait)
        else:
            verdict, made = {"dead_letter": {"reason": "never"}}, queue.dead_letter(claim, "never")
        fields = {"token": token, "verdict": verdict, "effects": told}
        try:
            await self.recorder.call("settle", fields, made)
        except ClaimLostError:
            # It was brief, or cancelled; the history says which.
            return

    async def renew(self, claim: Claim, token: str) -> None:
        """Prolongs a lease, unless it is over."""
        fields = {"token": token, "lease_ms": int(LEASE_SECONDS * 1000)}
        try:
            await self.recorder.call("renew", fields, self.queue.renew(claim, LEASE_SECONDS))
        except ClaimLostError:
            return

    def effects_of(self, name: str, token: str) -> tuple[Effects, list[Fields]]:
        """A job and a key that appear with the settlement of a job, or not at all."""
        payload, key = f"derived:{token}:{name}", f"flag/{token}"
        effects = Effects().enqueue(DERIVED, payload.encode()).kv_put(key, name.encode())
        jobs = {"queue": DERIVED, "jobs": [{"payload": payload}]}
        return effects, [{"enqueue": jobs}, {"put": {"key": key, "value": name}}]

    async def process(self, job: Claim) -> Effects | None:
        """Does a job that was pushed here."""
        token = self.recorder.delivered(claim_fields(job))
        draw = self.rng.random()
        if draw < 0.3:
            await asyncio.sleep(self.rng.uniform(0, 0.01))
        if draw > 0.97:
            self.settling(token, {"dead_letter": {"reason": "never"}})
            raise PermanentFailure("never")
        if draw > 0.9:
            self.settling(token, {"nack": {"error": "not yet", "retry_after_ms": 5}})
            raise TransientFailure("not yet", retry_after=0.005)
        if draw > 0.85:
            self.settling(token, {"nack": {"error": "broken", "retry_after_ms": None}})
            raise RuntimeError("broken")
        effects, told = Effects(), list[Fields]()
        if draw < 0.1:
            effects, told = self.effects_of(text_of(job.payload), token)
        self.settling(token, "ack", told)
        return effects if told else None

    def settling(self, token: str, verdict: Any, effects: list[Fields] | None = None) -> None:
        """Notes how a delivery is about to end. The loop settles it: nobody hears of the answer."""
        told = [] if effects is None else effects
        self.recorder.invoked("settle", token=token, verdict=verdict, effects=told)

    # Cancelling and counting.

    async def cancel_forever(self) -> None:
        """Cancels jobs, wakes others, and looks at some."""
        while True:
            await asyncio.sleep(self.rng.uniform(0, 0.02))
            if not self.remembered:
                continue
            job, draw = self.rng.choice(self.remembered), self.rng.random()
            if draw < 0.5:
                await self.ask("cancel_job", job, self.queue.cancel(job), _cancelled)
            elif draw < 0.7:
                await self.ask("wake_job", job, self.queue.wake_scheduled(job))
            else:
                seen: Callable[[Any], Any] = lambda info: {"job": job_fields(info)}  # noqa: E731
                await self.ask("get_job", job, self.queue.get_job(job), seen)

    async def ask(
        self, op: str, job: str, made: Awaitable[Any], got: Callable[[Any], Any] | None = None
    ) -> None:
        """Makes a call about a job that may be gone."""
        try:
            await self.recorder.call(op, {"job": job}, made, got)
        except (JobNotFoundError, WrongJobStateError):
            return

    async def count_forever(self) -> None:
        """Adds one to a number that others count up too."""
        while True:
            found = await self.recorder.call(
                "kv_get", {"key": COUNTER}, self.queue.kv_get(COUNTER), _value
            )
            following = str(int(found or b"0") + 1)
            expected = None if found is None else found.decode()
            await self.recorder.call(
                "kv_swap",
                {"key": COUNTER, "expected": expected, "value": following},
                self.queue.kv_compare_put(COUNTER, found, following.encode()),
                lambda swapped: {"swapped": swapped},
            )
            await asyncio.sleep(self.rng.uniform(0, 0.01))


def _cancelled(became: JobCancelled) -> str:
    return "job_removed" if became is JobCancelled.REMOVED else "stop_requested"


def _value(value: bytes | None) -> Fields:
    return {"value": None if value is None else value.decode()}
