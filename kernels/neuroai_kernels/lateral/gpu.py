"""Triton form: one program a population, its matrix in registers from load to store."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["lateral_step"]

_MAX_N = 128


@triton.jit  # type: ignore[untyped-decorator]
def _kernel(
    matrix: Any,
    inputs: Any,
    responses: Any,
    moved: Any,
    step: Any,
    tolerance: Any,
    n: Any,
    BLOCK: tl.constexpr,
    STEPS: tl.constexpr,
) -> None:
    population = tl.program_id(0).to(tl.int64)
    row = tl.arange(0, BLOCK)
    inside = (row[:, None] < n) & (row[None, :] < n)
    unit = (row[:, None] == row[None, :]).to(matrix.dtype.element_ty)
    place = population * n * n + row[:, None] * n + row[None, :]
    m = tl.load(matrix + place, mask=inside, other=0.0)
    x = tl.load(inputs + population * n + row, mask=row < n, other=0.0)
    y = tl.zeros_like(x)
    residual = x
    direction = x
    size = tl.sum(x * x, axis=0)
    goal = tolerance * tolerance * size
    taken = 0
    while (taken < STEPS) & (size > goal):
        product = tl.sum(m * direction[None, :], axis=1)
        bend = tl.sum(direction * product, axis=0)
        # Curvature that is not positive: M is not positive definite, and NaN says so.
        length = tl.where(bend > 0, size / bend, float("nan"))
        y += length * direction
        residual -= length * product
        fresh = tl.sum(residual * residual, axis=0)
        direction = residual + (fresh / size) * direction
        size = fresh
        taken += 1
    tl.store(responses + population * n + row, y, mask=row < n)
    tl.store(moved + place, m + step * (y[:, None] * y[None, :] - unit), mask=inside)


def lateral_step(matrix: Tensor, inputs: Tensor, step: float, *, n_warps: int = 4) -> tuple[Tensor, Tensor]:
    """See `neuroai_kernels.lateral.lateral_step`."""
    populations, n = inputs.shape
    if n > _MAX_N:
        raise ValueError(f"n={n}: the Triton form holds a matrix in registers, at most {_MAX_N} x {_MAX_N}")
    matrix, inputs = matrix.contiguous(), inputs.contiguous()
    responses, moved = torch.empty_like(inputs), torch.empty_like(matrix)
    tolerance = 1e-12 if matrix.dtype == torch.float64 else 1e-6
    _kernel[(populations,)](
        matrix,
        inputs,
        responses,
        moved,
        step,
        tolerance,
        n,
        BLOCK=max(16, triton.next_power_of_2(n)),
        STEPS=4 * n,
        num_warps=n_warps,
    )
    return responses, moved
