"""The specification: a loop over time in plain torch, gradients by autograd."""

import torch
from torch import Tensor

__all__ = ["linear_scan"]


def linear_scan(a: Tensor, x: Tensor, h: Tensor) -> Tensor:
    """``h_t = a_t h_{t-1} + x_t`` for (T, N)."""
    states = []
    for decay, current in zip(a, x, strict=True):
        h = decay * h + current
        states.append(h)
    return torch.stack(states) if states else torch.zeros_like(x)
