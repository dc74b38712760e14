"""Decoders of behaviour from lagged counts that any larger model must beat: ridge, lasso, MLP, GRU.

All see the same windows (square roots of counts, scaled by the training bins), and choose their penalty or
the end of their training on contiguous parts of the training data alone.
"""

from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import ConfigError, ShapeError
from neuroai.neuroformer.count_windows import CountWindows
from neuroai_datasets.splits import blocked

__all__ = ["LinearDecoder", "NetworkDecoder"]

Array = NDArray[np.float64]

_RIDGE = np.logspace(0, 6, 13)
_SHARE = 0.15  # of the training windows, the last ones in time, on which networks stop


class LinearDecoder:
    """Linear regression of behaviour on lagged counts, with a ridge or a lasso penalty.

    Parameters
    ----------
    penalty : {"ridge", "lasso"}
        Its strength is chosen by five contiguous folds of the training windows.

    Attributes
    ----------
    alpha_ : float or list of float
        Chosen strengths (lasso: one a variable).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> windows = CountWindows(rng.poisson(2.0, (300, 3)), np.arange(300), -1, 0)
    >>> target = np.sqrt(windows.counts[:, :1])
    >>> model = LinearDecoder().fit(windows, target)
    >>> bool(np.abs(model.predict(windows) - target).max() < 0.05)
    True
    """

    def __init__(self, penalty: Literal["ridge", "lasso"] = "ridge") -> None:
        if penalty not in ("ridge", "lasso"):
            raise ConfigError(f"found the penalty {penalty!r}; there are: ridge, lasso")
        self.penalty = penalty

    def fit(self, windows: CountWindows, target: ArrayLike) -> Self:
        """Fit to windows and their behaviour (n_windows, n_variables)."""
        from sklearn.linear_model import LassoCV, RidgeCV

        y = _target(windows, target)
        self.mean_, self.sd_ = windows.scaling()
        x = self._features(windows)
        folds = list(blocked(len(x), 5, min(windows.shape[1], len(x) // 10)))
        if self.penalty == "ridge":
            self.models_ = [RidgeCV(_RIDGE, cv=folds).fit(x, y)]
            self.alpha_: float | list[float] = float(self.models_[0].alpha_)
        else:
            self.models_ = [
                LassoCV(alphas=_lasso_grid(x, column), cv=folds, max_iter=20_000, tol=1e-3).fit(x, column)
                for column in y.T
            ]
            self.alpha_ = [float(model.alpha_) for model in self.models_]
        return self

    def predict(self, windows: CountWindows) -> Array:
        """Behaviour (n_windows, n_variables)."""
        x = self._features(windows)
        return np.concatenate([model.predict(x).reshape(len(x), -1) for model in self.models_], axis=1)

    def _features(self, windows: CountWindows) -> Array:
        return scaled(windows, self.mean_, self.sd_).reshape(len(windows), -1)


class NetworkDecoder:
    """A multilayer perceptron over the whole window, or a gated recurrent network over its bins.

    Parameters
    ----------
    kind : {"mlp", "gru"}
    task : {"values", "counts", "classes"}
        What is predicted: real values (squared error on scaled targets), expected counts (Poisson loss), or
        one of two classes (logistic loss; the prediction is above 0 for True).
    width, depth : int
        Units of a layer, and layers.
    dropout : float
    epochs, batch_size : int
        Training ends after 10 epochs without a better score on the last 15 % of the training windows, and
        keeps the best epoch.
    learning_rate, weight_decay : float
        Of AdamW.
    n_members : int
        Networks of different seeds whose predictions are averaged.
    seed : int

    Notes
    -----
    Trained by :func:`neuroai.training.train`. float32.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> windows = CountWindows(rng.poisson(2.0, (200, 3)), np.arange(200), -1, 0)
    >>> model = NetworkDecoder("mlp", epochs=2).fit(windows, windows.counts[:, :1])
    >>> model.predict(windows).shape
    (200, 1)
    """

    def __init__(
        self,
        kind: Literal["mlp", "gru"] = "mlp",
        task: Literal["values", "counts", "classes"] = "values",
        *,
        width: int = 128,
        depth: int = 2,
        dropout: float = 0.3,
        epochs: int = 100,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
        n_members: int = 1,
        seed: int = 0,
    ) -> None:
        if kind not in ("mlp", "gru") or task not in ("values", "counts", "classes"):
            raise ConfigError(f"found {kind!r} for {task!r}; there are: mlp, gru for values, counts, classes")
        self.kind, self.task = kind, task
        self.width, self.depth, self.dropout = width, depth, dropout
        self.epochs, self.batch_size = epochs, batch_size
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.n_members, self.seed = n_members, seed

    def fit(self, windows: CountWindows, target: ArrayLike) -> Self:
        """Fit to windows, in the order of time, and their target (n_windows, n_variables)."""
        from neuroai.neuroformer.baseline_networks import fit_network

        y = _target(windows, target)
        self.mean_, self.sd_ = windows.scaling()
        self.centre_, self.spread_ = np.zeros(y.shape[1]), np.ones(y.shape[1])
        if self.task == "values":
            self.centre_ = y.mean(axis=0)
            self.spread_ = np.where(y.std(axis=0) > 0, y.std(axis=0), 1.0)
        y = (y - self.centre_) / self.spread_
        n_train = len(y) - max(1, round(_SHARE * len(y)))
        if n_train < 2:
            raise ShapeError(f"{len(y)} windows are too few to train on and to stop by")
        self.networks_ = [
            fit_network(self, windows, y, n_train, self.seed + i) for i in range(self.n_members)
        ]
        return self

    def predict(self, windows: CountWindows) -> Array:
        """Values, expected counts, or evidence for True, (n_windows, n_variables)."""
        from neuroai.neuroformer.baseline_networks import run_network

        found = [run_network(network, windows, self) for network in self.networks_]
        mean: Array = np.mean([np.exp(part) if self.task == "counts" else part for part in found], axis=0)
        return mean * self.spread_ + self.centre_


def scaled(windows: CountWindows, mean: Array, sd: Array, index: slice | ArrayLike = slice(None)) -> Array:
    """Square-root counts of some windows, scaled: (n, n_lags, n_units)."""
    features: Array = (np.sqrt(windows[index]) - mean) / sd
    return features


def _lasso_grid(x: Array, y: Array) -> Array:
    """Penalties from the smallest that leaves no weight to a thousandth of it."""
    largest = np.abs((x - x.mean(axis=0)).T @ (y - y.mean())).max() / len(x)
    grid: Array = max(largest, 1e-12) * np.logspace(0, -3, 16)
    return grid


def _target(windows: CountWindows, target: ArrayLike) -> Array:
    y = np.asarray(target, dtype=np.float64)
    if y.ndim != 2 or len(y) != len(windows):
        raise ShapeError(f"target has shape {y.shape}; (n_windows = {len(windows)}, n_variables) is needed")
    if not np.isfinite(y).all():
        raise ShapeError(f"{int((~np.isfinite(y)).any(axis=1).sum())} windows have no value: leave them out")
    return y
