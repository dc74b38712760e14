"""Adam under springs in plain tensor operations, every weight at every step: the specification."""

import math

from torch import Tensor

from neuroai_kernels.adam_step.state import BLOCK, AdamMoments, AdamOptions, AdamSprings

__all__ = ["adam_step"]


def adam_step(
    weight: Tensor,
    gradient: Tensor,
    moments: AdamMoments,
    springs: AdamSprings | None,
    options: AdamOptions,
    step: int,
) -> None:
    """One step, in place."""
    mark_touched(gradient, moments)
    before = weight.clone()
    pulled = gradient if springs is None else gradient + springs.stiffness * (weight - springs.rest)
    (beta_1, beta_2), t = options.betas, step
    moments.mean.lerp_(pulled, 1 - beta_1)
    moments.square.mul_(beta_2).addcmul_(pulled, pulled, value=1 - beta_2)
    scale = math.sqrt(1 - beta_2**t)
    weight.addcdiv_(
        moments.mean,
        moments.square.sqrt().div_(scale).add_(options.epsilon),
        value=-options.learning_rate / (1 - beta_1**t),
    )
    if springs is not None:
        springs.path.addcmul_(gradient, before - weight)


def mark_touched(gradient: Tensor, moments: AdamMoments) -> None:
    """Note the blocks in which some gradient is not zero."""
    blocks = (gradient != 0).nonzero(as_tuple=True)[0] // BLOCK
    moments.touched[blocks] = 1
