"""Behaviour decoded from the mean of a window's features."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from neuroai.neuroformer.config import Modality

__all__ = ["Head"]


class Head(nn.Module):
    """Linear readout of one behaviour.

    Parameters
    ----------
    modality : Modality
        A target: a series (mean squared error in units of its standard deviation) or a category
        (cross-entropy).
    width : int
    """

    def __init__(self, modality: Modality, width: int) -> None:
        super().__init__()
        self.classes = modality.kind == "category"
        self.linear = nn.Linear(width, modality.size)
        self.register_buffer("centre", torch.zeros(modality.size))
        self.register_buffer("scale", torch.ones(modality.size))

    @property
    def fresh(self) -> bool:
        """Whether predictions were never scaled."""
        return bool((torch.as_tensor(self.scale) == 1).all() and (torch.as_tensor(self.centre) == 0).all())

    @torch.no_grad()
    def standardise(self, values: Tensor) -> None:
        """Centre and scale the predictions by training values (n, size); NaN do not count."""
        if self.classes:
            return
        seen = values[values.isfinite().all(1)]
        torch.as_tensor(self.centre).copy_(seen.mean(0))
        torch.as_tensor(self.scale).copy_(seen.std(0).clamp(min=1e-8))

    def forward(self, pooled: Tensor) -> Tensor:
        """Values in their own units (n, size), or class scores."""
        out: Tensor = self.linear(pooled).float()
        return out if self.classes else out * torch.as_tensor(self.scale) + torch.as_tensor(self.centre)

    def loss(self, pooled: Tensor, target: Tensor) -> Tensor:
        """Mean over the windows that have a value; 0 without any."""
        out = self(pooled)
        if self.classes:
            total = cross_entropy(out, target, ignore_index=-1, reduction="sum")
            return total / (target >= 0).sum().clamp(min=1)
        seen = target.isfinite()
        error = torch.where(seen, out - torch.where(seen, target, 0.0), 0.0) / torch.as_tensor(self.scale)
        return error.square().sum() / seen.sum().clamp(min=1)
