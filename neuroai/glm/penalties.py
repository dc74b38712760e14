"""Choose each unit's penalty by the likelihood of contiguous stretches of bins that were left out."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import ConfigError, DataError
from neuroai.glm.basis import bins_since_start
from neuroai.glm.links import log_likelihood, rate_of
from neuroai.glm.problem import Problem
from neuroai.glm.solve import solve
from neuroai_datasets.splits import blocked, kfold

__all__ = ["blocked_folds", "choose_alpha"]

Array = NDArray[np.float64]
Fold = tuple[NDArray[np.int64], NDArray[np.int64]]


def blocked_folds(
    n_bins: int,
    cv: int | Iterable[tuple[ArrayLike, ArrayLike]],
    gap: int,
    runs: NDArray[np.generic] | None = None,
) -> list[Fold]:
    """Contiguous test blocks: of whole runs, or of bins with a gap of the history's length on both sides.

    Parameters
    ----------
    n_bins, gap : int
        Bins, and bins left out of training around a test block.
    cv : int or iterable of (train, test)
        Number of blocks; given folds are taken as they are.
    runs : ndarray (n_bins,), optional
        Runs stay whole when there are at least ``cv`` of them; no gap is then needed.

    Returns
    -------
    list of (train, test)

    Examples
    --------
    >>> [test.tolist() for _, test in blocked_folds(4, 2, 0, np.array([0, 0, 0, 1]))]
    [[0, 1, 2], [3]]
    """
    if not isinstance(cv, (int, np.integer)):
        return [(np.asarray(train), np.asarray(test)) for train, test in cv]
    if not 2 <= cv <= n_bins:
        raise DataError(
            f"n_samples = {n_bins} cannot make {cv} folds: use 2 <= cv <= n_samples, or one alpha"
        )
    if runs is not None:
        number = np.cumsum(bins_since_start(runs, n_bins) == 0) - 1
        if number[-1] + 1 >= cv:
            return list(kfold(n_bins, int(cv), groups=number))
    return list(blocked(n_bins, int(cv), gap))


def choose_alpha(
    problem: Problem, alphas: Sequence[float], folds: Sequence[Fold], *, tol: float, max_iter: int
) -> tuple[Array, Array]:
    """Score every penalty on every fold.

    Parameters
    ----------
    problem : Problem
        Posed on all bins.
    alphas : sequence of float
        Penalties, the same grid for all units.
    folds : sequence of (train, test)
    tol, max_iter
        Of :func:`~neuroai.glm.solve.solve`.

    Returns
    -------
    alpha : ndarray (n_units,)
        The penalty with the highest held-out likelihood; the largest one for a unit without spikes.
    scores : ndarray (n_alphas, n_units)
        Held-out log-likelihood a bin, nats, in descending order of the penalties.

    Notes
    -----
    Folds set weights of bins to 0, so that the design is built once. Within a fold, penalties go from the
    largest to the smallest, each fit starting from the one before.
    """
    grid = np.sort(np.asarray(alphas, dtype=np.float64))[::-1]
    if len(grid) == 0 or grid[-1] < 0 or not np.isfinite(grid).all():
        raise ConfigError(f"alphas {grid.tolist()}: expected penalties of 0 or more")
    totals, n_tested = np.zeros((len(grid), problem.counts.shape[1])), 0
    for train, test in folds:
        weights = np.zeros_like(problem.weights)
        weights[train] = problem.weights[train]
        mean, sd = problem.design.moments(weights)
        point = None
        for row, alpha in enumerate(grid):
            posed = replace(
                problem, weights=weights, mean=mean, sd=sd, alpha=np.full_like(problem.alpha, alpha)
            )
            point = solve(posed, point, tol=tol, max_iter=max_iter).point
            rates = rate_of(posed.drive(point)[test], posed.link)
            totals[row] += problem.weights[test] @ log_likelihood(problem.counts[test], rates)
        n_tested += len(test)
    scores: Array = totals / n_tested
    return grid[scores.argmax(axis=0)], scores
