"""Many damages: each to a copy of a sound store, which is verified, opened, read and judged."""

import asyncio
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from taquba.exceptions import TaqubaError
from taquba.queue import VerifyReport, verify
from tests.corruption import damage as damages
from tests.corruption.damage import Damage
from tests.corruption.judging import Outcome, is_named, judge
from tests.corruption.reading import read
from tests.corruption.templates import Template, make_disk, make_objects, make_records
from tests.scratch import scratch

# A refused open tries again for most of a second, so several wait side by side.
AT_ONCE = 12
# An open that hangs answers within its timeouts, which are shorter.
SECONDS_MAX = 100.0
FOUND_MAX = 50


@dataclass
class Counters:
    """What came of many damages."""

    mutations: int = 0
    right_data: int = 0
    refused_typed: int = 0
    refused_unnamed: int = 0
    isolated: int = 0
    quarantined: int = 0
    verify_found: int = 0
    verify_refused: int = 0
    verify_unnamed: int = 0
    violations: int = 0
    found: list[str] = field(default_factory=list)
    by_kind: Counter[str] = field(default_factory=Counter)
    unnamed: Counter[str] = field(default_factory=Counter)


async def make_templates(root: Path) -> list[Template]:
    """All the sound stores."""
    return [await make_disk(root), await make_objects(root), await make_records(root)]


async def run(size: int, seed: int, *, only: int | None = None, tells: bool = False) -> Counters:
    """Try so many damages.

    Args:
        size: How many.
        seed: Which.
        only: The one with this number alone.
        tells: Whether progress is printed.
    """
    counters = Counters()
    with scratch("corruption") as root:
        templates = await make_templates(root)
        numbers = iter(range(sys.maxsize) if only is None else [only])
        begun = time.monotonic()

        async def work() -> None:
            for number in numbers:
                if counters.mutations >= size:
                    return
                chosen = damages.choose(templates, seed, number)
                if chosen is None:
                    continue
                counters.mutations += 1
                if tells and counters.mutations % 500 == 0:
                    passed = time.monotonic() - begun
                    print(f"{counters.mutations} mutations in {passed:.0f} s", flush=True)
                await _try(chosen, root / f"copy-{number}", f"{seed} --only {number}", counters)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(work())
    return counters


async def _try(damage: Damage, copy: Path, which: str, counters: Counters) -> None:
    try:
        damages.copy_with(damage, copy)
        async with asyncio.timeout(SECONDS_MAX):
            wrong = await _probe(damage, copy, counters)
    except TimeoutError:
        wrong = ["hangs"]
    except Exception as error:  # noqa: BLE001 - whatever it is, it is no error of ours
        wrong = [f"raised {error!r}"]
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    if wrong:
        counters.violations += 1
        if len(counters.found) < FOUND_MAX:
            again = f"python -m tests.corruption --size 1 --seed {which}"
            counters.found.append(f"{damage}: {'; '.join(wrong)}\n    {again}")


async def _probe(damage: Damage, copy: Path, counters: Counters) -> Sequence[str]:
    report = await _verified(copy)
    seen = await read(copy)
    outcome, wrong = judge(damage, seen, report)
    setattr(counters, outcome.value, getattr(counters, outcome.value) + 1)
    counters.by_kind[f"{damage.kind} {damage.how.split()[0]} {outcome.value}"] += 1
    counters.quarantined += seen.quarantined_count
    if outcome is Outcome.REFUSED and not is_named(damage, str(seen.refusal)):
        counters.refused_unnamed += 1
        counters.unnamed[f"{damage.kind}: {str(seen.refusal)[-160:]}"] += 1
    if outcome is Outcome.REFUSED and report is not None:
        told = " ".join(f"{problem.object} {problem.detail}" for problem in report.problems)
        if not is_named(damage, told):
            counters.verify_unnamed += 1
            counters.unnamed[f"verify of {damage.kind} {damage.how}: {told[:200]}"] += 1
    if report is None:
        counters.verify_refused += 1
    elif not report.is_clean:
        counters.verify_found += 1
    return wrong


async def _verified(copy: Path) -> VerifyReport | None:
    try:
        return await verify(copy, store_timeout=8.0)
    except TaqubaError as error:
        if error.code == "internal":
            raise
        return None
