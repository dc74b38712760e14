"""Baselines as models of :mod:`~neuroai.runs.spike_tasks`: ``model(train, test)`` predicts ``test``.

What each sees is in its docstring: bits per spike compare only where inputs do.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neuroai.glm import PoissonGLM, raised_cosine_basis, spike_history
from neuroai.neuroformer.baselines import LinearDecoder, NetworkDecoder
from neuroai.neuroformer.count_windows import CountWindows
from neuroai.neuroformer.place import NaiveBayesPosition
from neuroai.neuroformer.simple_rates import condition_gain_rates, population_gain_rates, psth_rates
from neuroai.runs.spike_tasks import ContrastTask, Indices, Model, PositionTask

__all__ = [
    "RATE_MODELS",
    "glm_rates",
    "naive_bayes_position",
    "network_rates",
    "position_decoder",
    "side_decoder",
    "simple_rates",
]

Array = NDArray[np.float64]

_LAGS = 10  # bins of 10 ms
_ALPHAS = (1e-3, 1e-2, 1e-1)

#: Inputs of every model of rates, for tables.
RATE_MODELS = {
    "PSTH": "time in the trial",
    "PSTH x contrast gain": "time in the trial, contrasts",
    "PSTH x population gain": "time in the trial, all spikes of the others in the trial (also later ones)",
    "GLM, stimulus": "time in the trial, contrasts",
    "GLM, own history": "time, contrasts, own spikes of the last 100 ms",
    "GLM, population history": "time, contrasts, own spikes and the population's sum of the last 100 ms",
    "GLM, coupled": "time, contrasts, every unit's spikes of the last 100 ms",
    "MLP": "time, contrasts, every unit's spikes of the last 100 ms",
    "GRU": "time, contrasts, every unit's spikes of the last 100 ms",
}


def simple_rates(task: ContrastTask, kind: Literal["psth", "contrast", "population"]) -> Model:
    """Trial average, times the gain of the condition, or times the gain of the rest of the population."""
    labels = np.char.add(task.contrast_right.astype(str), (task.contrast_left > 0).astype(str))

    def model(train: Indices, test: Indices) -> Array:
        y, null = task.counts[train], task.null_rates(train)
        if kind == "psth":
            return np.broadcast_to(psth_rates(y, null), task.counts[test].shape)
        if kind == "contrast":
            return condition_gain_rates(y, labels[train], labels[test], null)
        return population_gain_rates(y, task.counts[test], null)

    return model


def glm_rates(
    task: ContrastTask,
    kind: Literal["stimulus", "own", "population", "coupled"],
    *,
    alphas: tuple[float, ...] = _ALPHAS,
) -> Model:
    """Poisson GLM; the penalty of each unit is chosen by three blocks of training trials.

    ``stimulus`` sees time and contrasts, ``own`` also the unit's past, ``population`` also the summed past of
    all units, ``coupled`` the past of every unit.
    """
    flat, runs = _flat(task)
    basis = raised_cosine_basis(3, _LAGS)
    features = stimulus_columns(task)
    if kind == "population":
        total = flat.sum(axis=1, keepdims=True) / flat.shape[1]
        features = np.concatenate([features, spike_history(total, basis, runs=runs)[:, 0]], axis=1)
    scale = np.maximum(features.std(axis=0), 1e-12)

    def model(train: Indices, test: Indices) -> Array:
        rows, rows_test = _bins_of(train, task), _bins_of(test, task)
        glm = PoissonGLM(
            alphas,
            history=None if kind == "stimulus" else basis,
            coupling=kind == "coupled",
            cv=3,
            tol=1e-4,
        )
        glm.fit((features / scale)[rows], flat[rows], runs=runs[rows])
        rates = glm.predict((features / scale)[rows_test], flat[rows_test], runs=runs[rows_test])
        return rates.reshape(task.counts[test].shape)

    return model


def network_rates(task: ContrastTask, kind: Literal["mlp", "gru"], **options: Any) -> Model:
    """Expected counts from time, contrasts and the past 100 ms of all units."""
    flat, runs = _flat(task)
    table = np.concatenate([flat, stimulus_columns(task)], axis=1)
    size = {"width": 64, "depth": 1, "dropout": 0.5, "epochs": 30, "weight_decay": 0.1, **options}

    def model(train: Indices, test: Indices) -> Array:
        windows = CountWindows(table, _bins_of(train, task), -_LAGS, -1, runs)
        network = NetworkDecoder(kind, "counts", batch_size=128, **size)
        network.fit(windows, flat[windows.bins])
        rates = network.predict(windows.at(_bins_of(test, task)))
        return rates.reshape(task.counts[test].shape)

    return model


def side_decoder(task: ContrastTask, *, c: float = 0.01) -> Model:
    """Logistic regression on square roots of the counts of whole trials (0 to 0.39 s)."""
    roots = np.sqrt(task.counts.sum(axis=1))
    side = task.contrast_right > task.contrast_left

    def model(train: Indices, test: Indices) -> Array:
        from sklearn.linear_model import LogisticRegression

        fitted = LogisticRegression(C=c, max_iter=1000).fit(roots[train], side[train])
        return np.asarray(fitted.decision_function(roots[test]), dtype=np.float64)

    return model


def naive_bayes_position(task: PositionTask, *, prior: bool = True) -> Model:
    """Poisson naive Bayes on the counts of one bin (250 ms)."""

    def model(train: Indices, test: Indices) -> Array:
        fitted = NaiveBayesPosition(prior=prior).fit(task.counts[train], task.position[train])
        return fitted.predict(task.counts[test])

    return model


def position_decoder(
    task: PositionTask,
    kind: Literal["ridge", "lasso", "mlp", "gru"],
    *,
    first: int = -4,
    last: int = 0,
    **options: Any,
) -> Model:
    """Regression on the counts of bins ``first`` to ``last`` around the decoded one."""
    windows = CountWindows(task.counts, task.running, first, last)

    def model(train: Indices, test: Indices) -> Array:
        decoder: LinearDecoder | NetworkDecoder
        if kind == "ridge" or kind == "lasso":
            decoder = LinearDecoder(kind)
        else:
            decoder = NetworkDecoder(kind, **options)
        decoder.fit(windows.at(train), task.position[train])
        predicted: Array = decoder.predict(windows.at(test))
        return predicted

    return model


def stimulus_columns(task: ContrastTask) -> Array:
    """Bumps over the time in the trial, alone and times each contrast, (n_trials * n_bins, 24)."""
    n_trials, n_bins, _ = task.counts.shape
    bumps = raised_cosine_basis(8, n_bins, stretch=n_bins / 4) * n_bins
    gains = np.stack([np.ones(n_trials), task.contrast_left, task.contrast_right], axis=1)
    columns: Array = gains[:, None, :, None] * bumps[None, :, None, :]
    return columns.reshape(n_trials * n_bins, -1)


def _flat(task: ContrastTask) -> tuple[Array, NDArray[np.int64]]:
    """Counts (n_trials * n_bins, n_units), and the trial of each row."""
    n_trials, n_bins, n_units = task.counts.shape
    flat = task.counts.reshape(-1, n_units).astype(np.float64)
    return flat, np.repeat(np.arange(n_trials), n_bins)


def _bins_of(trials: Indices, task: ContrastTask) -> Indices:
    n_bins = task.counts.shape[1]
    return np.asarray((trials[:, None] * n_bins + np.arange(n_bins)).ravel(), dtype=np.int64)
