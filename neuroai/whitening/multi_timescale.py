"""`MultiTimescaleWhitener`: gains that follow a context, synapses that learn what contexts share."""

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from neuroai.errors import ConfigError, ShapeError
from neuroai.whitening._estimator import WhitenerBase
from neuroai.whitening.timescales import Progress, context_gains, learn_frame, synaptic_drive

__all__ = ["MultiTimescaleWhitener"]

Array = NDArray[np.float64]


class MultiTimescaleWhitener(WhitenerBase):
    r"""Whiten many contexts with few interneurons: fast gains on a slowly learned frame.

    .. math:: y = (\alpha I + W\,\mathrm{diag}(g)\,W^T)^{-1} (x - \mu)

    `fit` learns the frame over labelled contexts. `partial_fit` runs the circuit: gains follow the samples,
    synapses follow slowly. `adapt` sets the gains for a new context and leaves the frame.

    Parameters
    ----------
    n_interneurons : int, optional
        As many as features by default.
    leak : float
        ``alpha``, in units of the inputs: the response to an input that no interneuron sees is ``x / alpha``.
        Contexts of variance below ``alpha ** 2`` need negative gains.
    gain_step, synapse_step : float
        ``eta_g`` and ``eta_w`` of `partial_fit`, a sample.
    learning_step : float
        ``eta_w`` of `fit`, an epoch over all contexts.
    n_epochs : int
    seed : int
        Of the orthogonal frame that `partial_fit` starts from (and of columns of `fit` beyond the features).

    Attributes
    ----------
    frame_ : ndarray (n_features, n_interneurons)
        Unit columns.
    gains_ : ndarray (n_interneurons,)
        Of the context adapted to last; after `fit`, of all samples pooled.
    context_gains_ : ndarray (contexts, n_interneurons)
        After `fit`.
    contexts_ : ndarray (contexts,)
        Their labels.
    errors_ : ndarray
        Mean operator error over contexts while learning.
    mean_ : ndarray (n_features,)

    Notes
    -----
    Time of `fit`: ``O(n_epochs c n^3)`` for ``c`` contexts. Computed in float64; the output has the
    input's floating dtype. A millionth of the mean variance is added to the diagonal of covariances.

    References
    ----------
    Duong, Simoncelli, Chklovskii, Lipshutz (2023), NeurIPS.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> scales = np.array([[3.0, 1.0], [1.0, 2.0], [2.0, 2.5]])
    >>> x = np.concatenate([rng.standard_normal((400, 2)) * s for s in scales])
    >>> whitener = MultiTimescaleWhitener(n_epochs=200).fit(x, contexts=np.repeat([0, 1, 2], 400))
    >>> bool(np.abs(np.cov(whitener.adapt(x[:400]).transform(x[:400]).T) - np.eye(2)).max() < 0.1)
    True
    """

    def __init__(
        self,
        n_interneurons: int | None = None,
        *,
        leak: float = 1.0,
        gain_step: float = 0.02,
        synapse_step: float = 1e-4,
        learning_step: float = 0.1,
        n_epochs: int = 500,
        seed: int = 0,
    ) -> None:
        self.n_interneurons = n_interneurons
        self.leak = leak
        self.gain_step = gain_step
        self.synapse_step = synapse_step
        self.learning_step = learning_step
        self.n_epochs = n_epochs
        self.seed = seed

    def fit(
        self,
        X: ArrayLike,
        y: object = None,
        *,
        contexts: ArrayLike | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Learn the frame.

        Parameters
        ----------
        X : array (n_samples, n_features)
        y : ignored
        contexts : array (n_samples,), optional
            Label of the context of every sample; one context by default. Means are removed a context.
        progress : callable, optional
            Called as ``progress(stage, done, total)``.
        """
        x = self._fittable(X)
        labels = np.zeros(len(x), dtype=np.int64) if contexts is None else np.asarray(contexts)
        if labels.shape != (len(x),):
            raise ShapeError(f"contexts have shape {labels.shape}; one label a sample is needed: ({len(x)},)")
        self._start(x.shape[1])
        k = self.frame_.shape[1]
        self.mean_ = x.mean(axis=0)
        self.contexts_, number = np.unique(labels, return_inverse=True)
        parts = [x[number == c] - x[number == c].mean(axis=0) for c in range(len(self.contexts_))]
        covariances = torch.from_numpy(np.stack([self._covariance(part) for part in parts]))
        # The basis of the mean covariance is orthogonal and often near: learning starts there.
        shared = np.linalg.eigh(covariances.mean(0).numpy())[1][:, ::-1][:, :k]
        self.frame_ = np.concatenate([shared, self.frame_[:, shared.shape[1] :]], axis=1)
        learned = learn_frame(
            covariances,
            torch.from_numpy(self.frame_),
            step=self.learning_step,
            n_epochs=self.n_epochs,
            leak=self.leak,
            progress=progress,
        )
        self.frame_ = learned.frame.numpy()
        self.context_gains_, self.errors_ = learned.gains.numpy(), learned.errors.numpy()
        return self.adapt(x)

    def adapt(self, X: ArrayLike) -> Self:
        """Set the best gains (and the mean) for samples of one context; the frame stays."""
        check_is_fitted(self, "frame_")
        x = self._validated(X, reset=False)
        self.mean_ = x.mean(axis=0)
        covariance = torch.from_numpy(self._covariance(x - self.mean_))[None]
        self.gains_ = context_gains(covariance, torch.from_numpy(self.frame_), self.leak)[0].numpy()
        return self._settle()

    def partial_fit(self, X: ArrayLike, y: object = None) -> Self:
        """Run the circuit over samples in order: mean and gains follow them, synapses slowly."""
        first = not hasattr(self, "frame_")
        x = self._validated(X, reset=first)
        if first:
            self._start(x.shape[1])
        for sample in x:
            self._follow(sample)
        return self

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Responses to ``X`` (n_samples, n_features), in its floating dtype."""
        check_is_fitted(self, "frame_")
        x = self._validated(X, reset=False)
        responses: NDArray[Any] = np.linalg.solve(self.response_matrix_, (x - self.mean_).T).T
        return responses.astype(self._output_dtype(X), copy=False)

    def inverse_transform(self, X: ArrayLike) -> NDArray[Any]:
        """Inputs that give responses ``X``."""
        check_is_fitted(self, "frame_")
        responses = self._responses(X, self.n_features_in_)
        inputs: NDArray[Any] = responses @ self.response_matrix_ + self.mean_
        return inputs.astype(self._output_dtype(X), copy=False)

    frame_: Array

    def _start(self, n: int) -> None:
        k = n if self.n_interneurons is None else self.n_interneurons
        if k < 1:
            raise ConfigError(f"n_interneurons must be at least 1; found {k}")
        rng = np.random.default_rng(self.seed)
        bases = [np.linalg.qr(rng.standard_normal((n, n)))[0] for _ in range(-(-k // n))]
        self.frame_ = np.concatenate(bases, axis=1)[:, :k]
        self.gains_, self.mean_ = np.zeros(k), np.zeros(n)
        self._settle()

    def _covariance(self, centred: Array) -> Array:
        covariance = centred.T @ centred / len(centred)
        variance = float(np.trace(covariance)) / len(covariance)
        if not variance > 0:
            raise ConfigError("no feature varies within a context: there is nothing to whiten")
        return np.asarray(covariance + 1e-6 * variance * np.eye(len(covariance)))

    def _settle(self) -> Self:
        self.response_matrix_ = (
            self.leak * np.eye(len(self.frame_)) + (self.frame_ * self.gains_) @ self.frame_.T
        )
        return self

    def _follow(self, sample: Array) -> None:
        centred = sample - self.mean_
        response = np.linalg.solve(self.response_matrix_, centred)
        drive = (self.frame_.T @ response) ** 2 - 1
        synapses = synaptic_drive(*(torch.from_numpy(a) for a in (response[None], self.frame_, self.gains_)))
        frame = self.frame_ + self.synapse_step * synapses.numpy()
        self.frame_ = frame / np.linalg.norm(frame, axis=0)
        self.gains_ = self.gains_ + self.gain_step * drive
        self.mean_ = self.mean_ + self.gain_step * centred
        self._settle()
        if np.linalg.eigvalsh(self.response_matrix_)[0] <= 0:
            raise ConfigError(
                f"a gain step of {self.gain_step:g} makes the circuit unstable: use a smaller one"
            )
