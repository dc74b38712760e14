"""`GainWhitener`: gain adaptation as a scikit-learn transformer, in batch and in stream."""

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from neuroai.errors import ConfigError, ShapeError
from neuroai.whitening._estimator import WhitenerBase
from neuroai.whitening.baselines import numerical_rank
from neuroai.whitening.frames import signed_pair_frame
from neuroai.whitening.gains import (
    nonnegative_gains,
    optimal_gains,
    signed_pair_gains,
    squared_gram,
    symmetric_root,
)
from neuroai.whitening.schedule import AdaptiveStep

__all__ = ["GainWhitener"]

Array = NDArray[np.float64]

#: A stream whose step must become smaller than this to stay stable has a direction that does not vary.
_SMALLEST_STEP = 1e-7


class GainWhitener(WhitenerBase):
    r"""Whiten by adapting the gains of interneurons on a fixed frame.

    .. math:: y = (I + W\,\mathrm{diag}(g)\,W^T)^{-1} (x - \mu)

    `fit` finds the optimal gains of the sample covariance exactly. `partial_fit` adapts sample by sample,
    as the circuit does, and follows changing statistics.

    Parameters
    ----------
    frame : "signed-pairs" or array (n_features, k)
        Unit columns. The default spans all covariances with ``n_features ** 2`` interneurons.
    nonnegative : bool
        Keep gains at or above zero: never amplifies and never runs away, but leaves variance below 1 and
        some correlations as they are. Scale inputs so that variances exceed 1.
    preconditioned : bool
        Stream with the frame-independent update (every frame adapts as all lateral synapses together would).
    step : "adaptive" or float
        Gain step of the stream; see `~neuroai.whitening.schedule.AdaptiveStep`.

    Attributes
    ----------
    gains_ : ndarray (k,)
    frame_ : ndarray (n_features, k)
    mean_ : ndarray (n_features,)
    response_matrix_ : ndarray (n_features, n_features)
        ``M``; responses are ``M^+ (x - mean)``.
    rank_ : int
        Directions of the input that vary; the others are not amplified but projected out.
    changes_ : list of int
        Samples of the stream at which the statistics were found to change (adaptive step).

    Notes
    -----
    `fit`: time ``O(m n^2 + n^3)`` for the default frame, ``O(k^3)`` for another. `partial_fit`: a sample
    takes ``O(n^3)`` to settle, and ``O(k^2)`` for a preconditioned frame other than the default. Computed in
    float64; the output has the input's floating dtype.

    References
    ----------
    Duong, Lipshutz, Heeger, Chklovskii, Simoncelli (2023), ICML.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((500, 3)) @ rng.standard_normal((3, 3))
    >>> y = GainWhitener().fit_transform(x)
    >>> np.allclose(np.cov(y.T, bias=True), np.eye(3))
    True
    """

    def __init__(
        self,
        frame: Literal["signed-pairs"] | ArrayLike = "signed-pairs",
        *,
        nonnegative: bool = False,
        preconditioned: bool = True,
        step: Literal["adaptive"] | float = "adaptive",
    ) -> None:
        self.frame = frame
        self.nonnegative = nonnegative
        self.preconditioned = preconditioned
        self.step = step

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Find the optimal gains of the covariance of samples ``X`` (n_samples, n_features)."""
        x = self._fittable(X)
        self._start(x.shape[1])
        self.mean_ = x.mean(axis=0)
        centred = x - self.mean_
        covariance = centred.T @ centred / len(x)
        self.rank_ = numerical_rank(np.linalg.eigvalsh(covariance))
        if self.nonnegative:
            self.gains_ = nonnegative_gains(covariance, self.frame_)
        elif self._pairs:
            self.gains_ = signed_pair_gains(symmetric_root(covariance) - np.eye(x.shape[1]))
        else:
            self.gains_ = optimal_gains(covariance, self.frame_)
        self.response_matrix_ = self._matrix(self.gains_)
        self._lowest = float(np.linalg.eigvalsh(self.response_matrix_)[0])
        return self

    def partial_fit(self, X: ArrayLike, y: object = None) -> Self:
        """Adapt to samples one after the other; the first call starts where responses equal inputs."""
        first = not hasattr(self, "gains_")
        x = self._validated(X, reset=first)
        if first:
            self._start(x.shape[1])
        for sample in x:
            self._adapt(sample)
        return self

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Responses to ``X`` (n_samples, n_features), in its floating dtype."""
        check_is_fitted(self, "gains_")
        x = self._validated(X, reset=False)
        response: NDArray[Any] = (x - self.mean_) @ self._inverse()
        return response.astype(self._output_dtype(X), copy=False)

    def inverse_transform(self, X: ArrayLike) -> NDArray[Any]:
        """Inputs that give responses ``X``: ``M y + mean``, exact on the directions that vary."""
        responses = self._responses(X, self.n_features_in_)
        inputs: NDArray[Any] = responses @ self.response_matrix_ + self.mean_
        return inputs.astype(self._output_dtype(X), copy=False)

    def _start(self, n: int) -> None:
        """Set up frame and preconditioner; responses equal inputs."""
        self._pairs = isinstance(self.frame, str)
        if self._pairs and self.frame != "signed-pairs":
            raise ConfigError(
                f"unknown frame {self.frame!r}: pass 'signed-pairs' or an array (n_features, k)"
            )
        self.frame_ = signed_pair_frame(n) if self._pairs else np.asarray(self.frame, dtype=np.float64)
        if self.frame_.ndim != 2 or self.frame_.shape[0] != n:
            raise ShapeError(f"the frame has shape {self.frame_.shape}; the data need ({n}, k)")
        if not np.allclose((self.frame_**2).sum(axis=0), 1.0, atol=1e-6):
            raise ConfigError("columns of the frame must have unit norm: divide each by its norm")
        self._preconditioner = None
        if self.preconditioned and not self._pairs:
            self._preconditioner = np.linalg.pinv(squared_gram(self.frame_), hermitian=True, rcond=1e-10)
        # A step of 1/n moves every direction of M by about its own size in n samples: no larger.
        largest = min(1 / 30, 1 / (2 * n))
        self._steps = AdaptiveStep(largest=largest, smallest=min(1 / 3000, largest))
        self.changes_ = self._steps.changes
        self.mean_ = np.zeros(n)
        self.gains_ = np.zeros(self.frame_.shape[1])
        self.response_matrix_, self._lowest = np.eye(n), 1.0
        self.rank_ = n

    def _adapt(self, sample: Array) -> None:
        response = np.linalg.solve(self.response_matrix_, sample - self.mean_)
        drive = (self.frame_.T @ response) ** 2 - 1
        step = self._steps.next(drive) if self.step == "adaptive" else float(self.step)
        self.mean_ = self.mean_ + step * (sample - self.mean_)
        if self.preconditioned and self._pairs:
            change = signed_pair_gains(np.outer(response, response) - np.eye(len(response)))
        else:
            change = drive if self._preconditioner is None else self._preconditioner @ drive
        gains = self.gains_ + step * change
        if self.nonnegative:
            self.gains_ = np.maximum(gains, 0)
            self.response_matrix_ = self._matrix(self.gains_)
            return
        matrix = self._matrix(gains)
        # An adaptive step leaves at least half of the lowest eigenvalue.
        floor = 0.5 * self._lowest if self.step == "adaptive" else 0.0
        while (lowest := float(np.linalg.eigvalsh(matrix)[0])) <= floor:
            step /= 2
            if self.step != "adaptive" or step < _SMALLEST_STEP:
                raise ConfigError(
                    f"a gain step of {2 * step:g} makes the circuit unstable (M is not positive definite): "
                    "use a smaller step, step='adaptive', or nonnegative=True; leave out features that do "
                    "not vary or follow from others"
                )
            gains = self.gains_ + step * change
            matrix = self._matrix(gains)
        self.gains_, self.response_matrix_, self._lowest = gains, matrix, lowest

    def _matrix(self, gains: Array) -> Array:
        if self._pairs:
            return np.eye(self.frame_.shape[0]) + _pair_matrix(gains, self.frame_.shape[0])
        matrix: Array = np.eye(self.frame_.shape[0]) + (self.frame_ * gains) @ self.frame_.T
        return matrix

    def _inverse(self) -> Array:
        """Pseudo-inverse of ``M`` that leaves out directions in which the input does not vary."""
        values, vectors = np.linalg.eigh(self.response_matrix_)
        kept = np.arange(len(values)) >= len(values) - self.rank_ if not self.nonnegative else values > 0
        inverse: Array = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
        return inverse


def _pair_matrix(gains: Array, n: int) -> Array:
    """``W diag(g) W^T`` of the signed pair frame in ``O(n^2)``."""
    first, second = np.triu_indices(n, 1)
    axes, sums, differences = np.split(gains, [n, n + first.size])
    matrix = np.zeros((n, n))
    matrix[first, second] = 0.5 * (sums - differences)
    matrix += matrix.T
    diagonal = axes.copy()
    np.add.at(diagonal, first, 0.5 * (sums + differences))
    np.add.at(diagonal, second, 0.5 * (sums + differences))
    np.fill_diagonal(matrix, diagonal)
    return matrix
