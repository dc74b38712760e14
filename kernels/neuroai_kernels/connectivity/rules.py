"""What is drawn: connection rules, and the tables that turn random words into weights and delays.

A word of 32 bits becomes two normal deviates by the transform of Box and Muller (1958) with tabulated radius
and angle, in whole numbers: 12 bits choose one of 4,096 radii, 12 bits one of 4,096 angles. The deviates
choose a level of the projection's weight table (512 levels, 1/64 standard deviation apart) and of its delay
table (2,048 levels, 1/256 apart). No step rounds differently on another device, and a stored weight fits
9 bits.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from neuroai_kernels.errors import ShapeError

__all__ = [
    "ANGLE",
    "DELAY_LEVELS",
    "LEVEL_SHIFT_DELAY",
    "LEVEL_SHIFT_WEIGHT",
    "RADIUS",
    "TAG_DEVIATE",
    "TAG_SOURCE",
    "TAG_TARGET",
    "WEIGHT_LEVELS",
    "Connection",
    "Rule",
    "constant_delay",
    "constant_weight",
    "delay_table",
    "normal_delay",
    "normal_weight",
    "skip_table",
    "weight_table",
]

Rule = Literal["fixed_total", "fixed_outdegree", "fixed_indegree", "bernoulli"]

# Stream tags of counter word 2 (tag << 24), apart from those of the neuron update (0x40 and on).
TAG_SOURCE, TAG_TARGET, TAG_DEVIATE = 0x10, 0x11, 0x12

WEIGHT_LEVELS, DELAY_LEVELS = 512, 2048
# Deviates are whole numbers of 2^-16 standard deviations; levels cover -4 to 4.
LEVEL_SHIFT_WEIGHT, LEVEL_SHIFT_DELAY = 10, 8
_CELLS = 4096
_LONGEST_SKIP_TABLE = 1 << 14


def _radii() -> NDArray[np.int32]:
    """Radius of each cell of u in (0, 1), scaled by 2^13: its square is the cell's mean of -2 ln u."""
    edges = np.arange(_CELLS + 1) / _CELLS
    integral = np.zeros(_CELLS + 1)
    integral[1:] = edges[1:] - edges[1:] * np.log(edges[1:])
    radii: NDArray[np.int32] = np.rint(np.sqrt(2 * np.diff(integral) * _CELLS) * 2**13).astype(np.int32)
    return radii


#: int32 (4096,): radius times 2^13. With :data:`ANGLE`, ``radius * cosine >> 12`` is a deviate times 2^16.
RADIUS = _radii()
#: int32 (4096,): cosine times 2^15; the sine of cell j is entry ``j + 3072`` modulo 4096.
ANGLE = np.rint(np.cos(2 * np.pi * (np.arange(_CELLS) + 0.5) / _CELLS) * 2**15).astype(np.int32)


