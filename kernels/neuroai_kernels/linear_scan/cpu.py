"""Compiled for the CPU: blocks of channels that stay in the first cache, all of time for each."""

from typing import Any

from numpy.typing import NDArray

from neuroai_kernels._numba import prange, sized_jit

__all__ = ["scan"]

_BLOCK = 1024


@sized_jit
def scan(a: NDArray[Any], x: NDArray[Any], h0: NDArray[Any], backwards: bool, out: NDArray[Any]) -> None:
    """Fill ``out``; backwards, time runs from the last step and step t is decayed by ``a[t + 1]``.

    ``a`` may have one row, which all steps share.
    """
    n_steps, n = x.shape
    last_row = a.shape[0] - 1
    for block in prange((n + _BLOCK - 1) // _BLOCK):
        first, last = block * _BLOCK, min(n, (block + 1) * _BLOCK)
        h = h0[first:last].copy()
        for step in range(n_steps):
            t = n_steps - 1 - step if backwards else step
            row = min(t + 1 if backwards else t, last_row)
            for i in range(last - first):
                h[i] = a[row, first + i] * h[i] + x[t, first + i]
                out[t, first + i] = h[i]
