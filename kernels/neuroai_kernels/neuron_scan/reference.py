"""The specification: a loop over time in plain torch, gradients by autograd."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from neuroai_kernels.neuron_scan.surrogate import Surrogate

__all__ = ["neuron_scan", "spike"]


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(x)
        ctx.surrogate = surrogate
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return gradient * ctx.surrogate.slope(x), None


def spike(x: Tensor, surrogate: Surrogate) -> Tensor:
    """1 where x is at least 0, with the surrogate's derivative."""
    out: Tensor = _Spike.apply(x, surrogate)  # type: ignore[no-untyped-call]
    return out


def neuron_scan(
    x: Tensor,
    v: Tensor,
    b: Tensor,
    decay: Tensor,
    threshold: Tensor,
    v_reset: float,
    adaptation: tuple[float, float],
    hard: bool,
    decay_input: bool,
    detach_reset: bool,
    fire: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    """See `neuroai_kernels.neuron_scan.neuron_scan`; ``fire`` makes spikes of potentials above threshold."""
    strength, rho = adaptation
    gain = 1 - decay if decay_input else 1
    spikes = []
    for current in x:
        u = decay * v + gain * current
        z = fire(u - (threshold + strength * b))
        back = z.detach() if detach_reset else z
        v = u * (1 - back) + v_reset * back if hard else u - threshold * back
        b = rho * b + (1 - rho) * z
        spikes.append(z)
    return torch.stack(spikes) if spikes else torch.zeros_like(x), v, b
