"""Which scores are more than chance: permutation p-values, false discovery rate, bootstrap intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.stats import false_discovery_control

from neuroai.encoders.scores import Float, as_numpy, paired, pearson_r, target_blocks
from neuroai.errors import ConfigError, ShapeError

_BATCH = 250


def permutation_p(
    y: Any, prediction: Any, *, n_permutations: int = 1000, block: int = 1, groups: Any = None, seed: int = 0
) -> Float:
    r"""One-sided permutation p-value of Pearson's r, one a target.

    Blocks of consecutive test responses are shuffled against the prediction,

    .. math:: p_v = \frac{1 + \sum_\pi [r_v^\pi \ge r_v]}{1 + n_\mathrm{permutations}}

    No model is refitted: with :math:`M_{bb'} = \sum_l y_{bl} \hat y_{b'l}` (z-scored), the r of a
    permutation is :math:`\sum_b M_{b\pi(b)}`, so a batch of permutations is one matrix product.

    Parameters
    ----------
    y, prediction
        (n_samples, n_targets): responses and predictions of rows that no fit has seen.
    n_permutations
        1 or more; the smallest possible p is 1 / (1 + n_permutations).
    block
        Samples a block: 1 for independent trials; for series longer than their autocorrelation
        (e.g. 10 TRs).
    groups
        (n_samples,) run of each row; no block straddles two runs.
    seed
        Same seed, same permutations; all targets share them.

    Returns
    -------
    array of shape (n_targets,), float64
        In (0, 1]; NaN where r is undefined.

    Raises
    ------
    ShapeError
        If shapes disagree, or fewer than two whole blocks fit.
    ConfigError
        If ``block`` or ``n_permutations`` is below 1.

    Notes
    -----
    Rows left over after the last whole block of a run enter neither r nor its null distribution.
    Time n_samples x n_blocks x n_targets for M plus n_permutations x n_blocks x n_targets.

    References
    ----------
    Phipson & Smyth (2010), "Permutation p-values should never be zero".

    Examples
    --------
    >>> import numpy as np
    >>> y = np.random.default_rng(0).standard_normal((200, 1))
    >>> float(permutation_p(y, y, n_permutations=99)[0])
    0.01
    """
    y, prediction = paired(y, prediction)
    if n_permutations < 1:
        raise ConfigError(f"n_permutations is {n_permutations}; it must be 1 or more")
    blocks = _whole_blocks(y.shape[0], block, groups)
    permutations = _permutation_batches(len(blocks), n_permutations, seed)
    p_values = np.empty(y.shape[1])
    for targets in target_blocks(len(blocks) ** 2, y.shape[1], arrays=2):
        rows = blocks.ravel()
        y_, prediction_ = as_numpy(y[:, targets])[rows], as_numpy(prediction[:, targets])[rows]
        defined = np.isfinite(pearson_r(y_, prediction_))
        products = _block_products(_standardised(y_), _standardised(prediction_), blocks.shape)
        observed = products[:: len(blocks) + 1].sum(0)
        # Sums over permuted blocks come in another order, so equal ones may differ in the last digit.
        threshold = observed - 1e-12 * len(rows)
        exceeding = sum((batch @ products >= threshold).sum(0) for batch in permutations)
        p_values[targets] = np.where(defined, (1.0 + exceeding) / (1.0 + n_permutations), np.nan)
    return p_values


def fdr(p: Any) -> Float:
    r"""Benjamini-Hochberg q-values: the smallest false discovery rate at which each target is found.

    .. math:: q_{(i)} = \min_{j \ge i} p_{(j)} \, m / j

    Parameters
    ----------
    p
        (n_targets,) p-values in [0, 1]; NaN is left out of the count m and stays NaN.

    Returns
    -------
    array of shape (n_targets,), float64

    Raises
    ------
    ValueError
        If a p-value lies outside [0, 1].

    Notes
    -----
    Valid for independent or positively dependent tests. Time m log m.

    References
    ----------
    Benjamini & Hochberg (1995).

    Examples
    --------
    >>> fdr([0.01, 0.04, float("nan")])
    array([0.02, 0.04,  nan])
    """
    p = np.asarray(p, np.float64)
    q: Float = np.full_like(p, np.nan)
    tested = ~np.isnan(p)
    if tested.any():
        q[tested] = false_discovery_control(p[tested])
    return q


def bootstrap_r(
    y: Any,
    prediction: Any,
    *,
    n_samples: int = 1000,
    block: int = 1,
    groups: Any = None,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[Float, Float]:
    """Block-bootstrap interval of Pearson's r, one a target.

    Blocks of rows are drawn with replacement; the moments of a draw are a product of draw counts
    (n_samples, n_blocks) with the moments of each block.

    Parameters
    ----------
    y, prediction
        (n_samples, n_targets), as for :func:`permutation_p`.
    n_samples
        Number of draws.
    block, groups, seed
        As for :func:`permutation_p`; a shorter last block of a run is kept as it is.
    level
        Coverage of the interval, in (0, 1).

    Returns
    -------
    (low, high)
        Two arrays of shape (n_targets,), float64: percentiles of the draws; NaN where r is undefined.

    Raises
    ------
    ShapeError
        If shapes disagree.
    ConfigError
        If ``level`` lies outside (0, 1) or a number is below 1.

    Notes
    -----
    Time n_samples x n_blocks x n_targets (five products); memory n_samples x (block of targets).

    References
    ----------
    Künsch (1989), "The jackknife and the bootstrap for general stationary observations".

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> y = rng.standard_normal((400, 1))
    >>> low, high = bootstrap_r(y, y + rng.standard_normal((400, 1)))
    >>> bool(low[0] < 0.7071 < high[0])
    True
    """
    y, prediction = paired(y, prediction)
    if not 0 < level < 1 or n_samples < 1:
        raise ConfigError(
            f"level is {level} and n_samples {n_samples}; expected 0 < level < 1 and n_samples >= 1"
        )
    label = _block_labels(y.shape[0], block, groups)
    n_blocks = int(label[-1]) + 1
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), size=n_samples).astype(np.float64)
    starts = np.flatnonzero(np.diff(label, prepend=-1))
    n = counts @ np.diff(np.append(starts, len(label))).astype(np.float64)
    low, high = np.empty(y.shape[1]), np.empty(y.shape[1])
    for targets in target_blocks(max(n_samples, y.shape[0]), y.shape[1], arrays=12):
        y_, p_ = as_numpy(y[:, targets]), as_numpy(prediction[:, targets])
        defined = np.isfinite(pearson_r(y_, p_))
        y_, p_ = _standardised(y_), _standardised(p_)
        sy, sp, syy, spp, syp = (
            counts @ np.add.reduceat(moment, starts) / n[:, None]
            for moment in (y_, p_, y_ * y_, p_ * p_, y_ * p_)
        )
        with np.errstate(all="ignore"):
            draws = (syp - sy * sp) / np.sqrt((syy - sy**2) * (spp - sp**2))
        tails = [(1 - level) / 2, (1 + level) / 2]
        interval = np.nanquantile(np.where(defined, draws, 0.0), tails, axis=0)
        low[targets], high[targets] = np.where(defined, interval, np.nan)
    return low, high


def _block_labels(n_samples: int, block: int, groups: Any) -> NDArray[np.int64]:
    """Block of each row: runs of ``block`` rows that stay inside one group."""
    if block < 1:
        raise ConfigError(f"block is {block}; it must be 1 or more samples")
    groups = np.zeros(n_samples) if groups is None else np.asarray(groups)
    if groups.shape != (n_samples,):
        raise ShapeError(f"groups have shape {groups.shape}; expected ({n_samples},), one a row")
    run = np.cumsum(np.append(0, groups[1:] != groups[:-1]))
    first_row = np.flatnonzero(np.diff(run, prepend=-1))
    within = (np.arange(n_samples) - first_row[run]) // block
    change = np.append(0, (np.diff(run) != 0) | (np.diff(within) != 0))
    labels: NDArray[np.int64] = np.cumsum(change)
    return labels


def _whole_blocks(n_samples: int, block: int, groups: Any) -> NDArray[np.int64]:
    """Row indices (n_blocks, block) of the blocks that are whole."""
    label = _block_labels(n_samples, block, groups)
    whole: Sequence[NDArray[np.int64]] = [
        rows
        for rows in np.split(np.arange(n_samples), np.flatnonzero(np.diff(label)) + 1)
        if len(rows) == block
    ]
    if len(whole) < 2:
        raise ShapeError(
            f"{n_samples} rows hold {len(whole)} whole blocks of {block}; "
            "shuffling needs two or more: lower block"
        )
    return np.stack(whole)


def _permutation_batches(n_blocks: int, n_permutations: int, seed: int) -> list[sparse.csr_array]:
    """Permutations as sparse rows over the n_blocks^2 pairs (block of y, block of prediction)."""
    rng = np.random.default_rng(seed)
    batches = []
    for start in range(0, n_permutations, _BATCH):
        size = min(_BATCH, n_permutations - start)
        order = rng.permuted(np.tile(np.arange(n_blocks), (size, 1)), axis=1)
        columns = (np.arange(n_blocks) * n_blocks + order).ravel()
        pointer = np.arange(0, size * n_blocks + 1, n_blocks)
        batches.append(sparse.csr_array((np.ones(len(columns)), columns, pointer), shape=(size, n_blocks**2)))
    return batches


def _block_products(y: Float, prediction: Float, blocks: tuple[int, ...]) -> Float:
    """M of shape (n_blocks * n_blocks, n_targets)."""
    n_blocks, length = blocks
    n_targets = y.shape[1]
    left = y.reshape(n_blocks, length, n_targets).transpose(2, 0, 1)
    right = prediction.reshape(n_blocks, length, n_targets).transpose(2, 1, 0)
    return np.ascontiguousarray((left @ right).reshape(n_targets, n_blocks**2).T)


def _standardised(x: NDArray[Any]) -> Float:
    with np.errstate(all="ignore"):
        centred = x.astype(np.float64) - x.mean(0, dtype=np.float64)
        standardised: Float = np.nan_to_num(centred / centred.std(0), posinf=0.0, neginf=0.0)
        return standardised