def weight_table(quantile: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> NDArray[np.float32]:
    """Weights of a distribution given as a function of a standard normal deviate.

    Examples
    --------
    >>> import numpy as np
    >>> lognormal = weight_table(lambda z: np.exp(0.5 * z))
    >>> lognormal.shape, bool((lognormal > 0).all())
    ((512,), True)
    """
    deviates = (np.arange(WEIGHT_LEVELS) - WEIGHT_LEVELS / 2 + 0.5) / 2 ** (16 - LEVEL_SHIFT_WEIGHT)
    return np.asarray(quantile(deviates), np.float32)


def delay_table(quantile: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> NDArray[np.uint8]:
    """Delays in steps of a distribution given as a function of a standard normal deviate, rounded to nearest.

    Raises
    ------
    ShapeError
        If a delay is not 1 to 255 steps after rounding.
    """
    deviates = (np.arange(DELAY_LEVELS) - DELAY_LEVELS / 2 + 0.5) / 2 ** (16 - LEVEL_SHIFT_DELAY)
    steps = np.floor(np.asarray(quantile(deviates), np.float64) + 0.5)
    if steps.min() < 1 or steps.max() > 255:
        raise ShapeError(f"delays of {steps.min():.0f} to {steps.max():.0f} steps: expected 1 to 255")
    return steps.astype(np.uint8)


def normal_weight(
    mean: float, deviation: float, low: float = -np.inf, high: float = np.inf
) -> NDArray[np.float32]:
    """Table of normal weights clipped to [low, high] (and to four standard deviations).

    Examples
    --------
    >>> table = normal_weight(87.8, 8.78, low=0.0)
    >>> round(float(table.mean()), 4)
    87.8
    """
    return weight_table(lambda z: np.clip(mean + deviation * z, low, high))


def constant_weight(weight: float) -> NDArray[np.float32]:
    """Table of one weight."""
    return weight_table(lambda z: np.full(len(z), weight))


def normal_delay(mean: float, deviation: float, low: float = 1, high: float = 255) -> NDArray[np.uint8]:
    """Table of normal delays in steps, rounded to the grid, then clipped to [low, high].

    Examples
    --------
    >>> table = normal_delay(15.0, 7.5, high=63)
    >>> int(table.min()), int(table[1024]), int(table.max())
    (1, 15, 45)
    """
    return delay_table(lambda z: np.clip(np.floor(mean + deviation * z + 0.5), low, high))


def constant_delay(steps: int) -> NDArray[np.uint8]:
    """Table of one delay in steps."""
    return delay_table(lambda z: np.full(len(z), float(steps)))


@dataclass(frozen=True)
class Connection:
    """A projection before its synapses are drawn.

    Attributes
    ----------
    rule : {"fixed_total", "fixed_outdegree", "fixed_indegree", "bernoulli"}
        Both ends of each synapse uniform; targets of each source uniform; sources of each target uniform;
        each pair with a probability. The first three draw with replacement: a pair may have several
        synapses, and a neuron may reach itself.
    amount : int or float
        Number of synapses; synapses a source; synapses a target; probability.
    first_source, n_sources : int
        Sources are rows ``first_source`` and on of the table.
    first_target, n_targets : int
        Flat input indices, ``channel * n_neurons + neuron``.
    weights : float32 array (512,)
        By level, see :func:`normal_weight`.
    delays : uint8 array (2048,)
        By level, see :func:`normal_delay`.
    stream : int
        Number of the projection, below 2^24: no two share random numbers.

    Raises
    ------
    ShapeError
        If the rule is unknown or a value is out of range.
    """

    rule: Rule
    amount: float
    first_source: int
    n_sources: int
    first_target: int
    n_targets: int
    weights: NDArray[np.float32] = field(repr=False)
    delays: NDArray[np.uint8] = field(repr=False)
    stream: int

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if self.rule not in get_args(Rule):
            raise ShapeError(f"rule={self.rule!r}: expected one of {', '.join(get_args(Rule))}")
        if self.rule == "bernoulli" and not 0 <= self.amount <= 1:
            raise ShapeError(f"amount={self.amount} of rule 'bernoulli': expected a probability")
        if self.rule != "bernoulli" and (self.amount < 0 or self.amount != int(self.amount)):
            raise ShapeError(f"amount={self.amount} of rule {self.rule!r}: expected a number of synapses")
        if min(self.n_sources, self.n_targets) < 1 or min(self.first_source, self.first_target) < 0:
            raise ShapeError(
                f"{self.n_sources} sources from {self.first_source}, {self.n_targets} targets from "
                f"{self.first_target}: expected at least one of each"
            )
        if self.first_target + self.n_targets > 1 << 31 or self.first_source + self.n_sources > 1 << 31:
            raise ShapeError("indices of sources and targets are below 2^31")
        if not 0 <= self.stream < 1 << 24:
            raise ShapeError(f"stream={self.stream}: expected 0 to {(1 << 24) - 1}")
        for name, levels, dtype in (("weights", WEIGHT_LEVELS, "float32"), ("delays", DELAY_LEVELS, "uint8")):
            table = getattr(self, name)
            if table.shape != (levels,) or table.dtype != dtype:
                raise ShapeError(
                    f"{name} are {table.dtype} {table.shape}: expected a table {dtype} ({levels},), see "
                    "normal_weight and normal_delay"
                )
        if self.delays.min() < 1:
            raise ShapeError("delay 0: a spike arrives one step after it was found at the earliest")


def skip_table(probability: float) -> NDArray[np.uint32]:
    r"""Thresholds of the geometric distribution: the number of targets skipped before the next synapse.

    A word above entry k skips more than k targets. A word above them all skips the table's length and draws
    again: the distribution has no memory, so this is exact. Entry k is
    :math:`2^{32} (1 - (1 - p)^{k + 1}) - 1`.
    """
    if probability >= 1:
        return np.array([0xFFFFFFFF], np.uint32)
    length = 1
    while length < _LONGEST_SKIP_TABLE and length * probability < 3:
        length *= 2
    reached = -np.expm1((np.arange(length) + 1) * np.log1p(-probability))
    return np.asarray((np.rint(reached * 2.0**32) - 1).clip(0, 0xFFFFFFFE), np.uint32)
