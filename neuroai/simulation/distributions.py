"""Distributions of weights, delays and initial states, each a quantile function of a normal deviate."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

__all__ = ["Distribution", "Lognormal", "Normal", "Uniform", "as_distribution"]

Array = NDArray[np.float64]


class Distribution(Protocol):
    """Values by quantile; a plain number in its place means that value always."""

    def quantile(self, z: Array) -> Array:
        """Values at standard normal deviates ``z``."""
        ...


@dataclass(frozen=True)
class _Constant:
    value: float

    def quantile(self, z: Array) -> Array:
        return np.full(z.shape, float(self.value))


@dataclass(frozen=True)
class Normal:
    """Normal, clipped to [low, high].

    Examples
    --------
    >>> Normal(1.5, 0.75, low=0.1).quantile(np.array([-3.0, 0.0])).tolist()
    [0.1, 1.5]
    """

    mean: float
    sd: float
    low: float = -np.inf
    high: float = np.inf

    def quantile(self, z: Array) -> Array:
        """Values at standard normal deviates."""
        return np.clip(self.mean + self.sd * z, self.low, self.high)


@dataclass(frozen=True)
class Lognormal:
    """Times ``sign``, a lognormal of the given median and standard deviation of the logarithm."""

    median: float
    sigma: float
    sign: float = 1.0

    def quantile(self, z: Array) -> Array:
        """Values at standard normal deviates."""
        return self.sign * self.median * np.exp(self.sigma * z)


@dataclass(frozen=True)
class Uniform:
    """Uniform between two bounds.

    Examples
    --------
    >>> Uniform(-60.0, -50.0).quantile(np.array([0.0])).tolist()
    [-55.0]
    """

    low: float
    high: float

    def quantile(self, z: Array) -> Array:
        """Values at standard normal deviates."""
        return np.asarray(self.low + (self.high - self.low) * ndtr(z), dtype=np.float64)


def as_distribution(value: "float | Distribution") -> Distribution:
    """The distribution itself, or that of a number."""
    return _Constant(float(value)) if isinstance(value, int | float | np.number) else value
