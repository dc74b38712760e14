"""The penalised likelihood of many units on one design, in coordinates in which columns have variance 1."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from neuroai.glm.design import Design
from neuroai.glm.links import Link, loss_and_slope, start_of

__all__ = ["Problem"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Problem:
    r"""A fit of every unit by itself, all on one design.

    .. math:: \min_{w, b} \frac{1}{\sum_t v_t} \sum_t v_t\,(f_t - y_t \log f_t)
              + \alpha_n \Big(\frac{1 - \rho}{2} \|w\|^2 + \rho \|w\|_1\Big), \quad f = \sigma(Zw + b).

    Points are (n_units, n_columns + 1): weights times the column's standard deviation, then the intercept of
    the centred columns. The penalty stays that of the weights themselves.

    Parameters
    ----------
    design : Design
        ``Z``.
    counts : ndarray (n_bins, n_units)
        ``y``.
    weights : ndarray (n_bins,)
        ``v``: 0 leaves a bin out (cross-validation), a posterior makes it count in part (hidden states).
    alpha : ndarray (n_units,)
    l1_ratio : float
        ``rho``, 0 to 1.
    link : {"exp", "softplus", "sigmoid"}
    allowed : bool ndarray (n_units, n_columns)
        False keeps a weight at 0.
    mean, sd : ndarray (n_columns,)
        Of the columns under ``weights``.
    """

    design: Design
    counts: Array
    weights: Array
    alpha: Array
    l1_ratio: float
    link: Link
    allowed: NDArray[np.bool_]
    mean: Array
    sd: Array

    @classmethod
    def of(
        cls,
        design: Design,
        counts: Array,
        *,
        weights: Array,
        alpha: Array,
        l1_ratio: float,
        link: Link,
        allowed: NDArray[np.bool_],
    ) -> Self:
        """Measure the columns, and pose the problem."""
        mean, sd = design.moments(weights)
        return cls(design, counts, weights, alpha, l1_ratio, link, allowed, mean, sd)

    @property
    def mean_counts(self) -> Array:
        """Weighted mean count of each unit."""
        found: Array = self.weights @ self.counts / self.weights.sum()
        return found

    @property
    def ridge(self) -> Array:
        """Quadratic penalty of each coordinate, (n_units, n_columns + 1): none on the intercept."""
        return self._per_coordinate((1 - self.l1_ratio) * self.alpha, self.sd**2)

    @property
    def lasso(self) -> Array:
        """Absolute penalty of each coordinate, (n_units, n_columns + 1)."""
        return self._per_coordinate(self.l1_ratio * self.alpha, self.sd)

    def subset(self, units: NDArray[np.intp]) -> "Problem":
        """The same problem for some of the units."""
        return replace(
            self, counts=self.counts[:, units], alpha=self.alpha[units], allowed=self.allowed[units]
        )

    def start(self) -> Array:
        """No weights, and the mean count (half a spike for a unit without any)."""
        point = np.zeros((self.counts.shape[1], self.design.shape[1] + 1))
        point[:, -1] = start_of(np.maximum(self.mean_counts, 0.5 / self.weights.sum()), self.link)
        return point

    def drive(self, point: Array) -> Array:
        """Linear drive (n_bins, n_units); linear in the point."""
        weights = point[:, :-1] / self.sd
        return self.design.drive(weights, point[:, -1] - weights @ self.mean)

    def smooth_value(self, drive: Array, point: Array) -> Array:
        """Loss and quadratic penalty of each unit."""
        loss = loss_and_slope(drive, self.counts, self.link).value
        fit = self.weights @ loss / self.weights.sum()
        value: Array = fit + 0.5 * (self.ridge * point**2).sum(axis=1)
        return value

    def gradient(self, drive: Array, point: Array) -> Array:
        """Gradient of :meth:`smooth_value`, 0 where a weight is not allowed."""
        slopes = loss_and_slope(drive, self.counts, self.link).slope * self.weights[:, None]
        slopes /= self.weights.sum()
        total = slopes.sum(axis=0)
        columns = (self.design.project(slopes) - total[:, None] * self.mean) / self.sd
        gradient = np.concatenate([columns * self.allowed, total[:, None]], axis=1)
        gradient += self.ridge * point
        return gradient

    def plain(self, point: Array) -> tuple[Array, Array]:
        """Weights (n_units, n_columns) and intercepts (n_units,) of the columns as they are."""
        weights = point[:, :-1] / self.sd
        return weights, point[:, -1] - weights @ self.mean

    def _per_coordinate(self, strength: Array, scale: Array) -> Array:
        penalty = np.zeros((len(strength), len(scale) + 1))
        penalty[:, :-1] = strength[:, None] / scale
        return penalty
