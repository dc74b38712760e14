"""The specification: numpy's stable sort."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["stable_order_reference"]


def stable_order_reference(values: NDArray[Any]) -> NDArray[np.int64]:
    """See `neuroai_kernels.stable_order.stable_order`."""
    order: NDArray[np.int64] = np.argsort(values, kind="stable")
    return order
