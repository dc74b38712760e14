"""Compiled form: probabilities, scaled to sum to one at every step."""

import numpy as np
from numpy.typing import NDArray

from neuroai_kernels._numba import jit

__all__ = ["forward_backward_cpu"]

Array = NDArray[np.float64]


def forward_backward_cpu(
    seen: Array, moves: Array, start: Array, steps: NDArray[np.int64]
) -> tuple[Array, Array, float]:
    """See `neuroai_kernels.forward_backward.forward_backward`."""
    top = seen.max(axis=1)
    likely = np.exp(seen - top[:, None])
    # Both directions add whole rows, which lie together in memory: backward, columns are turned to rows.
    filtered, scale = _forward(likely, np.ascontiguousarray(moves), start, steps)
    if not scale.all():
        return filtered, filtered, -np.inf
    turned = np.ascontiguousarray(moves.transpose(0, 2, 1))
    smoothed = filtered * _backward(likely, turned, scale, steps)
    smoothed /= smoothed.sum(axis=1, keepdims=True)
    return filtered, smoothed, float(np.log(scale).sum() + top.sum())


@jit
def _add_rows(weight: Array, rows: Array, out: Array) -> None:
    out[:] = 0.0
    for i in range(len(weight)):
        w = weight[i]
        if w != 0.0:
            for j in range(len(out)):
                out[j] += w * rows[i, j]


@jit
def _forward(likely: Array, moves: Array, start: Array, steps: NDArray[np.int64]) -> tuple[Array, Array]:
    filtered, scale = np.empty_like(likely), np.zeros(len(likely))
    for t in range(len(likely)):
        if t == 0:
            filtered[0] = start
        else:
            _add_rows(filtered[t - 1], moves[steps[t - 1]], filtered[t])
        filtered[t] *= likely[t]
        scale[t] = filtered[t].sum()
        if scale[t] == 0.0:
            break
        filtered[t] /= scale[t]
    return filtered, scale


@jit
def _backward(likely: Array, turned: Array, scale: Array, steps: NDArray[np.int64]) -> Array:
    beta = np.ones_like(likely)
    for t in range(len(likely) - 2, -1, -1):
        _add_rows(likely[t + 1] * beta[t + 1] / scale[t + 1], turned[steps[t]], beta[t])
    return beta
