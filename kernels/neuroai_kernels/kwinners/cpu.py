"""The k largest of each row compiled for the CPU: digit by digit of order-preserving keys, then one pass.

Only keys that share the digits found so far are looked at again, so nearly all the work is one histogram.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroai_kernels._numba import jit, parallel_jit, prange
from neuroai_kernels.errors import ShapeError

__all__ = ["winners_cpu"]

Keys = NDArray[Any]
# Bits: longer digits cost more to clear and search than they save, below rows of 50,000.
_DIGIT = 8


@jit
def _kth_largest(keys: Keys, k: int) -> Any:
    """The k-th largest key."""
    # Equal neighbours wait for each other's count in one table, but not in two.
    even, odd = np.zeros(1 << _DIGIT, np.int32), np.zeros(1 << _DIGIT, np.int32)
    candidates, n = keys.copy(), len(keys)
    shift, left = 8 * keys.itemsize, k
    while shift > 0 and n > 1:
        shift -= _DIGIT
        # Of the keys' own type: a signed number beside an unsigned one would widen both.
        places, mask = keys.dtype.type(shift), keys.dtype.type((1 << _DIGIT) - 1)
        even[:], odd[:] = 0, 0
        for i in range(0, n - 1, 2):
            even[(candidates[i] >> places) & mask] += 1
            odd[(candidates[i + 1] >> places) & mask] += 1
        if n & 1:
            even[(candidates[n - 1] >> places) & mask] += 1
        digit = (1 << _DIGIT) - 1
        while even[digit] + odd[digit] < left:
            left -= even[digit] + odd[digit]
            digit -= 1
        wanted, kept = keys.dtype.type(digit), 0
        for i in range(n):
            candidates[kept] = candidates[i]
            kept += ((candidates[i] >> places) & mask) == wanted
        n = kept
    return candidates[0]


@jit
def _ordered(row: Keys, sign: Any, largest: Any, keys: Keys) -> bool:
    """Bits of scores as unsigned keys in their order; whether none is NaN (``largest``: infinity's bits)."""
    ones = ~(sign ^ sign)
    numbers = True
    for i in range(len(row)):
        # Negative zero counts as zero.
        bits = row[i] if row[i] != sign else sign ^ sign
        numbers &= (bits & ~sign) <= largest
        keys[i] = bits ^ (ones if bits & sign else sign)
    return numbers


@parallel_jit
def _winners(
    rows: Keys, sign: Any, largest: Any, k: int, out: NDArray[np.bool_], sound: NDArray[np.bool_]
) -> None:
    n_rows, n = rows.shape
    for r in prange(n_rows):
        keys = np.empty_like(rows[r])
        sound[r] = _ordered(rows[r], sign, largest, keys)
        threshold = _kth_largest(keys, k)
        surplus = -k
        for i in range(n):
            wins = keys[i] >= threshold
            out[r, i] = wins
            surplus += wins
        # Of the equals of the k-th, the last places lose.
        i = n - 1
        while surplus > 0:
            if keys[i] == threshold:
                out[r, i] = False
                surplus -= 1
            i -= 1


def winners_cpu(scores: Tensor, k: int) -> Tensor:
    """Bool (B, N), exactly k a row; of equals, the lower place. Negative and positive zero are equal.

    Raises `ShapeError` if a score is NaN.
    """
    values = (scores if scores.dtype == torch.float64 else scores.to(torch.float32)).contiguous().numpy()
    unsigned = np.dtype(f"u{values.itemsize}").type
    infinity = np.array(np.inf, values.dtype).view(unsigned)[()]
    sign = unsigned(1 << (8 * values.itemsize - 1))
    out, sound = torch.empty(scores.shape, dtype=torch.bool), np.empty(len(values), np.bool_)
    _winners(values.view(unsigned), sign, infinity, k, out.numpy(), sound)
    if not sound.all():
        row = int(np.argmin(sound))
        unit = int(np.argmax(np.isnan(values[row])))
        raise ShapeError(f"scores must be ordered: found NaN at row {row}, unit {unit}")
    return out
