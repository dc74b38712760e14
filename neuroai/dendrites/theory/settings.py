"""Checking and broadcasting the integers that describe a population, a segment and a threshold."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import ConfigError

__all__ = ["LN10", "Floats", "Integers", "broadcast", "integers", "require", "require_segment", "shaped"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

LN10 = float(np.log(10.0))


def integers(name: str, values: ArrayLike) -> Integers:
    """An int64 array of whole numbers, given as integers or as floats without a fraction."""
    array = np.asarray(values)
    if (
        array.dtype.kind == "f"
        and array.size
        and bool(np.all(np.isfinite(array) & (array == np.round(array))))
    ):
        return array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise ConfigError(f"{name} is {values!r}: expected whole numbers")
    return array.astype(np.int64)


def require(condition: NDArray[np.bool_], message: str, **values: ArrayLike) -> None:
    """Raise with the first setting that breaks a condition, all names and values spelled out."""
    if bool(np.all(condition)):
        return
    where = np.unravel_index(int(np.argmin(condition)), condition.shape)
    found = ", ".join(
        f"{name}={np.broadcast_to(np.asarray(v), condition.shape)[where]}" for name, v in values.items()
    )
    place = f" at index {tuple(map(int, where))}" if condition.ndim else ""
    raise ConfigError(f"{message}; found {found}{place}")


def require_segment(n: Integers, a: Integers, s: Integers, theta: Integers) -> None:
    """Check 0 <= a <= n, 1 <= s <= n and theta <= s."""
    require(np.asarray((a >= 0) & (a <= n)), "active cells a must lie in 0..n", a=a, n=n)
    require(np.asarray((s >= 1) & (s <= n)), "synapses s must lie in 1..n", s=s, n=n)
    require(np.asarray(theta <= s), "theta must be at most s: this segment can never spike", theta=theta, s=s)


def broadcast(*arrays: NDArray[Any]) -> tuple[tuple[int, ...], list[NDArray[Any]]]:
    """The common shape, and each array flattened to it."""
    full = np.broadcast_arrays(*arrays)
    return full[0].shape, [np.ascontiguousarray(array).reshape(-1) for array in full]


def shaped(function: Callable[..., Floats], *arrays: NDArray[Any]) -> Floats:
    """Apply a function of flat arrays to broadcast ones; a number comes back for numbers."""
    shape, flat = broadcast(*arrays)
    values: Floats = function(*flat).reshape(shape)[()]
    return values
