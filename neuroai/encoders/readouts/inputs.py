"""What readouts accept, turned into tensors: maps of shape ``(n, C, H, W)`` and responses ``(n, v)``."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias, cast, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neuroai.errors import DataError, ShapeError

Array: TypeAlias = npt.NDArray[Any] | Tensor


@runtime_checkable
class HasMaps(Protocol):
    """Anything that carries feature maps in ``values`` (``neuroai.encoders.FeatureMaps`` does)."""

    @property
    def values(self) -> Any:
        """Array-like of shape ``(n, C, H, W)``."""


Features: TypeAlias = Array | HasMaps | Sequence[Array | HasMaps]


def is_layers(features: Features) -> bool:
    """Whether ``features`` is a sequence of layers rather than one array of maps."""
    return isinstance(features, (list, tuple))


def uses_torch(features: Features) -> bool:
    """Whether results should be tensors: true when the (first) input is one."""
    if is_layers(features):
        return bool(features) and uses_torch(cast("Sequence[Array | HasMaps]", features)[0])
    return isinstance(_values(cast("Array | HasMaps", features)), Tensor)


def _values(features: Array | HasMaps) -> Any:
    # A tensor has a method called `values` (for sparse layouts): it is never the container.
    if isinstance(features, Tensor) or not isinstance(features, HasMaps):
        return features
    return features.values


def as_tensor(values: Any, name: str) -> Tensor:
    """Floating tensor over ``values``: float64 stays, all else becomes float32; the device is kept.

    Raises
    ------
    DataError
        The values are not numbers, or some are NaN or infinite (the first such index is named).
    """
    if isinstance(values, Tensor):
        tensor = values.detach()
    else:
        array = np.asarray(values)
        if array.dtype.kind not in "fiub":
            raise DataError(f"{name} has dtype {array.dtype}; expected real numbers.")
        array = array.astype(np.float64 if array.dtype == np.float64 else np.float32, copy=False)
        tensor = torch.from_numpy(np.require(array, requirements=["C", "W"]))
    if tensor.dtype != torch.float64:
        tensor = tensor.to(torch.float32)
    finite = torch.isfinite(tensor)
    if not bool(finite.all()):
        first = tuple(int(i) for i in torch.nonzero(~finite)[0])
        count = int((~finite).sum())
        raise DataError(
            f"{name} holds {count} NaN or infinite values, the first at index {first}; expected finite "
            "numbers. Exclude or repair those rows or targets before fitting."
        )
    return tensor


def as_maps(features: Array | HasMaps, name: str = "features") -> Tensor:
    """Feature maps as a tensor ``(n, C, H, W)``; vectors ``(n, p)`` become ``(n, p, 1, 1)``.

    Parameters
    ----------
    features : array (n, C, H, W) or (n, p), or an object whose ``values`` is one
        Real numbers. float64 is kept, other dtypes become float32.
    name : str
        What errors call this input.

    Raises
    ------
    ShapeError
        The array has neither two nor four dimensions, or one of them is empty.
    DataError
        Not real numbers, or NaN or infinite values.

    Examples
    --------
    >>> import numpy as np
    >>> as_maps(np.zeros((5, 3))).shape
    torch.Size([5, 3, 1, 1])
    """
    values = _values(features)
    shape = tuple(int(size) for size in values.shape)
    if len(shape) not in (2, 4):
        raise ShapeError(
            f"{name} has shape {shape}; expected (n_samples, n_channels, height, width) "
            "or (n_samples, n_features)."
        )
    if 0 in shape:
        raise ShapeError(f"{name} has shape {shape}; expected at least one entry along every axis.")
    tensor = as_tensor(values, name)
    return tensor[:, :, None, None] if tensor.ndim == 2 else tensor


def as_responses(responses: Any, n_samples: int) -> Tensor:
    """Responses as a tensor ``(n, v)``; a vector of one target becomes ``(n, 1)``.

    Raises
    ------
    ShapeError
        Not one row a sample of the features, or no targets.
    DataError
        Not real numbers, or NaN or infinite values.
    """
    values = getattr(responses, "values", responses) if not isinstance(responses, Tensor) else responses
    tensor = as_tensor(values, "responses")
    if tensor.ndim == 1:
        tensor = tensor[:, None]
    if tensor.ndim != 2 or tensor.shape[0] != n_samples or tensor.shape[1] == 0:
        raise ShapeError(
            f"responses have shape {tuple(tensor.shape)}; expected (n_samples, n_targets) with the "
            f"{n_samples} samples of the features."
        )
    return tensor


def as_groups(groups: Any, n_samples: int) -> npt.NDArray[Any] | None:
    """Group labels, one a sample, or None.

    Raises
    ------
    ShapeError
        Not exactly one label a sample.
    """
    if groups is None:
        return None
    labels = np.asarray(groups.cpu() if isinstance(groups, Tensor) else groups)
    if labels.shape != (n_samples,):
        raise ShapeError(f"groups have shape {labels.shape}; expected one label a sample: ({n_samples},).")
    return labels
