"""`PoissonGLM`: counts of many units from stimulus, their own past and each other's past."""

import warnings
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from neuroai.errors import ConfigError, DataError, ShapeError
from neuroai.glm.design import Design
from neuroai.glm.links import LINKS, Link, log_likelihood, rate_of
from neuroai.glm.penalties import blocked_folds, choose_alpha
from neuroai.glm.problem import Problem
from neuroai.glm.simulate import simulate_counts
from neuroai.glm.solve import solve

__all__ = ["PoissonGLM"]

Array = NDArray[np.float64]


class PoissonGLM(MultiOutputMixin, RegressorMixin, BaseEstimator):
    r"""Poisson regression of spike counts on features, spike history and coupling.

    .. math:: y_{ti} \sim \mathrm{Poisson}(f_{ti}), \qquad f_{ti} = \sigma\Big(b_i + \sum_d c_{id} x_{td}
              + \sum_{jb} w_{ijb} \sum_k \phi_b(k)\, y_{t-k,j}\Big)

    fitted unit by unit, minimising the mean loss plus
    :math:`\alpha\,(\tfrac{1-\rho}{2}\|\cdot\|^2 + \rho\|\cdot\|_1)` on all weights but the intercept
    (without history: scikit-learn's ``PoissonRegressor``).

    Parameters
    ----------
    alpha : float or array-like
        Penalty, 0 or more. Of several, each unit gets the one that predicts held-out bins best.
    l1_ratio : float
        ``rho``: 0 ridge, 1 lasso.
    history : array-like (n_lags, n_functions), optional
        Basis of the history filters, for example
        :func:`~neuroai.glm.basis.raised_cosine_basis`. Without it past counts have no effect.
    coupling : bool or array-like of bool (n_units, n_units)
        Which sources (columns) reach which target (rows) through history: all (True), each unit itself only
        (False), or as given.
    link : {"exp", "softplus", "sigmoid"}
        ``sigma``. Sigmoid suits counts of 0 and 1 and has no convexity guarantee.
    cv : int or iterable of (train, test)
        Folds for the choice of ``alpha``. A number makes contiguous ones: of whole runs when they are told,
        otherwise with a gap of the history's length.
    tol, max_iter : float, int
        A unit has converged when no entry of its gradient exceeds ``tol``.
    memory : int
        Bytes for the design; a larger one is made again block by block in every iteration.

    Attributes
    ----------
    coef_ : ndarray (n_units, n_features) or (n_features,)
    intercept_ : ndarray (n_units,) or float
    history_ : ndarray (n_units, n_units, n_functions)
        From source ``j`` to target ``i``: ``history_[i, j]``.
    alpha_ : ndarray (n_units,)
    cv_scores_ : ndarray (n_alphas, n_units)
        Held-out log-likelihood a bin, largest penalty first; only when there was a choice.
    n_silent_ : int
        Units without a spike: their weights are 0 and their rate is half a spike in the training time.
    residual_ : ndarray (n_units,)
        Largest entry of the gradient at the end.
    n_iter_ : int

    Notes
    -----
    O(n_bins * n_columns * n_units) an iteration, ``n_columns = n_features + n_units * n_functions``;
    memory: the design (at most ``memory``) and about 8 arrays (n_bins, n_units) of float64.

    References
    ----------
    Truccolo et al. (2005), J. Neurophysiol. 93:1074. Pillow et al. (2008), Nature 454:995.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((2000, 2))
    >>> y = rng.poisson(np.exp(x @ [[0.5, 0.0], [0.0, -0.5]] - 1))
    >>> np.abs(PoissonGLM(alpha=1e-4).fit(x, y).coef_ - [[0.5, 0.0], [0.0, -0.5]]).max() < 0.1
    np.True_
    """

    def __init__(
        self,
        alpha: float | ArrayLike = 1e-3,
        *,
        l1_ratio: float = 0.0,
        history: ArrayLike | None = None,
        coupling: bool | ArrayLike = True,
        link: Link = "exp",
        cv: int | Iterable[tuple[ArrayLike, ArrayLike]] = 5,
        tol: float = 1e-6,
        max_iter: int = 1000,
        memory: int = 2**30,
    ) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.history = history
        self.coupling = coupling
        self.link = link
        self.cv = cv
        self.tol = tol
        self.max_iter = max_iter
        self.memory = memory

    def fit(
        self,
        X: ArrayLike | None,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        runs: ArrayLike | None = None,
    ) -> Self:
        """Fit to features ``X`` (n_bins, n_features) and counts ``y`` (n_bins, n_units) or (n_bins,).

        Parameters
        ----------
        X : array-like or None
            None for history alone.
        y : array-like
            Counts, 0 or more.
        sample_weight : array-like (n_bins,), optional
            How much each bin counts.
        runs : array-like (n_bins,), optional
            Run or trial of each bin; history does not cross them.
        """
        self._check_options()
        x, counts, flat = self._validated(X, y)
        weights = np.asarray(_check_sample_weight(sample_weight, x, dtype=np.float64))
        if weights.min() < 0 or weights.sum() == 0:
            raise DataError("sample weights must be 0 or more, and not all 0")
        labels = None if runs is None else np.asarray(runs)
        n_units, n_functions = counts.shape[1], self._basis().shape[1]
        columns = x.shape[1] + n_functions
        self.n_silent_ = int((counts.sum(axis=0) == 0).sum())
        self.alpha_, self.residual_ = np.zeros(n_units), np.zeros(n_units)
        self.n_iter_, self._scores = 0, np.zeros((np.size(np.asarray(self.alpha)), n_units))
        self._weights = np.zeros((n_units, x.shape[1] + n_units * n_functions))
        self.intercept_ = np.zeros(n_units)
        sources = self._sources(n_units)
        if n_functions and (sources == np.eye(n_units, dtype=np.bool_)).all():
            for unit in range(n_units):
                own = x.shape[1] + unit * n_functions + np.arange(n_functions)
                place = np.concatenate([np.arange(x.shape[1]), own])
                allowed = np.ones((1, columns), dtype=np.bool_)
                self._fit_units(x, counts[:, [unit]], np.array([unit]), place, allowed, weights, labels)
        else:
            allowed = np.concatenate(
                [np.ones((n_units, x.shape[1]), np.bool_), np.repeat(sources, n_functions, axis=1)], axis=1
            )
            place = np.arange(allowed.shape[1])
            self._fit_units(x, counts, np.arange(n_units), place, allowed, weights, labels)
        self._finish(x.shape[1], n_units, n_functions, flat=flat)
        return self

    def predict(
        self, X: ArrayLike | None, counts: ArrayLike | None = None, *, runs: ArrayLike | None = None
    ) -> Array:
        """Expected count of each bin, given the true counts of the bins before it.

        Parameters
        ----------
        X : array-like (n_bins, n_features) or None
        counts : array-like (n_bins, n_units), optional
            Needed with history; :meth:`simulate` goes without.
        runs : array-like (n_bins,), optional

        Returns
        -------
        ndarray (n_bins, n_units), or (n_bins,) when fitted to one series
        """
        check_is_fitted(self)
        x, past = self._observed(X, counts)
        design = Design(x, past, self._basis(), None if runs is None else np.asarray(runs), self.memory)
        rates = rate_of(design.drive(self._weights, np.atleast_1d(self.intercept_)), self.link)
        return rates.ravel() if self._flat else rates

    def score(
        self,
        X: ArrayLike | None,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        runs: ArrayLike | None = None,
    ) -> float:
        """Share of the deviance explained, mean over units: 1 perfect, 0 as good as the mean of ``y``."""
        counts = np.asarray(y, dtype=np.float64).reshape(len(np.asarray(y)), -1)
        rates = self.predict(X, counts if len(self._basis()) else None, runs=runs).reshape(counts.shape)
        weights = np.ones(len(counts)) if sample_weight is None else np.asarray(sample_weight)
        mean = np.broadcast_to(weights @ counts / weights.sum(), counts.shape)
        full, model, null = (weights @ log_likelihood(counts, f) for f in (counts, rates, mean))
        varies = full - null > 1e-12 * np.abs(full)
        if not varies.any():
            raise DataError("no unit's count varies: the share of deviance explained is undefined")
        return float((1 - (full - model)[varies] / (full - null)[varies]).mean())

    def simulate(
        self,
        X: ArrayLike | None = None,
        *,
        seed: int,
        n_bins: int | None = None,
        n_samples: int = 1,
        past: ArrayLike | None = None,
    ) -> NDArray[np.int64]:
        """Draw counts (n_samples, n_bins, n_units) in closed loop: drawn spikes are the history.

        Parameters
        ----------
        X : array-like (n_bins, n_features), optional
            Without features give ``n_bins``.
        seed : int
        n_bins, n_samples : int
        past : array-like (n_lags, n_units), optional
            Counts before the first bin, oldest first.
        """
        check_is_fitted(self)
        x = np.empty((n_bins or 0, 0)) if X is None else np.asarray(X, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != self.n_features_in_ or not len(x):
            raise ShapeError(f"X has shape {x.shape}; (n_bins, {self.n_features_in_}) is needed (or n_bins=)")
        drive = x @ np.atleast_2d(self.coef_).T + self.intercept_
        return simulate_counts(
            drive,
            self.history_,
            self._basis(),
            link=self.link,
            rng=np.random.default_rng(seed),
            n_samples=n_samples,
            past=None if past is None else np.asarray(past, dtype=np.float64),
        )

    def coupling_strength(self) -> Array:
        """Summed filter from each source (column) to each target (row), (n_units, n_units)."""
        check_is_fitted(self)
        strength: Array = self.history_ @ self._basis().sum(axis=0)
        return strength

    def _fit_units(
        self,
        x: Array,
        counts: Array,
        units: NDArray[np.intp],
        place: NDArray[np.intp],
        allowed: NDArray[np.bool_],
        weights: Array,
        runs: NDArray[np.generic] | None,
    ) -> None:
        """Fit units that share a design, and put their weights in place."""
        design = Design(x, counts, self._basis(), runs, self.memory)
        grid = np.atleast_1d(np.asarray(self.alpha, dtype=np.float64))
        problem = Problem.of(
            design,
            counts,
            weights=weights,
            alpha=np.full(len(units), grid[0]),
            l1_ratio=self.l1_ratio,
            link=self.link,
            allowed=allowed,
        )
        options: dict[str, Any] = {"tol": self.tol, "max_iter": self.max_iter}
        if len(grid) > 1:
            folds = blocked_folds(len(x), self.cv, len(self._basis()), runs)
            alpha, self._scores[:, units] = choose_alpha(problem, grid.tolist(), folds, **options)
            problem.alpha[:] = alpha
        found = solve(problem, **options)
        if (found.residual > self.tol).any():
            warnings.warn(
                f"{int((found.residual > self.tol).sum())} units did not converge in {found.n_iter} "
                f"iterations (gradient up to {found.residual.max():.2g}): raise max_iter or alpha",
                ConvergenceWarning,
                stacklevel=3,
            )
        plain, self.intercept_[units] = problem.plain(found.point)
        self._weights[np.ix_(units, place)] = plain
        self.alpha_[units], self.residual_[units] = problem.alpha, found.residual
        self.n_iter_ = max(self.n_iter_, found.n_iter)

    def _finish(self, n_features: int, n_units: int, n_functions: int, *, flat: bool) -> None:
        self.coef_ = self._weights[:, :n_features]
        self.history_ = self._weights[:, n_features:].reshape(n_units, n_units, n_functions)
        if len(self._scores) > 1:
            self.cv_scores_ = self._scores
        self._flat = flat
        if flat:
            self.coef_, self.intercept_ = self.coef_[0], self.intercept_[0]

    def _check_options(self) -> None:
        grid = np.atleast_1d(np.asarray(self.alpha, dtype=np.float64))
        if grid.ndim != 1 or not len(grid) or not np.isfinite(grid).all() or grid.min() < 0:
            raise ConfigError(f"alpha={self.alpha!r}: expected a penalty of 0 or more, or several")
        if not 0 <= self.l1_ratio <= 1:
            raise ConfigError(f"l1_ratio={self.l1_ratio}: expected 0 (ridge) to 1 (lasso)")
        if self.link not in LINKS:
            raise ConfigError(f"found the link {self.link!r}; there are: {', '.join(LINKS)}")

    def _validated(self, X: ArrayLike | None, y: ArrayLike) -> tuple[Array, Array, bool]:
        """Features, counts (n_bins, n_units), and whether the counts came as one series."""
        if X is None:
            if self.history is None:
                raise ConfigError("neither features nor history: there is nothing to predict from")
            counts = np.asarray(y, dtype=np.float64)
            x = np.empty((len(counts), 0))
            self.n_features_in_ = 0
        else:
            x, counts = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        flat = counts.ndim == 1
        counts = np.asarray(counts, dtype=np.float64).reshape(len(x), -1)
        if counts.size and not (np.isfinite(counts).all() and counts.min() >= 0):
            raise DataError(
                f"{int((~(counts >= 0)).sum())} counts are negative or missing: Poisson counts are 0 or more"
            )
        return x, counts, flat

    def _observed(self, X: ArrayLike | None, counts: ArrayLike | None) -> tuple[Array, Array]:
        """Features, and the counts whose past is used."""
        if X is None and self.n_features_in_ == 0 and counts is not None:
            x = np.empty((len(np.asarray(counts)), 0))
        else:
            x = validate_data(self, X, reset=False, dtype=np.float64)
        n_units = len(self._weights)
        if self.history is None:
            return x, np.empty((len(x), n_units))
        if counts is None:
            raise ConfigError("this GLM has history: give counts=, or simulate() to draw them")
        past = np.asarray(counts, dtype=np.float64).reshape(len(x), -1)
        if past.shape[1] != n_units:
            raise ShapeError(f"counts have {past.shape[1]} units; the GLM was fitted to {n_units}")
        return x, past

    def _basis(self) -> Array:
        if self.history is None:
            return np.empty((0, 0))
        basis = np.asarray(self.history, dtype=np.float64)
        if basis.ndim != 2 or not basis.size:
            raise ShapeError(f"history has shape {basis.shape}: expected a basis (n_lags, n_functions)")
        return basis

    def _sources(self, n_units: int) -> NDArray[np.bool_]:
        """Which source reaches which target."""
        if isinstance(self.coupling, (bool, np.bool_)):
            return np.ones((n_units, n_units), np.bool_) if self.coupling else np.eye(n_units, dtype=np.bool_)
        sources = np.asarray(self.coupling, dtype=np.bool_)
        if sources.shape != (n_units, n_units):
            raise ShapeError(f"coupling has shape {sources.shape}; ({n_units}, {n_units}) is needed")
        return sources

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        return tags
