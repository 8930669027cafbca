"""The lanes: how each is run, and at what size."""

import sys
from dataclasses import dataclass

from tests.simulator import program

# What the sizes below take on two cores, measured; a night is scaled by it.
FULL_HOURS = 1.5


@dataclass(frozen=True)
class Lane:
    """One kind of test that runs for long."""

    name: str
    about: str
    command: tuple[str, ...]
    """`{size}` is how much, `{start}` and `{end}` are seeds, `{seed}` is one."""
    size: int
    grows: bool = True
    """Whether a longer night makes it larger."""

    def arguments(self, factor: float, seed: int) -> list[str]:
        """The command at a size, from a seed on."""
        size = round(self.size * factor) if self.grows else self.size
        values = {"size": size, "start": seed, "end": seed + size, "seed": seed}
        return [part.format(**values) for part in self.command]


def python_lane(name: str, about: str, size: int, *, grows: bool = True) -> Lane:
    """A lane that is a package of the tests."""
    command = (sys.executable, "-m", f"tests.{name}", "--size", "{size}", "--seed", "{seed}")
    return Lane(name, about, command, size, grows)


def all_lanes() -> list[Lane]:
    """Every lane, at its full size."""
    seeds = ("--seeds", "{start}..{end}")
    return [
        Lane(
            "lane-a",
            "the engine on a log in memory with an explicit durable frontier",
            (str(program()), "lane-a", *seeds, "--operations", "2000"),
            10_000,
        ),
        Lane(
            "lane-b",
            "the engine on the storage engine, on a store that misbehaves",
            (str(program()), "lane-b", *seeds),
            400,
        ),
        Lane(
            "hostile-stores",
            "rows, ids, URLs and whole stores that nobody of ours has written",
            (str(program()), "hostile", *seeds),
            1_000,
        ),
        python_lane("kill", "SIGKILL of a service with everything in it", 1_000),
        python_lane("faults", "stopped owners, races, full disks, clocks, hostile runners", 50),
        python_lane("power", "what a disk may hold after the loss of power", 2_000),
        python_lane("corruption", "every kind of stored object, damaged", 5_000),
        python_lane("hostile", "every public argument, given what it does not expect", 100_000),
        python_lane("model", "random programs against a model in plain Python", 2_000),
        python_lane("interruption", "every operation cancelled at every turn", 1, grows=False),
        Lane(
            "planted",
            "bugs that the simulator has to find",
            (sys.executable, "-m", "tests.planted"),
            1,
            grows=False,
        ),
    ]
