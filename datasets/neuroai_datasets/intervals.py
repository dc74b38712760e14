"""Half-open stretches of time: runs, trials, epochs."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuroai_datasets.errors import DataError

Times = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Intervals:
    """Disjoint intervals ``[start, stop)`` in ascending order.

    Parameters
    ----------
    start, stop : array-like (n,)
        Seconds.

    Raises
    ------
    DataError
        When an interval is empty, or two overlap.

    Examples
    --------
    >>> runs = Intervals([0.0, 10.0], [5.0, 15.0])
    >>> runs.index([4.0, 5.0, 10.0]).tolist()
    [0, -1, 1]
    """

    start: Times
    stop: Times

    def __post_init__(self) -> None:
        start, stop = np.asarray(self.start, dtype=np.float64), np.asarray(self.stop, dtype=np.float64)
        if start.ndim != 1 or start.shape != stop.shape or not np.isfinite([start, stop]).all():
            raise DataError(
                f"start {start.shape} and stop {stop.shape}: expected finite seconds of one length"
            )
        bad = np.flatnonzero(stop <= start)
        if bad.size:
            raise DataError(f"interval {int(bad[0])} is empty: {start[bad[0]]} to {stop[bad[0]]} s")
        bad = np.flatnonzero(start[1:] < stop[:-1])
        if bad.size:
            raise DataError(f"interval {int(bad[0]) + 1} starts before interval {int(bad[0])} ends")
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "stop", stop)

    def __len__(self) -> int:
        return len(self.start)

    def index(self, times: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Number of the interval that holds each time (seconds), -1 for none."""
        values = np.asarray(times, dtype=np.float64)
        found = np.searchsorted(self.start, values, side="right") - 1
        inside = (found >= 0) & (values < self.stop[np.maximum(found, 0)])
        return np.where(inside, found, -1).astype(np.int64)

    def duration(self) -> Times:
        """Length of each interval, seconds."""
        return self.stop - self.start
