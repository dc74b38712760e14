"""What a step of Adam under springs reads and writes beside weights and gradients."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["BLOCK", "AdamMoments", "AdamOptions", "AdamSprings", "factors"]

#: Neighbouring weights that are passed over together.
BLOCK = 512


@dataclass(frozen=True)
class AdamOptions:
    """Numbers of Adam, named as by Kingma and Ba (2015)."""

    learning_rate: float
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8


@dataclass(frozen=True)
class AdamMoments:
    """Running means of the gradients and of their squares.

    Attributes
    ----------
    mean, square : tensors like the weights
    touched : uint8 tensor (ceil(n / BLOCK),)
        Not 0: some gradient of the block has differed from zero since the moments were.
    """

    mean: Tensor
    square: Tensor
    touched: Tensor

    @classmethod
    def zeros(cls, weight: Tensor) -> "AdamMoments":
        """Before the first step."""
        touched = torch.zeros(-(-weight.numel() // BLOCK), dtype=torch.uint8, device=weight.device)
        return cls(torch.zeros_like(weight), torch.zeros_like(weight), touched)


@dataclass(frozen=True)
class AdamSprings:
    """What pulls weights, and how much each has lowered the loss.

    Attributes
    ----------
    stiffness, rest : tensors like the weights
        Their pull is ``stiffness * (weight - rest)``.
    path : tensor like the weights
        Sum over steps of minus the gradient, without the pull, times the weight's change.
    """

    stiffness: Tensor
    rest: Tensor
    path: Tensor


def factors(options: AdamOptions, step: int) -> tuple[float, ...]:
    """What is kept and added of mean and square, the rate, the root's scale, epsilon."""
    beta_1, beta_2 = options.betas
    rate = options.learning_rate / (1 - beta_1**step)
    scale = 1 / math.sqrt(1 - beta_2**step)
    return beta_1, 1 - beta_1, beta_2, 1 - beta_2, rate, scale, options.epsilon
