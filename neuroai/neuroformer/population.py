"""Statistics of a population's spiking, and how far generated spikes are from recorded ones.

Both sides are counts in the same bins, so that neither has finer timing than the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import DataError, ShapeError
from neuroai.neuroformer.psth import unit_correlation

__all__ = ["PopulationStatistics", "compare_populations", "population_statistics"]

Array = NDArray[np.float64]

_MOST_PAIRS = 20_000
_FEWEST_INTERVALS = 5


@dataclass(frozen=True)
class PopulationStatistics:
    """What a population's spike trains look like.

    Attributes
    ----------
    rates : ndarray (n_units,)
        Spikes/s.
    intervals : ndarray (n_intervals,)
        Seconds between successive spikes of a unit, all units together, to within a bin.
    cv : ndarray (n_units,)
        Standard deviation over mean of each unit's intervals; NaN with fewer than 5.
    correlations : ndarray (n_pairs,)
        Pearson's r of the counts of pairs of units; NaN if one never changes.
    synchrony : ndarray (n_bins,)
        Share of the units that spike in each bin.
    """

    rates: Array
    intervals: Array
    cv: Array
    correlations: Array
    synchrony: Array


def population_statistics(
    counts: ArrayLike, period: float, *, runs: ArrayLike | None = None
) -> PopulationStatistics:
    """Measure a population.

    Parameters
    ----------
    counts : array-like (n_bins, n_units)
        Spike counts.
    period : float
        Seconds a bin.
    runs : array-like (n_bins,), optional
        Run (trial) of each bin: intervals do not cross runs.

    Returns
    -------
    PopulationStatistics
        Correlations of all pairs, or of the pairs among evenly spaced units if there are over 20,000.

    Raises
    ------
    ShapeError
        Without two bins of units, a period above 0, or a run for each bin.

    Notes
    -----
    O(n_bins * n_units + n_spikes) time.

    Examples
    --------
    >>> statistics = population_statistics([[1, 0], [0, 0], [1, 1], [1, 0]], 0.01)
    >>> statistics.rates.tolist(), statistics.intervals.round(3).tolist()
    ([75.0, 25.0], [0.02, 0.01])
    """
    y = np.asarray(counts)
    if y.ndim != 2 or len(y) < 2 or period <= 0:
        raise ShapeError(
            f"counts {y.shape}, period {period}: expected (n_bins, n_units), 2 bins, seconds above 0"
        )
    unit, spaces = _intervals(np.asarray(y, dtype=np.int64), runs)
    number = np.bincount(unit, minlength=y.shape[1])
    first, second = (np.bincount(unit, spaces**power, y.shape[1]) for power in (1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = first / number
        cv = np.sqrt(np.maximum(second / number - mean**2, 0)) / mean
    cv[number < _FEWEST_INTERVALS] = np.nan
    return PopulationStatistics(
        rates=y.mean(axis=0) / period,
        intervals=spaces * period,
        cv=cv,
        correlations=_pair_correlations(y.astype(np.float64)),
        synchrony=(y > 0).mean(axis=1),
    )


def compare_populations(real: PopulationStatistics, generated: PopulationStatistics) -> Mapping[str, float]:
    """Kolmogorov-Smirnov distances between distributions, and agreement unit by unit and pair by pair.

    Parameters
    ----------
    real, generated : PopulationStatistics
        Of the same units in the same order.

    Returns
    -------
    mapping
        ``ks_rates``, ``ks_intervals``, ``ks_cv``, ``ks_correlations``, ``ks_synchrony``: largest difference
        between the cumulative distributions, 0 (same) to 1. ``r_rates`` and ``r_correlations``: Pearson's r
        over units and over pairs. NaN where one side has nothing to compare.

    Raises
    ------
    DataError
        If the numbers of units differ.

    Examples
    --------
    >>> counts = np.random.default_rng(0).poisson(0.3, (400, 5))
    >>> same = population_statistics(counts, 0.01)
    >>> compare_populations(same, same)["ks_rates"]
    0.0
    """
    if len(real.rates) != len(generated.rates):
        raise DataError(
            f"{len(real.rates)} recorded and {len(generated.rates)} generated units: expected the same"
        )
    found = {
        f"ks_{name}": _distance(getattr(real, name), getattr(generated, name))
        for name in ("rates", "intervals", "cv", "correlations", "synchrony")
    }
    for name in ("rates", "correlations"):
        found[f"r_{name}"] = _agreement(getattr(real, name), getattr(generated, name))
    return found


def _intervals(y: NDArray[np.int64], runs: ArrayLike | None) -> tuple[NDArray[np.int64], Array]:
    """Unit and length (in bins) of every interval between successive spikes within a run."""
    labels = np.zeros(len(y), np.int64) if runs is None else np.asarray(runs)
    if labels.shape != (len(y),):
        raise ShapeError(f"runs have shape {labels.shape}; one label a bin is needed: ({len(y)},)")
    repeats = y.T[y.T > 0]
    unit, place = (np.repeat(part, repeats) for part in np.nonzero(y.T))
    same = (np.diff(unit) == 0) & (labels[place][1:] == labels[place][:-1])
    return unit[1:][same], np.diff(place)[same].astype(np.float64)


def _pair_correlations(y: Array) -> Array:
    most = int((1 + np.sqrt(1 + 8 * _MOST_PAIRS)) / 2)
    if y.shape[1] > most:
        y = y[:, np.linspace(0, y.shape[1] - 1, most).round().astype(int)]
    constant = y.max(axis=0) == y.min(axis=0)
    y = y - y.mean(axis=0)
    sd = np.where(constant, np.nan, np.sqrt((y**2).mean(axis=0)))
    correlation = (y.T @ y) / len(y) / np.outer(sd, sd)
    pairs: Array = correlation[np.triu_indices(len(correlation), 1)]
    return pairs


def _distance(a: Array, b: Array) -> float:
    """Largest difference of two empirical distribution functions (no p-value: units are not independent)."""
    a, b = np.sort(a[np.isfinite(a)]), np.sort(b[np.isfinite(b)])
    if not len(a) or not len(b):
        return float("nan")
    places = np.concatenate([a, b])
    first, second = (np.searchsorted(x, places, side="right") / len(x) for x in (a, b))
    return float(np.abs(first - second).max())


def _agreement(a: Array, b: Array) -> float:
    kept = np.isfinite(a) & np.isfinite(b)
    return float(unit_correlation(a[kept, None], b[kept, None])[0]) if kept.sum() > 1 else float("nan")
