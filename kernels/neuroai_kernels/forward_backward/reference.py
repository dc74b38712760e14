"""The specification: sums of probabilities, in logarithms."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

__all__ = ["forward_backward_reference"]

Array = NDArray[np.float64]


def forward_backward_reference(
    seen: Array, moves: Array, start: Array, steps: NDArray[np.int64]
) -> tuple[Array, Array, float]:
    """See `neuroai_kernels.forward_backward.forward_backward`."""
    with np.errstate(divide="ignore"):
        log_moves, log_start = np.log(moves), np.log(start)
    alpha, beta = np.empty_like(seen), np.zeros_like(seen)
    alpha[0] = log_start + seen[0]
    for t, k in enumerate(steps):
        alpha[t + 1] = seen[t + 1] + logsumexp(alpha[t][:, None] + log_moves[k], axis=0)
    for t, k in reversed(list(enumerate(steps))):
        beta[t] = logsumexp(log_moves[k] + (seen[t + 1] + beta[t + 1]), axis=1)
    return _normalised(alpha), _normalised(alpha + beta), float(logsumexp(alpha[-1]))


def _normalised(logs: Array) -> Array:
    with np.errstate(invalid="ignore"):  # -inf less -inf, where all paths are impossible: told by the caller
        found: Array = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
    return found
