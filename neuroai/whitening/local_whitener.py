"""`LocalWhitener`: whiten images and feature maps within a window, as a scikit-learn transformer."""

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from neuroai.errors import ConfigError, ShapeError
from neuroai.whitening._estimator import WhitenerBase
from neuroai.whitening.local import Grid, LocalCircuit
from neuroai.whitening.local_fit import Progress, fit_local, gain_step
from neuroai.whitening.shared import SharedCircuit, fit_shared, shared_gain_step

__all__ = ["LocalWhitener"]


class LocalWhitener(WhitenerBase):
    r"""Whiten neurons on a grid with gains on pixels and on pairs of pixels closer than a window.

    Responses have unit variance and no correlation inside the window; outside it nothing is promised.
    Channels of one place are coupled with all channels of every place inside the window.

    Parameters
    ----------
    window : int or tuple of int
        Pairs whose rows and columns differ by less than this are coupled.
    shape : tuple of int, optional
        (rows, columns) or (channels, rows, columns) of flat samples; by default features lie along a line.
    shared : bool
        One gain an offset, the same at every place, on a periodic grid (one channel).
    step : float
        Of `partial_fit`, for one sample; a batch of ``b`` takes ``1 - (1 - step) ** b``.
    tolerance : float
        Of `fit`, on the largest covariance left inside the window.

    Attributes
    ----------
    gains_ : ndarray (k,)
        In the order of the columns of `~neuroai.whitening.frames.local_frame` on the grid (rows, columns,
        channels); with shared gains one for pixels and one for each offset.
    circuit_ : LocalCircuit or SharedCircuit
    grid_ : Grid
    mean_ : ndarray (n_features,)
        In the order of the grid.

    Notes
    -----
    Takes arrays (n, features), (n, rows, columns) or (n, channels, rows, columns) and torch tensors of these
    shapes, on any device; computes in the input's dtype, returns its shape and kind. Nothing of the size of
    the frame times the neurons is formed: see `~neuroai.whitening.local_fit.fit_local` for time and memory.

    References
    ----------
    Duong, Lipshutz, Heeger, Chklovskii, Simoncelli (2023), ICML.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> images = rng.standard_normal((400, 8, 8)).cumsum(1).cumsum(2)
    >>> white = LocalWhitener(window=3).fit_transform(images)
    >>> bool(abs(np.mean(white[:, :, 1:] * white[:, :, :-1], axis=0)).max() < 1e-3)
    True
    """

    def __init__(
        self,
        window: int | tuple[int, ...] = 5,
        *,
        shape: tuple[int, ...] | None = None,
        shared: bool = False,
        step: float = 0.01,
        tolerance: float = 1e-3,
    ) -> None:
        self.window = window
        self.shape = shape
        self.shared = shared
        self.step = step
        self.tolerance = tolerance

    def fit(self, X: ArrayLike | Tensor, y: object = None, *, progress: Progress | None = None) -> Self:
        """Find the optimal gains of the samples."""
        x = self._samples(X, reset=True)
        if len(x) < 2:
            raise ShapeError(f"found {len(x)} sample (1 sample has no variance); at least 2 are needed")
        mean = x.mean(0)
        self.circuit_: LocalCircuit | SharedCircuit
        if self.shared:
            self.circuit_ = fit_shared(x - mean, self.grid_, tolerance=self.tolerance)
        else:
            self.circuit_ = fit_local(x - mean, self.grid_, tolerance=self.tolerance, progress=progress)
        return self._keep(mean)

    def partial_fit(self, X: ArrayLike | Tensor, y: object = None) -> Self:
        """Adapt to a batch of samples; the first call starts where responses equal inputs."""
        if not 0 < self.step < 1:
            raise ConfigError(f"step must lie between 0 and 1; found {self.step}")
        first = not hasattr(self, "circuit_")
        x = self._samples(X, reset=first)
        mean = torch.zeros_like(x[0]) if first else self._mean(x)
        if first:
            self.circuit_ = self._identity(x)
        share = 1 - (1 - self.step) ** len(x)
        centred = x - mean
        if isinstance(self.circuit_, SharedCircuit):
            self.circuit_ = shared_gain_step(self.circuit_, centred, share)
        else:
            self.circuit_ = gain_step(self.circuit_, centred, share)
        return self._keep(mean + share * centred.mean(0))

    def transform(self, X: ArrayLike | Tensor) -> Any:
        """Responses to the samples, in their shape, dtype and kind."""
        check_is_fitted(self, "circuit_")
        x = self._samples(X, reset=False)
        return self._like(self.circuit_.respond(x - self._mean(x)), X)

    def inverse_transform(self, X: ArrayLike | Tensor) -> Any:
        """Inputs that give responses ``X``."""
        check_is_fitted(self, "circuit_")
        responses = self._samples(X, reset=False)
        return self._like(self.circuit_.drive(responses) + self._mean(responses), X)

    def _keep(self, mean: Tensor) -> Self:
        self.mean_: NDArray[Any] = mean.cpu().numpy()
        self.gains_: NDArray[Any] = self.circuit_.gains().cpu().numpy()
        return self

    def _identity(self, x: Tensor) -> LocalCircuit | SharedCircuit:
        if not self.shared:
            return LocalCircuit.diagonal(self.grid_, torch.ones_like(x[0]))
        offsets = (int(np.prod([2 * width - 1 for width in self.grid_.window])) + 1) // 2
        return SharedCircuit(self.grid_, torch.eye(offsets, dtype=x.dtype, device=x.device)[0])

    def _mean(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.mean_, dtype=x.dtype, device=x.device)

    def _samples(self, X: ArrayLike | Tensor, *, reset: bool) -> Tensor:
        """Validated samples (n, n_features), flat in the order of the grid."""
        array: Any = X if hasattr(X, "ndim") else np.asarray(X)
        shape = tuple(array.shape[1:]) if array.ndim in (3, 4) else None
        if isinstance(X, Tensor):
            x = self._tensor(X.reshape(len(X), -1) if shape else X, reset=reset)
        else:
            flat = np.asarray(array).reshape(len(array), -1) if shape else X
            checked = validate_data(self, flat, reset=reset, dtype=(np.float64, np.float32))
            x = torch.from_numpy(checked if checked.flags.writeable else checked.copy())
        if reset:
            self._set_grid(shape or self.shape or (x.shape[1],), x.shape[1])
        if shape is not None and shape != self._shape:
            raise ShapeError(f"samples have shape {shape}; this whitener was fitted to {self._shape}")
        if len(self._shape) == 3:
            x = x.reshape(-1, *self._shape).movedim(1, -1).reshape(len(x), -1)
        return x

    def _tensor(self, flat: Tensor, *, reset: bool) -> Tensor:
        if flat.ndim != 2:
            raise ShapeError(f"samples have shape {tuple(flat.shape)}; (n, features) or images are needed")
        if not flat.is_floating_point() or not bool(torch.isfinite(flat).all()):
            raise ConfigError("samples must be floating-point tensors without NaN or infinite values")
        if reset:
            self.n_features_in_ = flat.shape[1]
        elif flat.shape[1] != self.n_features_in_:
            raise ShapeError(f"samples have {flat.shape[1]} features; {self.n_features_in_} are expected")
        return flat

    def _set_grid(self, shape: tuple[int, ...], n_features: int) -> None:
        if int(np.prod(shape)) != n_features or len(shape) > 3:
            raise ShapeError(f"samples of {n_features} features do not form a grid of shape {shape}")
        self._shape = tuple(shape)
        space = shape if len(shape) < 3 else shape[1:]
        window = (self.window,) * len(space) if isinstance(self.window, int) else tuple(self.window)
        if len(shape) == 3:
            if self.shared:
                raise ConfigError("shared gains are for grids of one channel: pass (n, rows, columns)")
            self.grid_ = Grid((*space, shape[0]), (*window, shape[0]))
        else:
            self.grid_ = Grid(space, window)

    def _like(self, flat: Tensor, X: ArrayLike | Tensor) -> Any:
        if len(self._shape) == 3:
            channels, rows, columns = self._shape
            flat = flat.reshape(-1, rows, columns, channels).movedim(-1, 1).reshape(len(flat), -1)
        if getattr(X, "ndim", 2) > 2:
            flat = flat.reshape(-1, *self._shape)
        return flat if isinstance(X, Tensor) else flat.numpy()
