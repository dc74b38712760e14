"""The k largest of each row by a stable sort: the specification."""

import torch
from torch import Tensor

__all__ = ["winners_reference"]


def winners_reference(scores: Tensor, k: int) -> Tensor:
    """Bool (B, N), exactly k a row; of equals, the lower place. Negative and positive zero are equal."""
    order = torch.sort(scores, dim=1, descending=True, stable=True).indices
    winners = torch.zeros_like(scores, dtype=torch.bool)
    return winners.scatter_(1, order[:, :k], torch.ones_like(order[:, :k], dtype=torch.bool))
