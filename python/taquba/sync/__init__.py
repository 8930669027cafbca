"""taquba for threads: the same names, and every call blocks.

One event loop in a thread of its own does the work of the whole process. Values, options and errors
are those of `taquba`. A waiting call leaves the interpreter to other threads, and Ctrl-C ends it.
"""

from taquba.sync._queue import Queue
from taquba.sync._reader import QueueReader
from taquba.sync._worker import Worker, run_worker

__all__ = ["Queue", "QueueReader", "Worker", "run_worker"]
