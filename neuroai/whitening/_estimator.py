"""What the whitening transformers share: validation, output dtype, the way back."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from neuroai.errors import ShapeError

__all__ = ["WhitenerBase"]

Array = NDArray[np.float64]


class WhitenerBase(TransformerMixin, BaseEstimator):
    """Computes in float64 and returns the input's floating dtype."""

    def _validated(self, X: ArrayLike, *, reset: bool) -> Array:
        checked: Array = validate_data(self, X, reset=reset, dtype=np.float64)
        return checked

    def _fittable(self, X: ArrayLike) -> Array:
        """Validate samples to fit: at least two."""
        x = self._validated(X, reset=True)
        if len(x) < 2:
            raise ShapeError(f"found {len(x)} sample (1 sample has no variance); at least 2 are needed")
        return x

    def _responses(self, X: ArrayLike, width: int) -> Array:
        """Validate responses that are to be led back to inputs."""
        check_is_fitted(self)
        responses = np.asarray(X, dtype=np.float64)
        if responses.ndim != 2 or responses.shape[1] != width:
            raise ShapeError(f"responses have shape {responses.shape}; (n_samples, {width}) is needed")
        return responses

    @staticmethod
    def _output_dtype(X: ArrayLike) -> np.dtype[Any]:
        dtype = getattr(X, "dtype", None)
        return np.dtype(np.float32) if dtype == np.float32 else np.dtype(np.float64)
