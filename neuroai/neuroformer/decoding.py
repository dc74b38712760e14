"""Scores of decoded behaviour, and the linear decoder by which benchmarks judge predicted rates."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import DataError, ShapeError
from neuroai.neuroformer.psth import unit_correlation

__all__ = [
    "behaviour_r2",
    "behaviour_scores",
    "classification_scores",
    "median_distance",
    "neural_speed_correlation",
]

Array = NDArray[np.float64]

_ALPHAS = np.logspace(-4, 0, 9)


def behaviour_scores(true: ArrayLike, decoded: ArrayLike) -> Mapping[str, list[float]]:
    """Pearson's r, R² and root mean square error of each behavioural variable.

    Parameters
    ----------
    true, decoded : array-like (n_windows,) or (n_windows, n_variables)
        Measured and decoded values; windows where a measured value is NaN are left out.

    Returns
    -------
    mapping
        ``r``, ``r2`` (may be negative), ``rmse``: one number a variable; NaN where it never changes.

    Examples
    --------
    >>> scores = behaviour_scores([1.0, 2.0, 3.0], [2.0, 3.0, 4.0])
    >>> {name: [round(v, 6) for v in values] for name, values in scores.items()}
    {'r': [1.0], 'r2': [-0.5], 'rmse': [1.0]}
    """
    x, y = _columns(true, decoded)
    r, r2, rmse = [], [], []
    for column in range(x.shape[1]):
        seen = np.isfinite(x[:, column])
        a, b = x[seen, column], y[seen, column]
        if len(a) < 2:
            raise DataError(f"variable {column}: {len(a)} windows have a value; at least 2 are needed")
        spread = float(((a - a.mean()) ** 2).sum())
        residual = float(((a - b) ** 2).sum())
        r.append(float(unit_correlation(a[:, None], b[:, None])[0]))
        r2.append(1 - residual / spread if spread > 0 else float("nan"))
        rmse.append(float(np.sqrt(residual / len(a))))
    return {"r": r, "r2": r2, "rmse": rmse}


def classification_scores(true: ArrayLike, decision: ArrayLike) -> Mapping[str, float]:
    """Accuracy, share of the larger class, and area under the ROC curve of a decision between two classes.

    Parameters
    ----------
    true : array-like of bool (n_windows,)
        The class.
    decision : array-like (n_windows,)
        Above 0 for True.

    Returns
    -------
    mapping
        ``accuracy``, ``majority``, ``auroc``.

    Examples
    --------
    >>> classification_scores([True, True, False], [0.5, -0.1, -1.0])
    {'accuracy': 0.6666666666666666, 'majority': 0.6666666666666666, 'auroc': 1.0}
    """
    from sklearn.metrics import roc_auc_score

    labels, value = np.asarray(true, dtype=np.bool_), np.asarray(decision, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != value.shape:
        raise ShapeError(f"true {labels.shape} and decision {value.shape}: expected the same (n_windows,)")
    if labels.all() or not labels.any():
        raise DataError("all windows are of one class: nothing to tell apart")
    share = float(labels.mean())
    return {
        "accuracy": float(((value > 0) == labels).mean()),
        "majority": max(share, 1 - share),
        "auroc": float(roc_auc_score(labels, value)),
    }


def median_distance(true: ArrayLike, decoded: ArrayLike) -> float:
    """Median Euclidean distance of decoded from true positions (n_windows, n_axes), in their unit.

    Examples
    --------
    >>> median_distance([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]], [[3.0, 4.0], [0.0, 1.0], [9.0, 0.0]])
    5.0
    """
    x, y = _columns(true, decoded)
    return float(np.median(np.linalg.norm(x - y, axis=1)))


def behaviour_r2(
    train_rates: ArrayLike, train_behaviour: ArrayLike, test_rates: ArrayLike, test_behaviour: ArrayLike
) -> float:
    """R² of behaviour decoded linearly from predicted rates ("vel R2" of the Neural Latents Benchmark).

    Parameters
    ----------
    train_rates, test_rates : array-like (n_samples, n_units) or (n_trials, n_bins, n_units)
        Rates of held-in and held-out units together.
    train_behaviour, test_behaviour : array-like (n_samples, n_axes) or (n_trials, n_bins, n_axes)
        For example hand velocity, already shifted by the neural lag (MC_Maze 100 ms, its large set 120 ms,
        MC_RTT 140 ms, Area2_Bump -20 ms). Samples with NaN are left out.

    Returns
    -------
    float
        Mean of the axes' R² on the test samples.

    Notes
    -----
    Ridge regression with intercept; the penalty is chosen among 9 values from 1e-4 to 1 by five contiguous
    folds of the training samples. Source: Pei et al. (2021).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((200, 4))
    >>> behaviour_r2(x[:150], x[:150, :2], x[150:], x[150:, :2]) > 0.999
    True
    """
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV

    x, y = _samples(train_rates, train_behaviour)
    x_test, y_test = _samples(test_rates, test_behaviour)
    search = GridSearchCV(Ridge(), {"alpha": _ALPHAS}).fit(x, y)
    return float(search.score(x_test, y_test))


def neural_speed_correlation(rates: ArrayLike, produced: ArrayLike, conditions: ArrayLike) -> float:
    """Correlation of the mean neural speed between "set" and "go" with the interval that was produced.

    Parameters
    ----------
    rates : sequence of n_trials arrays (n_bins_of_the_trial, n_units)
        Rates from "set" to "go".
    produced : array-like (n_trials,)
        Produced intervals, seconds.
    conditions : array-like (n_trials,)
        Pearson's r is taken within each condition, then averaged.

    Returns
    -------
    float
        Negative when faster states go with shorter intervals. Source: Pei et al. (2021), DMFC_RSG.

    Examples
    --------
    >>> rates = [np.arange(4.0)[:, None] * speed for speed in (3.0, 2.0, 1.0)]
    >>> round(neural_speed_correlation(rates, [0.5, 0.6, 0.7], [0, 0, 0]), 6)
    -1.0
    """
    trials = [np.asarray(trial, dtype=np.float64) for trial in rates]  # type: ignore[union-attr]
    intervals, labels = np.asarray(produced, dtype=np.float64), np.asarray(conditions)
    if not len(trials) == len(intervals) == len(labels):
        raise ShapeError(f"{len(trials)} trials, {len(intervals)} intervals, {len(labels)} conditions differ")
    speed = np.array([np.linalg.norm(np.diff(trial, axis=0), axis=1).mean() for trial in trials])
    found = [
        float(unit_correlation(speed[labels == name][:, None], intervals[labels == name][:, None])[0])
        for name in np.unique(labels)
    ]
    return float(np.mean(found))


def _columns(true: ArrayLike, decoded: ArrayLike) -> tuple[Array, Array]:
    x, y = np.asarray(true, dtype=np.float64), np.asarray(decoded, dtype=np.float64)
    if x.shape != y.shape or x.ndim not in (1, 2):
        raise ShapeError(f"true {x.shape} and decoded {y.shape}: expected the same (n_windows, n_variables)")
    return (x[:, None], y[:, None]) if x.ndim == 1 else (x, y)


def _samples(rates: ArrayLike, behaviour: ArrayLike) -> tuple[Array, Array]:
    x, y = np.asarray(rates, dtype=np.float64), np.asarray(behaviour, dtype=np.float64)
    if x.ndim < 2 or x.shape[:-1] != y.shape[:-1]:
        raise ShapeError(f"rates {x.shape} and behaviour {y.shape}: expected the same trials and bins")
    x, y = x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])
    seen = np.isfinite(y).all(axis=1)
    return x[seen], y[seen]
