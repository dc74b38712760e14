"""Pairs in the wrong order: what Kendall's rank correlation counts."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from neuroai_kernels.errors import ShapeError
from neuroai_kernels.inversions.reference import inversions_reference

__all__ = ["inversions"]


def inversions(ranks: ArrayLike, *, implementation: Literal["reference", "cpu"] | None = None) -> int:
    r"""Number of pairs :math:`i < j` with :math:`r_i > r_j`; equal ranks count nothing.

    Parameters
    ----------
    ranks : integer array (n,)
        At least 0 and at most about ``n`` (dense ranks): memory grows with the largest.
    implementation : {"reference", "cpu"}, optional
        The compiled form unless the reference is asked for.

    Returns
    -------
    int

    Raises
    ------
    ShapeError
        If ranks are no vector of integers of at least 0.

    Notes
    -----
    ``O(n log n)`` time: one stable pass for every bit of the ranks, from the highest, without a branch that
    depends on the data. Memory ``O(n)``. The reference compares all pairs.

    Examples
    --------
    >>> inversions([0, 2, 1, 1])
    2
    """
    values = np.asarray(ranks)
    if values.ndim != 1 or (values.size and values.dtype.kind not in "iu"):
        raise ShapeError(
            f"ranks have shape {values.shape} and dtype {values.dtype}: a vector of integers is needed"
        )
    if values.size < 2:
        return 0
    if values.min() < 0:
        raise ShapeError(f"ranks start at 0; the smallest is {values.min()}")
    if implementation == "reference":
        return inversions_reference(values)
    from neuroai_kernels.inversions import cpu

    return cpu.inversions_cpu(values)
