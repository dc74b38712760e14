"""From joined predictions to scores, their ceilings and their significance."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroai.runs.config import EncodeConfig
from neuroai.runs.inputs import Inputs

if TYPE_CHECKING:
    from neuroai.encoders.readouts.base import Readout

Array = NDArray[np.float64]

#: Seconds that stay together when a series is permuted.
_SERIES_BLOCK = 20.0
#: Blocks that trials are permuted in, at most: the cost grows with their square.
_MOST_BLOCKS = 400
_LEVEL = 0.05


@dataclass(frozen=True)
class Scores:
    """Scores of every target; NaN where undefined."""

    r: Array
    r2: Array
    ceiling: Array | None
    p: Array | None
    q: Array | None
    alpha: Array | None
    alphas: tuple[float, ...]


def score(
    inputs: Inputs, predictions: NDArray[np.float32], readout: "Readout", config: EncodeConfig
) -> Scores:
    """Score predictions of rows that no model was fitted to.

    Parameters
    ----------
    inputs : Inputs
        Measured responses and folds.
    predictions : array of shape (n_samples, n_targets)
        Joined over folds.
    readout : Readout
        Fitted to every row; its penalties are reported.
    config : EncodeConfig
        ``score``: "joined" correlates over all tested rows at once, "fold" averages the correlations
        of the folds. ``permutations`` and ``seed``.

    Returns
    -------
    Scores
    """
    from neuroai.encoders.ceilings import noise_ceiling
    from neuroai.encoders.scores import pearson_r, r2_score

    rows = inputs.folds.tested
    measured, predicted = inputs.responses[rows], predictions[rows]
    if config.score == "fold":
        parts = [test for _, test in inputs.folds.splits]
        r = np.mean([pearson_r(inputs.responses[test], predictions[test]) for test in parts], axis=0)
        r2 = np.mean([r2_score(inputs.responses[test], predictions[test]) for test in parts], axis=0)
    else:
        r, r2 = pearson_r(measured, predicted), r2_score(measured, predicted)
    repeats = inputs.recording.repeats
    ceiling = None if repeats is None else noise_ceiling(repeats.values[:, rows])
    p, q = _significance(inputs, measured, predicted, config)
    alpha, alphas = _penalties(readout, measured.shape[1])
    return Scores(r, r2, ceiling, p, q, alpha, alphas)


def summarise(scores: Scores, *, n_samples: int) -> dict[str, Any]:
    """Return the numbers of ``result.json`` that follow from the scores.

    Parameters
    ----------
    scores : Scores
        Of every target.
    n_samples : int
        Rows that were predicted.

    Returns
    -------
    dict
        Medians, mean and percentile over defined targets, and what was left out.
    """
    defined = scores.r[np.isfinite(scores.r)]
    summary: dict[str, Any] = {
        "median_r": _over(np.median, defined),
        "mean_r": _over(np.mean, defined),
        "p95_r": _over(lambda r: np.percentile(r, 95), defined),
        "median_r2": _over(np.median, scores.r2[np.isfinite(scores.r2)]),
        "n_targets": int(scores.r.size),
        "n_undefined": int(scores.r.size - defined.size),
        "n_samples": n_samples,
        "alphas_at_edge": at_edge(scores),
    }
    if scores.ceiling is not None:
        from neuroai.encoders.scores import r2_over_ceiling

        share = r2_over_ceiling(scores.r, scores.ceiling)
        summary["median_r2_over_ceiling"] = _over(np.median, share[np.isfinite(share)])
        summary["median_ceiling_r2"] = _over(np.median, scores.ceiling[np.isfinite(scores.ceiling)])
    if scores.q is not None:
        summary["significant"] = int((scores.q < _LEVEL).sum())
    return summary


def at_edge(scores: Scores) -> int:
    """Count the targets whose penalty lies at the edge of the grid."""
    if scores.alpha is None or len(scores.alphas) < 2:
        return 0
    edges = np.array([min(scores.alphas), max(scores.alphas)])
    return int(np.isclose(scores.alpha[:, None], edges, rtol=1e-6).any(1).sum())


def _significance(
    inputs: Inputs, measured: NDArray[Any], predicted: NDArray[Any], config: EncodeConfig
) -> tuple[Array | None, Array | None]:
    from neuroai.encoders.statistics import fdr, permutation_p

    if config.permutations == 0:
        return None, None
    period = inputs.recording.period
    block = -(-len(measured) // _MOST_BLOCKS) if period is None else round(_SERIES_BLOCK / period)
    runs = None if inputs.runs is None else inputs.runs[inputs.folds.tested]
    shortest = len(measured) if runs is None else int(np.unique(runs, return_counts=True)[1].min())
    p = permutation_p(
        measured,
        predicted,
        n_permutations=config.permutations,
        block=int(np.clip(block, 1, max(shortest // 4, 1))),
        groups=runs,
        seed=config.seed,
    )
    return p, fdr(p)


def _penalties(readout: "Readout", n_targets: int) -> tuple[Array | None, tuple[float, ...]]:
    alpha = getattr(readout, "alpha_", None)
    if alpha is None:
        return None, ()
    values = np.asarray(alpha, dtype=np.float64).ravel()
    grid = getattr(readout, "alphas_", None)
    if grid is None:
        grid = getattr(readout, "alphas", None)
    tried = () if grid is None else tuple(float(value) for value in np.asarray(grid).ravel())
    return (np.full(n_targets, values[0]) if values.size == 1 else values), tried


def _over(statistic: Any, values: Array) -> float | None:
    return float(statistic(values)) if values.size else None
