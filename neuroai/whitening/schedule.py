r"""Step of a streaming estimate: large after a change of statistics, small while nothing changes.

While statistics hold, steps of :math:`c / (t + t_0)` average all samples since the last change, so the
error keeps falling. A fast average of the drives far above its usual size marks a change: ``t`` restarts.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["AdaptiveStep"]


@dataclass
class AdaptiveStep:
    r"""Step sizes for a stochastic approximation that must follow sudden changes.

    Parameters
    ----------
    largest : float
        Step right after a change, in (0, 1); ``t0 = gain / largest``.
    smallest : float
        Step after a long time without change; its inverse is the memory, in samples.
    gain : float
        ``c``: 1 averages evenly; less trusts late samples less.
    window : int
        Samples of the fast average that watches for a change.
    threshold : float
        A change is a fast average this many standard deviations above its usual size. The size is the cube
        root of a sum of squares, which is close to normal (Wilson and Hilferty 1931).

    Notes
    -----
    Time and memory ``O(k)`` a sample for ``k`` drives.

    Examples
    --------
    >>> import numpy as np
    >>> rng, step = np.random.default_rng(0), AdaptiveStep()
    >>> steps = [step.next(rng.standard_normal(20) ** 2 - 1) for _ in range(1000)]
    >>> bool(steps[-1] < 2e-3), step.changes
    (True, [])
    >>> steps = [step.next(4 * rng.standard_normal(20) ** 2 - 1) for _ in range(30)]
    >>> len(step.changes), bool(max(steps) > 0.02)
    (1, True)
    """

    largest: float = 1 / 30
    smallest: float = 1 / 3000
    gain: float = 0.7
    window: int = 25
    threshold: float = 6.0
    changes: list[int] = field(default_factory=list, init=False)
    _seen: int = field(default=0, init=False)
    _since: int = field(default=0, init=False)
    _fast: NDArray[np.float64] | None = field(default=None, init=False)
    _usual: float = field(default=0.0, init=False)
    _spread: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if not 0 < self.smallest <= self.largest < 1:
            raise ValueError(
                f"steps must satisfy 0 < smallest <= largest < 1; found {self.smallest} and {self.largest}"
            )

    def next(self, drive: NDArray[np.float64]) -> float:
        """Step for this sample, given its drives (k,): zero on average while nothing changes."""
        fast = np.zeros_like(drive) if self._fast is None else self._fast
        self._fast = fast + (drive - fast) / self.window
        self._watch(float(np.cbrt(self._fast @ self._fast)))
        step = max(self.smallest, self.gain / (self._since + self.gain / self.largest))
        self._since += 1
        self._seen += 1
        return step

    def _watch(self, size: float) -> None:
        """Restart when the fast average is far above its usual size, which is learned between changes."""
        settled = self._since - 4 * self.window
        if settled < 0:
            return
        excess = size - self._usual
        if settled >= 4 * self.window and excess > self.threshold * np.sqrt(self._spread):
            self.changes.append(self._seen)
            self._since = 0
            return
        # An even average at first, which then forgets over 1000 samples.
        weight = 1 / min(1000, settled + 1)
        self._usual += weight * excess
        self._spread += weight * (excess**2 * (1 - weight) - self._spread)
