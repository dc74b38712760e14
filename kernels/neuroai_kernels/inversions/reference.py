"""The specification: every pair, compared."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["inversions_reference"]


def inversions_reference(ranks: NDArray[np.integer[Any]]) -> int:
    """See `neuroai_kernels.inversions.inversions`. ``O(n^2)`` time."""
    return sum(int((ranks[i] > ranks[i + 1 :]).sum()) for i in range(len(ranks)))
