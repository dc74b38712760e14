"""Means over seeds with intervals, and gaps between methods that share their seeds."""

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import ConfigError

__all__ = ["Estimate", "gaps", "mean_over_seeds"]


class Estimate(NamedTuple):
    """A mean over seeds and the ends of its 95 % interval; NaN ends for one seed."""

    mean: float
    low: float
    high: float


def mean_over_seeds(values: ArrayLike) -> Estimate:
    r"""Mean and Student's 95 % interval, :math:`\bar v \pm t_{R-1}(0.975)\, s / \sqrt{R}`.

    Parameters
    ----------
    values : array (R,)
        One a seed.

    Raises
    ------
    ConfigError
        Without a value.

    Examples
    --------
    >>> [round(end, 3) for end in mean_over_seeds([0.8, 0.9, 1.0])]
    [0.9, 0.652, 1.148]
    """
    from scipy.stats import t

    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or not found.size:
        raise ConfigError(f"values over seeds have shape {found.shape}: expected (R,), at least one seed")
    mean, n = float(found.mean()), len(found)
    if n == 1:
        return Estimate(mean, float("nan"), float("nan"))
    half = float(t.ppf(0.975, n - 1) * found.std(ddof=1) / np.sqrt(n))
    return Estimate(mean, mean - half, mean + half)


def gaps(final: Mapping[str, NDArray[np.float64]]) -> dict[tuple[str, str], Estimate]:
    """Difference between every two methods, paired by seed.

    Parameters
    ----------
    final : mapping of method to array (R,)
        Accuracy for each seed; the same seeds, so the same permutations and pictures, in every method.

    Returns
    -------
    dict
        (better, worse) -> how much better, the largest mean first in each pair.

    Examples
    --------
    >>> gaps({"a": np.array([0.5, 0.7]), "b": np.array([0.6, 0.8])})[("b", "a")].mean.__round__(3)
    0.1
    """
    ranked = sorted(final, key=lambda name: -final[name].mean())
    return {
        (better, worse): mean_over_seeds(final[better] - final[worse])
        for better, worse in itertools.combinations(ranked, 2)
    }
