"""For tests of code that uses taquba: queues in memory, virtual time, stores that fail, crashes.

`taquba.testing.plugin` is a plugin of pytest with fixtures; pytest finds it by itself.
"""

from taquba.testing._chaos import ChaosStore, Fault, FaultRule, Operation
from taquba.testing._clock import VirtualClock
from taquba.testing._crash_test import crash_test
from taquba.testing._places import Place
from taquba.testing._points import CrashPoint, Delivery, Moment
from taquba.testing._queue import open_queue
from taquba.testing._report import CrashReport, Finding

__all__ = [
    "ChaosStore",
    "CrashPoint",
    "CrashReport",
    "Delivery",
    "Fault",
    "FaultRule",
    "Finding",
    "Moment",
    "Operation",
    "Place",
    "VirtualClock",
    "crash_test",
    "open_queue",
]
