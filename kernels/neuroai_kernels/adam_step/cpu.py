"""Adam under springs compiled for the CPU: one pass, block by block."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from neuroai_kernels._numba import parallel_jit, prange, vector_jit
from neuroai_kernels.adam_step.state import BLOCK, AdamMoments, AdamOptions, AdamSprings, factors

__all__ = ["adam_step"]

Numbers = NDArray[Any]


@vector_jit
def _any(gradient: Numbers, first: int, last: int) -> bool:
    found = False
    for i in range(first, last):
        found |= gradient[i] != 0
    return found


@vector_jit
def _move(
    weight: Numbers,
    gradient: Numbers,
    mean: Numbers,
    square: Numbers,
    numbers: Numbers,
    first: int,
    last: int,
) -> None:
    kept, fresh, kept_square, fresh_square, rate, scale, epsilon = numbers
    for i in range(first, last):
        g = gradient[i]
        m = kept * mean[i] + fresh * g
        v = kept_square * square[i] + fresh_square * (g * g)
        weight[i] -= rate * m / (np.sqrt(v) * scale + epsilon)
        mean[i], square[i] = m, v


@vector_jit
def _move_under_springs(
    weight: Numbers, gradient: Numbers, mean: Numbers, square: Numbers,
    stiffness: Numbers, rest: Numbers, path: Numbers, numbers: Numbers, first: int, last: int,
) -> None:  # fmt: skip
    kept, fresh, kept_square, fresh_square, rate, scale, epsilon = numbers
    for i in range(first, last):
        w = weight[i]
        g = gradient[i] + stiffness[i] * (w - rest[i])
        m = kept * mean[i] + fresh * g
        v = kept_square * square[i] + fresh_square * (g * g)
        moved = w - rate * m / (np.sqrt(v) * scale + epsilon)
        path[i] += gradient[i] * (w - moved)
        weight[i], mean[i], square[i] = moved, m, v


@parallel_jit
def _step(
    weight: Numbers, gradient: Numbers, mean: Numbers, square: Numbers, touched: NDArray[np.uint8],
    stiffness: Numbers, rest: Numbers, path: Numbers, numbers: Numbers, sprung: bool, block: int,
) -> None:  # fmt: skip
    for number in prange(len(touched)):
        first, last = number * block, min(len(weight), (number + 1) * block)
        if not touched[number] and not _any(gradient, first, last):
            continue
        touched[number] = 1
        if sprung:
            _move_under_springs(weight, gradient, mean, square, stiffness, rest, path, numbers, first, last)
        else:
            _move(weight, gradient, mean, square, numbers, first, last)


def adam_step(
    weight: Tensor,
    gradient: Tensor,
    moments: AdamMoments,
    springs: AdamSprings | None,
    options: AdamOptions,
    step: int,
) -> None:
    """One step, in place."""
    w, g, mean, square = (x.numpy() for x in (weight, gradient, moments.mean, moments.square))
    stiffness, rest, path = (w[:0],) * 3 if springs is None else (x.numpy() for x in vars(springs).values())
    numbers = np.array(factors(options, step), w.dtype)
    _step(
        w,
        g,
        mean,
        square,
        moments.touched.numpy(),
        stiffness,
        rest,
        path,
        numbers,
        springs is not None,
        BLOCK,
    )
