"""All scenarios, in the order in which they are measured."""

from typing import Final

from taquba.bench._scenario import Scenario
from taquba.bench._scenarios.drain import DRAIN
from taquba.bench._scenarios.drift import DRIFT
from taquba.bench._scenarios.enqueue import ENQUEUE
from taquba.bench._scenarios.idle import IDLE
from taquba.bench._scenarios.memos import MEMOS
from taquba.bench._scenarios.open import OPEN
from taquba.bench._scenarios.payloads import PAYLOADS
from taquba.bench._scenarios.queue import QUEUE
from taquba.bench._scenarios.remote import REMOTE
from taquba.bench._scenarios.steady import STEADY
from taquba.bench._scenarios.steps import STEPS

__all__ = ["SCENARIOS"]

_ALL = (ENQUEUE, DRAIN, QUEUE, STEADY, STEPS, IDLE, MEMOS, OPEN, PAYLOADS, REMOTE, DRIFT)

SCENARIOS: Final[dict[str, Scenario]] = {scenario.name: scenario for scenario in _ALL}
"""By name."""
