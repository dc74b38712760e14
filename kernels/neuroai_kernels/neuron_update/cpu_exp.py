"""An exponential that vectorises: float32 by polynomial (1e-7 relative), float64 by the library."""

from typing import Any

import numpy as np
from numba.extending import overload

__all__ = ["exp"]

_LOG2E, _LN2_HIGH, _LN2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(2.12194440e-4)
# Minimax polynomial of Cephes expf (Moshier 1992) for |r| <= ln(2) / 2.
_P = tuple(
    np.float32(p)
    for p in (
        1.9875691500e-4,
        1.3981999507e-3,
        8.3334519073e-3,
        4.1665795894e-2,
        1.6666665459e-1,
        5.0000001201e-1,
    )
)
_HALF, _ONE, _LOW, _HIGH = np.float32(0.5), np.float32(1), np.float32(-87), np.float32(88)


def exp(x: Any) -> Any:
    """E to the x, in the dtype of x."""
    return np.exp(x)


def _exp32(x: Any) -> Any:
    x = min(max(x, _LOW), _HIGH)
    whole = np.floor(x * _LOG2E + _HALF)
    r = x - whole * _LN2_HIGH + whole * _LN2_LOW
    p = ((((_P[0] * r + _P[1]) * r + _P[2]) * r + _P[3]) * r + _P[4]) * r + _P[5]
    p = p * (r * r) + r + _ONE
    return p * np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)


def _exp64(x: Any) -> Any:
    return np.exp(x)


@overload(exp, inline="always")
def _exp_of_dtype(x: Any) -> Any:
    return _exp32 if getattr(x, "bitwidth", 64) == 32 else _exp64
