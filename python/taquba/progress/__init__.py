"""Progress of a batch of runs: counts, rate and time left, while they run."""

from taquba.progress._display import Display
from taquba.progress._progress import Progress
from taquba.progress._tracker import Tracker, track

__all__ = ["Display", "Progress", "Tracker", "track"]
