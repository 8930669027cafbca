"""Holds what operations of the state machine and the codec cost, in instructions and allocations.

python benches/instructions.py            # counts, and compares with benches/instructions.json
python benches/instructions.py --accept   # holds what is counted now
python benches/instructions.py --top 15   # shows the costliest functions of each operation

Two runs count the same, whatever else the machine does. What counts is the code of this repository
and of the crates it uses. The C library is another one elsewhere: of it only the calls of the
allocator are held. Another compiler makes other code, so counts are compared for one compiler.

An operation may cost 3 % more or less than what is held. What costs more is a regression, or has a
reason that the commit gives which accepts it. What costs less is accepted too: the next regression
would hide in it.
"""

import argparse
import json
import os
import sys
from pathlib import Path

if not __package__:
    # Run as a script: what is beside this file is imported as it is from a test.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benches import callgrind

HELD = Path(__file__).with_suffix(".json")
TOLERANCE = 0.03
ACCEPT = f"python benches/{Path(__file__).name} --accept"

# By operation: `instructions` and `allocations`, each per operation.
Costs = dict[str, dict[str, float]]


def change(before: float, now: float) -> str:
    """A change in percent, if there is one."""
    return f"{now / before - 1:+.1%}" if before and now != before else ""


def complaints(held: Costs, now: Costs) -> list[str]:
    """What has changed by more than is tolerated, in words."""
    found = [f"{name}: held, but not counted any more" for name in held if name not in now]
    for name, costs in now.items():
        if name not in held:
            found.append(f"{name}: counted, but not held yet")
            continue
        for what, cost in costs.items():
            before = held[name][what]
            if abs(cost - before) > TOLERANCE * before:
                word = "more" if cost > before else "fewer"
                by = change(before, cost) or "from none"
                found.append(f"{name}: {word} {what} per operation, {before:,} -> {cost:,} ({by})")
    return found


def table(held: Costs, counted: list[callgrind.Counted]) -> str:
    """All operations, beside what is held. What the C library did besides is only shown."""
    rows = [("per operation", "instructions", "held", "", "allocations", "held", "in libc")]
    for one in counted:
        now, before = one.per_operation(), held.get(one.name, {})
        instructions = before.get("instructions", 0)
        rows.append(
            (
                one.name,
                f"{now['instructions']:,.1f}",
                f"{instructions:,.1f}",
                change(instructions, now["instructions"]),
                f"{now['allocations']:,.2f}",
                f"{before.get('allocations', 0):,.2f}",
                f"{one.profile.library / one.operation_count:,.0f}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        row[0].ljust(widths[0]) + "".join(map(lambda t, w: t.rjust(w + 2), row[1:], widths[1:]))
        for row in rows
    )


def top(counted: list[callgrind.Counted], count_max: int) -> str:
    """The functions where most instructions are, for each operation."""
    lines = ["self: without callees. all: with callees, the C library among them. Per operation."]
    for one in counted:
        lines += ["", f"{'self':>10}{'all':>10}  {one.name}"]
        for function, own in one.profile.own.most_common(count_max):
            both = (own, one.profile.inclusive[function])
            figures = "".join(f"{cost / one.operation_count:>10,.1f}" for cost in both)
            lines.append(f"{figures}    {function}")
    return "\n".join(lines)


def missing(what: str) -> int:
    """Goes on without, loudly, on a developer's machine; fails where everything has to be there."""
    if os.environ.get("CI") == "true":
        print(f"needed for a complete run: {what}", file=sys.stderr)
        return 1
    return not_compared(f"MISSING: {what}")


def not_compared(reason: str) -> int:
    """Says that nothing was held. Returns the exit status."""
    print(f"!!! {reason}. Instructions were NOT COMPARED.", file=sys.stderr)
    return 0


def judge(held: Costs, now: Costs) -> int:
    """Says how the costs differ from those that are held. Returns the exit status."""
    found = complaints(held, now)
    for complaint in found:
        print(f"FAILED  {complaint}", file=sys.stderr)
    if found:
        print(
            f"{TOLERANCE:.0%} more or less are tolerated. Where they come from: `--top 15`."
            f" If they are meant to stay, and whenever they are fewer:\n\n    {ACCEPT}\n\n"
            "and say in the commit why.",
            file=sys.stderr,
        )
    return 1 if found else 0


def accept(compiler: str, now: Costs) -> int:
    """Holds these costs from now on."""
    HELD.write_text(json.dumps({"compiler": compiler, "operations": now}, indent=2) + "\n")
    print(f"accepted: {HELD.name}")
    return 0


def main() -> int:
    """Counts, and compares or accepts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--accept", action="store_true", help="hold what is counted now")
    parser.add_argument("--top", type=int, metavar="N", help="show the N costliest functions")
    arguments = parser.parse_args()
    if callgrind.valgrind() is None:
        return missing("valgrind (on Debian: apt-get install valgrind)")
    kept = json.loads(HELD.read_text()) if HELD.exists() else {"compiler": None, "operations": {}}
    compiler, counted = callgrind.compiler(), callgrind.count()
    now = {one.name: one.per_operation() for one in counted}
    print(table(kept["operations"], counted))
    if arguments.top:
        print(top(counted, arguments.top))
    if arguments.accept:
        return accept(compiler, now)
    if kept["compiler"] != compiler:
        held_for = f"costs are held for {kept['compiler']}, and this is {compiler}; {ACCEPT}"
        return not_compared(held_for)
    return judge(kept["operations"], now)


if __name__ == "__main__":
    sys.exit(main())
