"""How a population fires: rates, irregularity of intervals, correlations of counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neuroai.errors import DataError

if TYPE_CHECKING:
    from neuroai_datasets import Recording

__all__ = ["Firing", "count_correlations", "fano_factor", "firing", "isi_cvs", "summarise"]

Array = NDArray[np.float64]
_FEWEST_INTERVALS = 3


@dataclass(frozen=True)
class Firing:
    """Statistics of one population.

    Attributes
    ----------
    rates : array (n,)
        Spikes/s of each neuron.
    cvs : array (n,)
        Coefficient of variation of the intervals; NaN with fewer than three intervals. It grows with the
        length of the recording, as slow neurons give only short intervals in a short one: compare at equal
        length.
    intervals : array
        Inter-spike intervals of all neurons, seconds.
    correlations : array
        Of spike counts in bins of 2 ms, between pairs of at most ``n_correlated`` neurons that fired.
    fano : float
        Variance over mean of the population's count in bins of 3 ms.
    """

    rates: Array
    cvs: Array
    intervals: Array
    correlations: Array
    fano: float


def firing(
    recording: "Recording", *, start: float = 0.0, n_correlated: int = 250, seed: int = 0
) -> dict[str, Firing]:
    """Statistics of every population of a recording.

    Parameters
    ----------
    recording : Recording
        With spikes; units are grouped by the coordinate ``population`` (one group without it).
    start : float
        Seconds after its beginning to leave out.
    n_correlated : int
        Neurons a population, drawn at random, whose counts are correlated.
    seed : int

    Returns
    -------
    dict of str to Firing
        In order of the units.

    Raises
    ------
    DataError
        If the recording has no spikes.

    Notes
    -----
    O(spikes) and, for correlations, O(bins * n_correlated) memory in float32.

    Examples
    --------
    >>> from neuroai_datasets import Recording
    >>> regular = Recording.from_spikes([np.arange(1, 100) / 100], name="toy", interval=(0.0, 1.0))
    >>> found = firing(regular)["all"]
    >>> found.rates.tolist(), found.cvs.round(6).tolist()
    ([99.0], [0.0])
    """
    trains, units = recording.spikes, recording.units
    if trains is None or units is None:
        raise DataError(f"{recording.name} holds no spikes: there is nothing to take statistics of")
    first, last = trains.span()
    times, counts = np.asarray(trains.times), trains.counts
    labels = units["population"].values if "population" in units else np.full(len(counts), "all")
    unit = np.repeat(np.arange(len(counts)), counts)
    late = times >= first + start
    times, unit = times[late], unit[late]
    found, rng = {}, np.random.default_rng(seed)
    for name in dict.fromkeys(labels.tolist()):
        members = np.flatnonzero(labels == name)
        here = (unit >= members[0]) & (unit <= members[-1])
        found[str(name)] = _of_population(
            times[here], unit[here] - members[0], len(members), (first + start, last), n_correlated, rng
        )
    return found


def _of_population(
    times: Array,
    unit: NDArray[np.int64],
    n: int,
    span: tuple[float, float],
    n_correlated: int,
    rng: np.random.Generator,
) -> Firing:
    counts = np.bincount(unit, minlength=n)
    active = np.flatnonzero(counts)
    chosen = np.sort(rng.choice(active, min(n_correlated, len(active)), replace=False))
    return Firing(
        rates=counts / (span[1] - span[0]),
        cvs=isi_cvs(times, unit, n),
        intervals=np.diff(times)[np.diff(unit) == 0],
        correlations=count_correlations(times, unit, chosen, span),
        fano=fano_factor(times, span),
    )


def isi_cvs(times: Array, unit: NDArray[np.int64], n: int) -> Array:
    """Coefficient of variation of each unit's intervals, NaN below three of them.

    Parameters
    ----------
    times : array (n_spikes,)
        Seconds, unit after unit, ascending within each.
    unit : int array (n_spikes,)
        Whose spike it is.
    n : int
        Number of units.
    """
    same = np.diff(unit) == 0
    intervals, owner = np.diff(times)[same], unit[1:][same]
    number = np.bincount(owner, minlength=n)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(owner, intervals, minlength=n) / number
        spread = np.bincount(owner, (intervals - mean[owner]) ** 2, minlength=n) / number
        cv = np.sqrt(spread) / mean
    return np.where(number >= _FEWEST_INTERVALS, cv, np.nan)


def count_correlations(
    times: Array, unit: NDArray[np.int64], chosen: NDArray[np.int64], span: tuple[float, float]
) -> Array:
    """Correlation of the counts in bins of 2 ms of every pair of the chosen units."""
    place = np.full(int(unit.max(initial=-1)) + 1, -1)
    place[chosen] = np.arange(len(chosen))
    bins = int((span[1] - span[0]) / 2e-3)
    row, column = place[unit], np.floor((times - span[0]) / 2e-3 + 1e-9).astype(np.int64)
    kept = (row >= 0) & (column < bins)
    counts = np.bincount(row[kept] * bins + column[kept], minlength=len(chosen) * bins)
    counts = counts.reshape(len(chosen), bins).astype(np.float32)
    varying = counts[counts.std(axis=1) > 0]
    if len(varying) < 2:
        return np.empty(0)
    return np.asarray(np.corrcoef(varying)[np.triu_indices(len(varying), 1)])


def fano_factor(times: Array, span: tuple[float, float], width: float = 3e-3) -> float:
    """Variance over mean of the number of spikes in bins of ``width`` seconds; NaN without spikes."""
    bins = int((span[1] - span[0]) / width)
    column = np.floor((times - span[0]) / width + 1e-9).astype(np.int64)
    counts = np.bincount(column[column < bins], minlength=bins)
    return float(counts.var() / counts.mean()) if counts.any() else float("nan")


def summarise(found: Mapping[str, Firing]) -> dict[str, dict[str, float | None]]:
    """Means of each population's statistics, None where there is nothing to average."""
    return {
        name: {
            "rate_hz": float(one.rates.mean()),
            "cv_isi": _mean(one.cvs),
            "correlation": _mean(one.correlations),
            "fano_3ms": None if np.isnan(one.fano) else one.fano,
        }
        for name, one in found.items()
    }


def _mean(values: Array) -> float | None:
    kept = values[np.isfinite(values)]
    return float(kept.mean()) if len(kept) else None
