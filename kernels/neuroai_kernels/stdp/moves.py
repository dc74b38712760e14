"""Weights moved by traces on a CPU, many at a time: values that lie together, so that loops become vectors.

Powers in single precision, with exponents below 1, are polynomials of logarithm and exponential, within 2e-7
of the exact value: a call of the library's takes ten times as long.
"""

from typing import Any

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial
from numpy.typing import NDArray

from neuroai_kernels._numba import fused, inlined, jit

__all__ = ["move_values", "padded"]

Reals = NDArray[Any]

# Loops over multiples of this many values leave nothing to a loop without vectors.
_LANES = 64


def _polynomial(function: Any, degree: int, domain: list[float]) -> tuple[np.float32, ...]:
    found = Chebyshev.interpolate(function, degree, domain).convert(kind=Polynomial, domain=[-1, 1])
    return tuple(np.float32(c) for c in found.coef)


_ROOT = np.float32(np.sqrt(0.5))
_ROOT_BITS = np.int32(_ROOT.view(np.int32))
_FRACTION = np.int32((1 << 23) - 1)
_SMALLEST = np.float32(2.0**-126)
# log2(1 + m) / m for 1 + m in sqrt(1/2)..sqrt(2), and 2^f for f in -1/2..1/2.
_LOG = _polynomial(lambda m: np.log2(1 + m) / m, 8, [np.sqrt(0.5) - 1, np.sqrt(2) - 1])
_EXP = _polynomial(np.exp2, 6, [-0.5, 0.5])


@inlined
def _power(value: Any, coarse: Any, fine: Any) -> Any:
    """``value ** (coarse + fine)`` for float32 values of 0 or more, exponent between 0 and 1.

    A whole power of 2 times the coarse part of the exponent is exact. Values below the smallest normal
    number, 1.2e-38, count as that, but for 0.
    """
    bits = np.float32(max(value, _SMALLEST)).view(np.int32)
    above = np.int32(bits - _ROOT_BITS)
    whole = np.float32(np.int32(above >> np.int32(23)))
    m = np.int32(np.int32(above & _FRACTION) + _ROOT_BITS).view(np.float32) - np.float32(1)
    p = fused(_LOG[8], m, _LOG[7])
    p = fused(p, m, _LOG[6])
    p = fused(p, m, _LOG[5])
    p = fused(p, m, _LOG[4])
    p = fused(p, m, _LOG[3])
    p = fused(p, m, _LOG[2])
    p = fused(p, m, _LOG[1])
    p = fused(p, m, _LOG[0])
    large, rest = whole * coarse, fused(whole, fine, p * m * (coarse + fine))
    nearest = np.int32(np.int32(large + rest + np.float32(128.5)) - np.int32(128))
    f = large - np.float32(nearest) + rest
    e = fused(_EXP[6], f, _EXP[5])
    e = fused(e, f, _EXP[4])
    e = fused(e, f, _EXP[3])
    e = fused(e, f, _EXP[2])
    e = fused(e, f, _EXP[1])
    e = fused(e, f, _EXP[0])
    scaled = np.int32(np.float32(e).view(np.int32) + np.int32(nearest << np.int32(23)))
    return np.int32(scaled).view(np.float32) if value > np.float32(0) else np.float32(0)


@inlined
def padded(count: int) -> int:
    """A length for `move_values` that holds so many values, and leaves no scalar remainder."""
    return (count + _LANES - 1) // _LANES * _LANES


@jit
def move_values(values: Reals, traces: Reals, count: int, size: float, power: float, w_max: float) -> None:
    """The first ``values += size * values ** power * traces``, kept within 0..w_max."""
    kind = values.dtype.type
    amount, exponent, low, high = kind(size), kind(power), kind(0), kind(w_max)
    coarse = np.float32(np.floor(power * 4096.0 + 0.5) / 4096.0)
    fine = np.float32(power - np.float64(coarse))
    if power == 0.0:
        for k in range(count):
            values[k] = min(max(values[k] + amount * traces[k], low), high)
    elif power == 1.0:
        for k in range(count):
            values[k] = min(max(values[k] + amount * traces[k] * values[k], low), high)
    elif values.itemsize == 4 and power < 1.0:
        for k in range(count):
            factor = _power(np.float32(values[k]), coarse, fine)
            values[k] = min(max(values[k] + amount * traces[k] * factor, low), high)
    else:
        for k in range(count):
            values[k] = min(max(values[k] + amount * traces[k] * values[k] ** exponent, low), high)
