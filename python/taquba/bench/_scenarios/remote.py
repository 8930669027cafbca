"""Steps on a store that takes 20 ms for each request, as one in the cloud does."""

from taquba.bench._lab import Lab
from taquba.bench._result import Case
from taquba.bench._scenario import Bars, Curves, Scenario
from taquba.bench._scenarios.steps import measure_closed

_STORE = "slow:20"
_IN_FLIGHT = 2_000


async def measure(lab: Lab) -> list[Case]:
    """Measures the closed loop with many runs in flight."""
    count = lab.count(20_000, 4_000)
    rounds = await measure_closed(lab, _IN_FLIGHT, count)
    return [Case(f"{_IN_FLIGHT:,} runs in flight", "step", rounds)]


REMOTE = Scenario(
    name="remote",
    summary="runs of 10 no-op steps, 2,000 in flight, on a store of 20 ms (whatever --store says)",
    measure=measure,
    columns=("per_second", "cpu_us_each", "puts_per_1000", "put_kib_per_1000"),
    panels=(Bars("per_second"), Bars("cpu_us_each"), Curves("time of a run of 10 steps")),
    choose_store=lambda _store: _STORE,
)
