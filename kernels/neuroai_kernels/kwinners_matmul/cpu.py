"""Winners times weights compiled for the CPU: one scaled row of the transposed weights a winner."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroai_kernels._numba import parallel_jit, prange

__all__ = ["product_cpu"]


@parallel_jit
def _product(values: NDArray[Any], units: NDArray[np.int64], rows: NDArray[Any], out: NDArray[Any]) -> None:
    for b in prange(values.shape[0]):
        out[b, :] = 0
        for j in range(values.shape[1]):
            scale, unit = values[b, j], units[b, j]
            for m in range(rows.shape[1]):
                out[b, m] += scale * rows[unit, m]


def product_cpu(values: Tensor, units: Tensor, weight: Tensor) -> Tensor:
    """Sum over winners of value times the weight's column; float32 or float64."""
    out = torch.empty((len(values), weight.shape[0]), dtype=values.dtype)
    rows = weight.T.contiguous()
    _product(values.contiguous().numpy(), units.contiguous().numpy(), rows.numpy(), out.numpy())
    return out
