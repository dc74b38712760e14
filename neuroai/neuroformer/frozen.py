"""Decode behaviour from a pretrained model that is left as it is: for labels too few to fine-tune on."""

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import ConfigError, ShapeError

if TYPE_CHECKING:
    from neuroai.neuroformer.model import Neuroformer
    from neuroai.neuroformer.windows import Windows

__all__ = ["FrozenDecoder", "window_features"]

Array = NDArray[np.float64]

_STRENGTHS = np.logspace(-1, 2.5, 8)  # inverse penalties of the logistic regression, in total variances
_FOLDS = 5


def window_features(
    model: "Neuroformer", windows: "Windows", *, span: int | None = None, batch_size: int = 64
) -> Array:
    """What a model makes of each window, and the counts it was made from.

    Parameters
    ----------
    model : Neuroformer
    windows : Windows
    span : int, optional
        Bins over which counts are summed, a divisor of past and current bins; default the window.
    batch_size : int

    Returns
    -------
    ndarray of float64 (n_windows, 2 * width + n_spans * n_units)
        Features averaged over the window's tokens, features at its last token, and square roots of the
        counts of each span, past window first.

    Examples
    --------
    >>> from neuroai.datasets import simulate_spikes
    >>> from neuroai.neuroformer import Neuroformer, NeuroformerConfig
    >>> model = Neuroformer(NeuroformerConfig(sessions={"a": 5}, width=16, heads=2, past=0.1))
    >>> window_features(model, model.windows(simulate_spikes(5, 1.0))).shape
    (19, 47)
    """
    import torch

    from neuroai.neuroformer.ahead import recent_counts
    from neuroai.neuroformer.likelihood import batches_of

    config = model.config
    span = config.window_bins if span is None else span
    if span < 1 or config.window_bins % span or config.past_bins % span:
        raise ConfigError(
            f"span = {span} bins: expected a divisor of {config.past_bins} past and {config.window_bins} bins"
        )
    n_units, rows = config.sessions[windows.session], []
    model.eval()
    with torch.no_grad():
        for _, batch in batches_of(model, windows, batch_size):
            found = model.encode(batch)
            last = found.tokens[batch.current.layout.offsets[1:].long() - 1]
            counts = recent_counts(batch, n_units, config.past_bins, config.window_bins)
            sums = counts.reshape(len(batch), -1, span, n_units).sum(2).flatten(1)
            rows.append(torch.cat([found.pooled, last, sums.sqrt()], dim=1).double().cpu().numpy())
    return np.concatenate(rows)


class FrozenDecoder:
    """Read behaviour out of features with a regularised readout.

    Parameters
    ----------
    task : {"series", "category"}
        Series: kernel ridge regression with a Matern kernel of order 3/2, made for the map of
        :class:`~neuroai.neuroformer.time_contrast.TimeContrast`. Category: logistic regression.
    width : float
        Series: squared width of the kernel, in medians of the squared distances between labelled windows.
    penalty : float
        Series: of the ridge.
    seed : int
        Category: of the five folds of labelled windows by which the penalty is chosen, and whether features
        are standardised.

    Attributes
    ----------
    score_ : float
        Category: mean log probability of the true class in the folds, by which feature sets may be compared.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 30)[:, None]
    >>> bool(abs(FrozenDecoder("series", penalty=1e-3).fit(x, x**2).predict([[0.5]])[0, 0] - 0.25) < 0.05)
    True
    """

    def __init__(
        self,
        task: Literal["series", "category"],
        *,
        width: float = 3.0,
        penalty: float = 0.03,
        seed: int = 0,
    ) -> None:
        if task not in ("series", "category"):
            raise ConfigError(f"task = {task!r}: expected 'series' or 'category'")
        self.task, self.width, self.penalty, self.seed = task, width, penalty, seed

    def fit(self, features: ArrayLike, target: ArrayLike) -> Self:
        """Fit to features (n, m) and values (n, n_variables), or classes (n,)."""
        x, y = np.asarray(features, dtype=np.float64), np.asarray(target)
        if x.ndim != 2 or len(x) != len(y) or len(x) < 2:
            raise ShapeError(f"features {x.shape}, target {y.shape}: expected two windows or more of both")
        self.model_ = self._regression(x, y) if self.task == "series" else self._classifier(x, y)
        return self

    def predict(self, features: ArrayLike) -> Array:
        """Values (n, n_variables), or probabilities of the classes (n, n_classes)."""
        x = np.asarray(features, dtype=np.float64)
        if self.task == "series":
            return np.asarray(self.model_.predict(x) + self.centre_)
        return np.asarray(self.model_.predict_proba(x))

    def _regression(self, x: Array, y: Array) -> Any:
        from scipy.spatial.distance import pdist
        from sklearn.gaussian_process.kernels import Matern
        from sklearn.kernel_ridge import KernelRidge

        squared = pdist(x, "sqeuclidean")
        scale = float(np.median(squared[squared > 0])) if (squared > 0).any() else 1.0
        self.centre_: Array = y.mean(axis=0)
        kernel = Matern(np.sqrt(self.width * scale), "fixed", nu=1.5)
        return KernelRidge(alpha=self.penalty, kernel=kernel).fit(x, y - self.centre_)

    def _classifier(self, x: Array, y: Array) -> Any:
        from sklearn.decomposition import PCA
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV, StratifiedKFold
        from sklearn.pipeline import Pipeline
        from sklearn.preprocessing import StandardScaler

        folds = min(_FOLDS, int(np.unique(y, return_counts=True)[1].min()))
        total = max(float(x.var(axis=0).sum()), 1e-12)
        found = []
        for scale, spread in ((StandardScaler(), x.shape[1]), ("passthrough", total)):
            # All components: a rotation, which no ridge penalty sees, to as many columns as windows.
            turn = Pipeline([("scale", scale), ("turn", PCA())]).fit(x)
            read = LogisticRegression(max_iter=1000)
            if folds < 2:
                return Pipeline([("turn", turn), ("read", read.fit(turn.transform(x), y))])
            parts = StratifiedKFold(folds, shuffle=True, random_state=self.seed)
            search = GridSearchCV(read, {"C": _STRENGTHS / spread}, scoring="neg_log_loss", cv=parts)
            found.append((search.fit(turn.transform(x), y), turn))
        best, turn = max(found, key=lambda one: float(one[0].best_score_))
        self.score_ = float(best.best_score_)
        return Pipeline([("turn", turn), ("read", best.best_estimator_)])
