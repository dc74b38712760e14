"""Adam that passes over weights without gradient, and holds springs while it moves the others."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from neuroai.kernels import AdamMoments, AdamOptions, AdamSprings, adam_step

__all__ = ["BlockAdam"]


class BlockAdam(torch.optim.Optimizer):
    """Adam in one pass; blocks of weights that have had no gradient are left alone, which changes nothing.

    Of a unit's dendritic segments only those that have won get gradients: with ten segments and one context
    a task, a step then moves a fifth of the bytes.

    Parameters
    ----------
    parameters : iterable of Tensor
    learning_rate : float

    Attributes
    ----------
    springs : dict of Tensor to AdamSprings
        Springs of parameters, which rest where the parameters are before the first step.

    Examples
    --------
    >>> import torch
    >>> layer = torch.nn.Linear(2, 1, bias=False)
    >>> optimizer = BlockAdam(layer.parameters(), 0.1)
    >>> before = layer.weight.detach().clone()
    >>> layer(torch.tensor([[1.0, 0.0]])).sum().backward()
    >>> optimizer.step()
    >>> [round(x, 3) for x in (layer.weight - before).flatten().tolist()]
    [-0.1, 0.0]
    """

    def __init__(self, parameters: Iterable[Tensor], learning_rate: float) -> None:
        super().__init__(parameters, {"lr": learning_rate})
        self.springs: dict[Tensor, AdamSprings] = {}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            options = AdamOptions(group["lr"])
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, options)
        return loss

    def _move(self, weight: Tensor, options: AdamOptions) -> None:
        state, gradient = self.state[weight], weight.grad
        assert gradient is not None
        if not state:
            state["step"], state["moments"] = 0, AdamMoments.zeros(weight.detach())
        state["step"] += 1
        adam_step(
            weight, gradient, state["moments"], options, state["step"], springs=self.springs.get(weight)
        )
