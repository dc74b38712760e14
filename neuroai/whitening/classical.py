"""`ZCA` and its relatives as a scikit-learn transformer: in batch, accumulated, or forgetting."""

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from neuroai.errors import ConfigError
from neuroai.whitening._estimator import WhitenerBase
from neuroai.whitening.baselines import (
    METHODS,
    Method,
    estimate_covariance,
    iterative_normalisation,
    whitening_matrix,
)
from neuroai.whitening.gains import symmetric_root
from neuroai.whitening.schedule import AdaptiveStep

__all__ = ["ZCA"]

Array = NDArray[np.float64]


class ZCA(WhitenerBase):
    r"""Whiten with a matrix of the estimated covariance: the classical methods behind one interface.

    .. math:: y = T (x - \mu), \qquad T C T^T = I

    Parameters
    ----------
    method : {"zca", "pca", "cholesky", "zca-cor", "pca-cor", "iterative"}
        See `~neuroai.whitening.baselines.whitening_matrix`; "iterative" is iterative normalisation,
        which leaves small variances under-whitened.
    rank : int, optional
        Directions to keep, those of largest variance; all that vary by default.
    shrinkage : {"none", "ledoit-wolf", "oas"} or float in [0, 1]
        Of `fit`: the covariance drawn towards a multiple of the identity.
    forgetting : None, "adaptive" or float in (0, 1)
        Of `partial_fit`. None: all samples count the same. A number ``f``: moving averages,
        :math:`C \leftarrow (1-f) C + f (x-\mu)(x-\mu)^T`, sample by sample. "adaptive": ``f`` is large after
        a change and falls while nothing changes (`~neuroai.whitening.schedule.AdaptiveStep`).
    n_steps : int
        Steps of iterative normalisation.

    Attributes
    ----------
    whitening_ : ndarray (n_out, n_features)
        ``T``; ``n_out`` is the rank for the "pca" forms.
    unwhitening_ : ndarray (n_features, n_out)
        Pseudo-inverse of ``T``.
    mean_ : ndarray (n_features,)
    covariance_ : ndarray (n_features, n_features)
        As estimated, divided by the number of samples.
    n_samples_seen_ : int
    changes_ : list of int
        Samples at which the statistics were found to change (adaptive forgetting).

    Notes
    -----
    Time ``O(m n^2 + n^3)`` a call; adaptive forgetting takes ``O(n^3)`` a sample. A moving average starts
    at mean zero and unit covariance. Directions that do not vary are projected out. Computed in float64.

    References
    ----------
    Kessy, Lewin, Strimmer (2018), The American Statistician. Huang, Zhou, Zhu, Liu, Shao (2019), CVPR.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((500, 3)) @ rng.standard_normal((3, 3))
    >>> y = ZCA().fit_transform(x)
    >>> np.allclose(np.cov(y.T, bias=True), np.eye(3))
    True
    """

    def __init__(
        self,
        method: Method | Literal["iterative"] = "zca",
        *,
        rank: int | None = None,
        shrinkage: Literal["none", "ledoit-wolf", "oas"] | float = "none",
        forgetting: Literal["adaptive"] | float | None = None,
        n_steps: int = 5,
    ) -> None:
        self.method = method
        self.rank = rank
        self.shrinkage = shrinkage
        self.forgetting = forgetting
        self.n_steps = n_steps

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Whiten the sample covariance of ``X`` (n_samples, n_features)."""
        x = self._fittable(X)
        self.mean_ = x.mean(axis=0)
        self.covariance_, self.shrinkage_ = estimate_covariance(x, self.shrinkage)
        self.n_samples_seen_ = len(x)
        self._steps = AdaptiveStep(gain=1.0)
        self.changes_ = self._steps.changes
        return self._refresh()

    def partial_fit(self, X: ArrayLike, y: object = None) -> Self:
        """Take in further samples."""
        first = not hasattr(self, "covariance_")
        x = self._validated(X, reset=first)
        if first:
            self.n_samples_seen_ = 0
            self.mean_, self.covariance_ = np.zeros(x.shape[1]), np.eye(x.shape[1])
            self._steps = AdaptiveStep(gain=1.0)
            self.changes_ = self._steps.changes
        if self.forgetting is None:
            self._accumulate(x)
        elif self.forgetting == "adaptive":
            self._adapt(x)
        else:
            self._average(x, float(self.forgetting))
        self.n_samples_seen_ += len(x)
        return self._refresh()

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Whitened ``X`` (n_samples, n_features), in its floating dtype."""
        check_is_fitted(self, "whitening_")
        x = self._validated(X, reset=False)
        white: NDArray[Any] = (x - self.mean_) @ self.whitening_.T
        return white.astype(self._output_dtype(X), copy=False)

    def inverse_transform(self, X: ArrayLike) -> NDArray[Any]:
        """Inputs that whiten to ``X`` (n_samples, n_out), exact on the directions that are kept."""
        check_is_fitted(self, "whitening_")
        responses = self._responses(X, self.whitening_.shape[0])
        inputs: NDArray[Any] = responses @ self.unwhitening_.T + self.mean_
        return inputs.astype(self._output_dtype(X), copy=False)

    def _refresh(self) -> Self:
        if self.method == "iterative":
            self.whitening_ = iterative_normalisation(self.covariance_, self.n_steps)
        elif self.method in METHODS:
            self.whitening_ = whitening_matrix(self.covariance_, self.method, rank=self.rank)
        else:
            known = ", ".join((*METHODS, "iterative"))
            raise ConfigError(f"unknown whitening method {self.method!r}; choose one of {known}")
        self.unwhitening_ = np.linalg.pinv(self.whitening_)
        return self

    def _accumulate(self, x: Array) -> None:
        """Pool means and covariances of two sets of samples (Chan, Golub, LeVeque 1979)."""
        share = len(x) / (self.n_samples_seen_ + len(x))
        shift = x.mean(axis=0) - self.mean_
        covariance, _ = estimate_covariance(x)
        between = share * (1 - share) * np.outer(shift, shift)
        self.covariance_ = (1 - share) * self.covariance_ + share * covariance + between
        self.mean_ = self.mean_ + share * shift

    def _average(self, x: Array, forgetting: float) -> None:
        if not 0 < forgetting < 1:
            raise ConfigError(f"forgetting must lie between 0 and 1; found {forgetting}")
        for sample in x:
            self._blend(sample - self.mean_, forgetting)

    def _adapt(self, x: Array) -> None:
        for sample in x:
            centred = sample - self.mean_
            white = np.linalg.lstsq(symmetric_root(self.covariance_), centred, rcond=None)[0]
            drive = np.outer(white, white) - np.eye(len(white))
            self._blend(centred, self._steps.next(drive.ravel()))

    def _blend(self, centred: Array, weight: float) -> None:
        self.covariance_ = self.covariance_ + weight * (np.outer(centred, centred) - self.covariance_)
        self.mean_ = self.mean_ + weight * centred
