# Triton's functions are typed by its compiler.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""Adam under springs in Triton: one program a block, which reads only its gradients until one is not zero."""

import triton
import triton.language as tl
from torch import Tensor

from neuroai_kernels.adam_step.state import BLOCK as _BLOCK
from neuroai_kernels.adam_step.state import AdamMoments, AdamOptions, AdamSprings, factors

__all__ = ["adam_step"]


@triton.jit
def _kernel(
    weight, gradient, mean, square, touched, stiffness, rest, path, n,
    kept, fresh, kept_square, fresh_square, rate, scale, epsilon, SPRUNG: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    number = tl.program_id(0).to(tl.int64)
    i = number * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    before = tl.load(touched + number)
    g = tl.load(gradient + i, inside, 0.0)
    if (before != 0) | (tl.max((g != 0).to(tl.int32), 0) != 0):
        tl.store(touched + number, 1)
        w = tl.load(weight + i, inside, 0.0)
        pulled = g
        if SPRUNG:
            pulled += tl.load(stiffness + i, inside, 0.0) * (w - tl.load(rest + i, inside, 0.0))
        m = kept * tl.load(mean + i, inside, 0.0) + fresh * pulled
        v = kept_square * tl.load(square + i, inside, 0.0) + fresh_square * (pulled * pulled)
        moved = w - rate * m / (tl.sqrt(v) * scale + epsilon)
        tl.store(weight + i, moved, inside)
        tl.store(mean + i, m, inside)
        tl.store(square + i, v, inside)
        if SPRUNG:
            tl.store(path + i, tl.load(path + i, inside, 0.0) + g * (w - moved), inside)


def adam_step(
    weight: Tensor,
    gradient: Tensor,
    moments: AdamMoments,
    springs: AdamSprings | None,
    options: AdamOptions,
    step: int,
) -> None:
    """One step, in place."""
    if not weight.numel():
        return
    own = [weight] * 3 if springs is None else list(vars(springs).values())
    _kernel[(len(moments.touched),)](
        weight, gradient, moments.mean, moments.square, moments.touched, *own, weight.numel(),
        *factors(options, step), SPRUNG=springs is not None, BLOCK=_BLOCK, num_warps=4,
    )  # fmt: skip
