"""All rows."""

from typing import Final

from tests.hostile.queue_rows import QUEUE_ROWS
from tests.hostile.row import Row
from tests.hostile.run_rows import RUN_ROWS
from tests.hostile.value_rows import VALUE_ROWS

__all__ = ["BOUNDARIES", "ROWS"]

ROWS: Final[dict[str, Row]] = {**QUEUE_ROWS, **VALUE_ROWS, **RUN_ROWS}

BOUNDARIES: Final[list[tuple[str, str]]] = [
    (call, argument) for call, row in ROWS.items() for argument in row.kinds
]
"""Every argument of every call."""
