"""The order of many numbers, by digits instead of comparisons."""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai_kernels.errors import ShapeError
from neuroai_kernels.stable_order.reference import stable_order_reference

__all__ = ["stable_order"]

# Below, the tables of digits take longer than numpy's comparisons.
_FEW = 4096


def stable_order(
    values: ArrayLike, *, implementation: Literal["reference", "cpu"] | None = None
) -> NDArray[np.int64]:
    """Indices that sort a vector of finite numbers; equal ones keep their order.

    Parameters
    ----------
    values : float64 or integer array (n,)
        Finite; below 2^32 of them.
    implementation : {"reference", "cpu"}, optional
        By default the compiled form from 4096 values on.

    Returns
    -------
    int64 array (n,)

    Raises
    ------
    ShapeError
        If values are no vector of finite numbers.

    Notes
    -----
    At most eight passes over the values, one a byte (bytes that all values share are skipped): ``O(n)`` time,
    24 bytes of memory a value. The reference is numpy's stable ``argsort``.

    Examples
    --------
    >>> stable_order([0.5, -1.0, 0.5]).tolist()
    [1, 0, 2]
    """
    given: NDArray[Any] = np.asarray(values)
    if given.ndim != 1 or not np.isfinite(given).all():
        raise ShapeError(f"values have shape {given.shape}: a vector of finite numbers is needed")
    if implementation == "reference" or (implementation is None and given.size < _FEW):
        return stable_order_reference(given)
    from neuroai_kernels.stable_order import cpu

    return cpu.stable_order_cpu(given)
