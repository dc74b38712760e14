"""Position from spike counts by naive Bayes over a grid of places."""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import DataError, ShapeError

__all__ = ["NaiveBayesPosition"]

Array = NDArray[np.float64]


class NaiveBayesPosition:
    r"""Decode the place at which counts are most probable, units being independent Poisson given the place.

    .. math:: \hat x = \arg\max_x \sum_n y_n \log \lambda_n(x) - \lambda_n(x) + \log p(x)

    Parameters
    ----------
    grid : (int, int)
        Places along both axes of the visited rectangle.
    smoothing : float
        Standard deviation of the Gaussian over occupancy and counts, in places.
    prior : bool
        Use the occupancy as ``p(x)``; otherwise all visited places are equally probable.

    Attributes
    ----------
    places_ : ndarray (n_places, 2)
        Centres of the places visited in training.
    rates_ : ndarray (n_places, n_units)
        Expected count a bin.

    Notes
    -----
    O(n_bins * n_places * n_units) time to predict. Source: Zhang, Ginzburg, McNaughton & Sejnowski (1998).

    Examples
    --------
    >>> x = np.repeat([[0.0, 0.0], [10.0, 0.0]], 20, axis=0)
    >>> y = np.repeat([[5, 0], [0, 5]], 20, axis=0)
    >>> model = NaiveBayesPosition((2, 1), smoothing=0.1).fit(y, x)
    >>> model.predict([[4, 0], [0, 6]]).round(6).tolist()
    [[2.5, 0.5], [7.5, 0.5]]
    """

    def __init__(
        self, grid: tuple[int, int] = (32, 24), *, smoothing: float = 1.0, prior: bool = True
    ) -> None:
        self.grid, self.smoothing, self.prior = grid, smoothing, prior

    def fit(self, counts: ArrayLike, position: ArrayLike) -> Self:
        """Estimate occupancy and rate maps from counts (n_bins, n_units) and positions (n_bins, 2)."""
        from scipy.ndimage import gaussian_filter

        y, x = np.asarray(counts, dtype=np.float64), np.asarray(position, dtype=np.float64)
        if y.ndim != 2 or x.shape != (len(y), 2):
            raise ShapeError(
                f"counts {y.shape} and position {x.shape}: expected (n_bins, n_units), (n_bins, 2)"
            )
        if not np.isfinite(x).all():
            raise DataError(
                f"{int((~np.isfinite(x)).any(axis=1).sum())} positions are missing: interpolate or drop"
            )
        low, high = x.min(axis=0), x.max(axis=0)
        size = np.where(high > low, high - low, 1.0) / self.grid
        place = np.minimum(((x - low) / size).astype(np.int64), np.array(self.grid) - 1)
        flat = place[:, 0] * self.grid[1] + place[:, 1]
        n_places = self.grid[0] * self.grid[1]
        visits = np.bincount(flat, minlength=n_places).astype(np.float64)
        spikes = np.stack([np.bincount(flat, unit, n_places) for unit in y.T])
        visits_smooth = gaussian_filter(visits.reshape(self.grid), self.smoothing).ravel()
        smooth = np.stack(
            [gaussian_filter(unit.reshape(self.grid), self.smoothing).ravel() for unit in spikes]
        )
        visited = np.flatnonzero(visits)
        # A hundredth of a visit at the mean rate: no place makes a spike impossible.
        rates = (smooth + 0.01 * y.mean(axis=0)[:, None]) / (visits_smooth + 0.01)
        self.rates_: Array = rates.T[visited] + 1e-4
        self.log_prior_: Array = np.log(visits_smooth[visited] / visits_smooth[visited].sum())
        self.places_: Array = low + (np.stack(np.divmod(visited, self.grid[1]), axis=1) + 0.5) * size
        return self

    def log_posterior(self, counts: ArrayLike) -> Array:
        """Unnormalised log-probability (n_bins, n_places) of the visited places."""
        y = np.asarray(counts, dtype=np.float64)
        if y.ndim != 2 or y.shape[1] != self.rates_.shape[1]:
            raise ShapeError(f"counts have shape {y.shape}: expected (n_bins, {self.rates_.shape[1]})")
        score: Array = y @ np.log(self.rates_).T - self.rates_.sum(axis=1)
        return score + self.log_prior_ if self.prior else score

    def predict(self, counts: ArrayLike) -> Array:
        """Most probable place (n_bins, 2) of each bin."""
        found: Array = self.places_[self.log_posterior(counts).argmax(axis=1)]
        return found
