# Triton's functions are typed by its compiler.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""Triton form: one program a population, its matrix in registers from load to store.

Up to 64 neurons a program is one warp: sums over the rows that a lane holds need no exchange, and none of the
sums waits at a barrier. The matrix is symmetric, so summing over rows gives its product with a vector.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["lateral_step"]

_MAX_N = 128


@triton.jit
def _kernel(
    matrix,
    inputs,
    responses,
    moved,
    step,
    step_rest,
    tolerance,
    N: tl.constexpr,
    BLOCK: tl.constexpr,
    STEPS: tl.constexpr,
):
    population = tl.program_id(0).to(tl.int64)
    row = tl.arange(0, BLOCK)
    inside = (row[:, None] < N) & (row[None, :] < N)
    place = population * N * N + row[:, None] * N + row[None, :]
    m = tl.load(matrix + place, mask=inside, other=0.0)
    x = tl.load(inputs + population * N + row, mask=row < N, other=0.0)
    y = tl.zeros_like(x)
    residual = x
    direction = x
    size = tl.sum(x * x, axis=0)
    goal = tolerance * tolerance * size
    taken = 0
    while (taken < STEPS) & (size > goal):
        product = tl.sum(m * direction[:, None], axis=0)
        bend = tl.sum(direction * product, axis=0)
        # Curvature that is not positive: M is not positive definite, and NaN says so.
        length = tl.where(bend > 0, size / bend, float("nan"))
        y += length * direction
        residual -= length * product
        fresh = tl.sum(residual * residual, axis=0)
        direction = residual + (fresh / size) * direction
        size = fresh
        taken += 1
    # A sample that is not finite has no response, and teaches nothing.
    sound = tl.sum(x - x, axis=0) == 0
    y = tl.where(sound, y, float("nan"))
    tl.store(responses + population * N + row, y, mask=row < N)
    # Triton takes numbers as float32: the rest of a float64 step comes apart.
    step = step + tl.zeros_like(x) + step_rest
    decay = tl.where(row[:, None] == row[None, :], step[None, :], 0.0)
    change = (step * y)[:, None] * y[None, :] - decay
    tl.store(moved + place, m + tl.where(sound, change, 0.0), mask=inside)


def lateral_step(
    matrix: Tensor, inputs: Tensor, step: float, *, n_warps: int | None = None
) -> tuple[Tensor, Tensor]:
    """See `neuroai_kernels.lateral.lateral_step`."""
    populations, n = inputs.shape
    if n > _MAX_N:
        raise ValueError(f"n={n}: the Triton form holds a matrix in registers, at most {_MAX_N} x {_MAX_N}")
    matrix, inputs = matrix.contiguous(), inputs.contiguous()
    responses, moved = torch.empty_like(inputs), torch.empty_like(matrix)
    block = max(16, triton.next_power_of_2(n))
    single = float(torch.tensor(step, dtype=torch.float32))
    tolerance = 1e-12 if matrix.dtype == torch.float64 else 1e-6
    _kernel[(populations,)](
        matrix,
        inputs,
        responses,
        moved,
        single,
        step - single,
        tolerance,
        n,
        BLOCK=block,
        STEPS=4 * n,
        num_warps=n_warps or (1 if block <= 64 else 4),
    )
    return responses, moved
