"""Ridge regression with one penalty a target, chosen by cross-validation."""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from neuroai.encoders._ridge.arrays import as_output, from_numpy, is_lazy, matmul, rows
from neuroai.encoders._ridge.curves import Pooling, Score
from neuroai.encoders._ridge.fit import Task, fit
from neuroai.encoders._ridge.folds import resolve
from neuroai.encoders._ridge.paths import Design
from neuroai.encoders._ridge.plan import parse_memory, plan_fit
from neuroai.encoders._ridge.precision import full_float32
from neuroai.encoders._ridge.threads import one_thread_pool
from neuroai.errors import ShapeError

#: 10^0 to 10^6 suits standardised features and a few thousand samples.
DEFAULT_ALPHAS: tuple[float, ...] = tuple(np.logspace(0, 6, 20).tolist())


class RidgeCV(MultiOutputMixin, RegressorMixin, BaseEstimator):
    r"""Ridge regression with a penalty of its own for every target.

    For each target :math:`t`

    .. math:: w_t = \arg\min_w \|X w - y_t\|^2 + \alpha_t \|w\|^2,

    with :math:`\alpha_t` the value of a grid that predicts held-out samples best.

    Parameters
    ----------
    alphas : array-like (n_alphas,), default 20 values from 1 to 1e6
        Penalties to choose from, > 0; sorted internally.
    cv : int, "loo", splitter, or iterable of (train, test), default 5
        An int is that many contiguous folds; "loo" is exact leave-one-out from one decomposition;
        ``LeaveOneGroupOut()`` with ``groups=`` in :meth:`fit` leaves one run out.
    scoring : {"r2", "r"}, default "r2"
        Held-out score that alphas compete in.
    pooling : {"folds", "pooled"}, default "folds"
        Mean of the folds' scores, or (r2 only) one score from squared errors summed over folds.
    fit_intercept : bool, default True
        Centre features and targets with the means of the training samples, in every fold.
    memory : str, int or None, default None
        Working set above features, targets and coefficients, "1GiB" say. Fold decompositions (about
        ``(2 cv + 5) r²`` numbers, ``r = min(n_features, n_samples)``) count first; what they leave holds a
        block of targets. None is 256 MiB, or what the decompositions and 64 targets need if that is more.

    Attributes
    ----------
    coef_ : array (n_features, n_targets) or (n_features,)
        Coefficients. In the dual form they are computed when asked for; see :meth:`coef_block`.
    dual_coef_ : array (n_samples, n_targets)
        In the dual form only: ``coef_ = (X - mean)' dual_coef_``.
    intercept_ : array (n_targets,) or float
    alpha_ : array (n_targets,) or float
        Chosen penalties; the largest of the grid for targets without variance.
    cv_scores_ : array (n_targets,) or float
        Score of the chosen penalty, NaN for targets without variance.
    alphas_at_edge_ : float
        Share of defined targets whose penalty is the first or last of the grid: widen it if large.
    form_ : "primal" or "dual"
        Which system was solved, by operation count.
    products_ : float
        Held-out predictions computed a target, of ``n_alphas`` possible.
    n_features_in_ : int

    Notes
    -----
    One eigendecomposition a fold gives ``y . P`` for every alpha at once; ``|P|²`` is predicted from a few
    alphas with an error bound, and computed exactly wherever the bound cannot exclude an alpha. Time
    ``O(n p v (products_ + 4) + cv p³)``; memory as stated under ``memory``. float32 stays float32, unless the
    smallest alpha is below 1e-6 of the largest eigenvalue of the Gram matrix: then float64 is used inside.
    Tensors and arrays of the features' kind and device come back. Targets may be a numpy memmap, an h5py
    dataset or a lazily backed xarray: they are read in blocks, once.

    References
    ----------
    Hoerl & Kennard (1970), Technometrics 12, 55. Dupré la Tour et al. (2022), NeuroImage 264, 119728.

    Examples
    --------
    >>> import numpy as np
    >>> from neuroai.encoders.ridge import RidgeCV
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((200, 10))
    >>> y = x @ rng.standard_normal((10, 3)) + rng.standard_normal((200, 3))
    >>> model = RidgeCV(alphas=[0.1, 1.0, 10.0, 100.0]).fit(x, y)
    >>> model.coef_.shape, bool(model.score(x, y) > 0.8)
    ((10, 3), True)
    """

    def __init__(
        self,
        alphas: ArrayLike = DEFAULT_ALPHAS,
        *,
        cv: Any = 5,
        scoring: Score = "r2",
        pooling: Pooling = "folds",
        fit_intercept: bool = True,
        memory: int | str | None = None,
    ) -> None:
        self.alphas = alphas
        self.cv = cv
        self.scoring = scoring
        self.pooling = pooling
        self.fit_intercept = fit_intercept
        self.memory = memory

    def fit(
        self,
        X: Any,
        y: Any,
        groups: ArrayLike | None = None,
        *,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> Self:
        """Choose penalties and fit.

        Parameters
        ----------
        X : array or Tensor (n_samples, n_features)
        y : array, Tensor, memmap, h5py dataset or xarray (n_samples, n_targets), or array (n_samples,)
        groups : array (n_samples,), optional
            Given to the splitter (run of every sample, say).
        progress : callable (stage, done, total), optional
            Called after every block of targets.

        Raises
        ------
        ValueError
            Bad options, shapes that do not fit, NaN or infinity.
        MemoryBudgetError
            If ``memory`` cannot hold the decompositions and a block of 64 targets; says what can.
        """
        x, targets, single = self._validate(X, y)
        alphas = self._grid()
        folds = resolve(self.cv, x.shape[0], groups, x.device)
        found_folds = None if isinstance(folds, str) else folds
        plan = plan_fit(
            x.shape[0],
            x.shape[1],
            int(targets.shape[1]),
            len(alphas),
            found_folds,
            x.element_size(),
            None if self.memory is None else parse_memory(self.memory),
        )
        like = x.new_empty(0)
        mean = x.mean(0) if self.fit_intercept else None
        task = Task(alphas.to(x), found_folds, self.scoring, self.pooling)
        with full_float32(x.device), one_thread_pool(x.device):
            found = fit(Design(x, mean, like), targets, task, plan, progress)
        self._dual = plan.form == "dual"
        self._x, self._mean, self._solution = (x if self._dual else None), mean, found.coef
        self._single = single
        self.form_ = plan.form
        self.products_ = found.products
        self._store(found.best, found.score, found.mean, alphas)
        return self

    def _store(self, best: Tensor, score: Tensor, mean: Tensor, alphas: Tensor) -> None:
        defined = torch.isfinite(score)
        edge = (best[defined] == 0) | (best[defined] == len(alphas) - 1)
        self.alphas_at_edge_ = float(edge.double().mean()) if len(alphas) > 1 and len(edge) else 0.0
        self.alpha_ = self._out(alphas.to(mean)[best])
        self.cv_scores_ = self._out(score)
        if self._mean is not None:
            mean = mean - self._apply(self._mean[None])[0]
        self.intercept_ = self._out(mean)

    def _grid(self) -> Tensor:
        alphas = np.sort(np.atleast_1d(np.asarray(self.alphas, dtype=np.float64)))
        if alphas.ndim != 1 or not len(alphas) or not np.isfinite(alphas).all() or alphas[0] <= 0:
            raise ValueError(f"alphas={self.alphas!r}: expected one or more finite values > 0")
        if self.scoring not in ("r2", "r"):
            raise ValueError(f"scoring={self.scoring!r}: expected 'r2' or 'r'")
        if self.pooling not in ("folds", "pooled") or (self.pooling == "pooled" and self.scoring == "r"):
            raise ValueError(
                f"pooling={self.pooling!r} with scoring={self.scoring!r}: "
                "expected 'folds', or 'pooled' with 'r2'"
            )
        return torch.from_numpy(alphas)

    def _validate(self, X: Any, y: Any) -> tuple[Tensor, Any, bool]:
        self._numpy = not isinstance(X, Tensor)
        lazy = is_lazy(y)
        if self._numpy:
            kept = {"dtype": [np.float64, np.float32], "ensure_min_samples": 2}
            if lazy or isinstance(y, Tensor):
                X = validate_data(self, X, **kept)
            else:
                X, y = validate_data(self, X, y, multi_output=True, y_numeric=True, **kept)
            x = from_numpy(X)
        else:
            x = self._validate_tensor(X, reset=True)
            y = y if lazy or isinstance(y, Tensor) else torch.as_tensor(np.asarray(y))
        if len(y.shape) not in (1, 2) or y.shape[0] != x.shape[0]:
            raise ShapeError(
                f"y has shape {tuple(y.shape)}: expected ({x.shape[0]},) or ({x.shape[0]}, n_targets), "
                f"as X has {x.shape[0]} samples"
            )
        if len(y.shape) == 1:
            return x, (np.asarray(y) if lazy else y)[:, None], True
        return x, y, False

    def _validate_tensor(self, x: Tensor, reset: bool) -> Tensor:
        if x.ndim != 2 or 0 in x.shape:
            raise ShapeError(
                f"X has shape {tuple(x.shape)}: expected (n_samples, n_features), none of them 0"
            )
        x = x.detach()
        if not x.dtype.is_floating_point or x.element_size() < 4:
            x = x.float()
        if not bool(torch.isfinite(x).all()):
            raise ValueError("Input X contains NaN or infinity: fill or leave out such samples")
        if reset:
            self.n_features_in_ = x.shape[1]
        elif x.shape[1] != self.n_features_in_:
            raise ShapeError(
                f"X has {x.shape[1]} features, but RidgeCV is expecting "
                f"{self.n_features_in_} features as input"
            )
        return x

    def coef_block(self, features: slice = slice(None), targets: slice = slice(None)) -> Any:
        """A block of ``coef_`` without the rest, (features, targets).

        Parameters
        ----------
        features, targets : slice

        Notes
        -----
        Dual form: ``2 n_samples`` operations a coefficient.
        """
        check_is_fitted(self, "form_")
        return as_output(self._coef(features, targets), self._numpy)

    def _coef(self, features: slice, targets: slice) -> Tensor:
        if self._x is None:
            return self._solution[features, targets]
        mean = None if self._mean is None else self._mean[features]
        part = rows(self._x[:, features], slice(None), mean, self._solution)
        with full_float32(part.device), one_thread_pool(part.device):
            return matmul(part.T, self._solution[:, targets])

    @property
    def coef_(self) -> Any:
        """Coefficients (n_features, n_targets), or (n_features,) for a single target."""
        if not hasattr(self, "_solution"):
            raise NotFittedError("RidgeCV is not fitted yet: call fit first")
        coef = self._coef(slice(None), slice(None))
        return as_output(coef[:, 0] if self._single else coef, self._numpy)

    @property
    def dual_coef_(self) -> Any:
        """Dual coefficients (n_samples, n_targets); raises AttributeError in the primal form."""
        if getattr(self, "form_", None) != "dual":
            raise AttributeError(
                "dual_coef_ exists after a fit in the dual form (more features than samples)"
            )
        return as_output(self._solution[:, 0] if self._single else self._solution, self._numpy)

    def predict(self, X: Any) -> Any:
        """Predict targets, (n_samples, n_targets) or (n_samples,), of the kind of ``X``.

        Parameters
        ----------
        X : array or Tensor (n_samples, n_features)
        """
        check_is_fitted(self, "form_")
        numpy = not isinstance(X, Tensor)
        if numpy:
            X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
            x = from_numpy(X)
        else:
            x = self._validate_tensor(X, reset=False)
        x = x.to(self._solution)
        intercept = torch.as_tensor(self.intercept_).to(x)
        predicted = self._apply(x)
        predicted += intercept
        return as_output(predicted[:, 0] if self._single else predicted, numpy)

    def _apply(self, x: Tensor) -> Tensor:
        """``x @ coef_``, through the dual without forming the coefficients."""
        with full_float32(x.device), one_thread_pool(x.device):
            return matmul(x if self._x is None else self._cross_kernel(x), self._solution)

    def _cross_kernel(self, x: Tensor, block: int = 4096) -> Tensor:
        assert self._x is not None
        total = x.new_zeros((x.shape[0], self._x.shape[0]))
        for start in range(0, x.shape[1], block):
            part = slice(start, start + block)
            mean = None if self._mean is None else self._mean[part]
            total += matmul(x[:, part], rows(self._x[:, part], slice(None), mean, x).T)
        return total

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Mean r2 over targets that vary in ``y``.

        Parameters
        ----------
        X : array or Tensor (n_samples, n_features)
        y : array or Tensor (n_samples,) or (n_samples, n_targets)
        sample_weight : array (n_samples,), optional
        """
        predicted = torch.as_tensor(self.predict(X)).double().cpu()
        truth = (y if isinstance(y, Tensor) else from_numpy(np.asarray(y))).double().cpu()
        weight = (
            torch.ones(len(truth)) if sample_weight is None else torch.as_tensor(np.asarray(sample_weight))
        )
        weight = (weight.double() / weight.sum())[:, None]
        truth, predicted = truth.reshape(len(truth), -1), predicted.reshape(len(truth), -1)
        spread = (weight * (truth - (weight * truth).sum(0)).square()).sum(0)
        defined = truth.amax(0) > truth.amin(0)
        r2 = 1 - (weight * (truth - predicted).square()).sum(0) / spread
        return float(r2[defined].mean())

    def _out(self, tensor: Tensor) -> Any:
        if self._single:
            return float(tensor[0])
        return as_output(tensor, self._numpy)
