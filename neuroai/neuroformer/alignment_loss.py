"""Contrastive alignment of pooled features of two modalities."""

from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor
from torch.nn.functional import normalize

__all__ = ["contrastive_loss", "contrastive_pairs"]


def contrastive_loss(a: Tensor, b: Tensor, temperature: float = 0.5, *, symmetric: bool = False) -> Tensor:
    r"""InfoNCE between matching rows.

    .. math:: S = \hat{a} \hat{b}^T / \tau, \qquad
              L = \frac{1}{n} \sum_i \left(-S_{ii} + \log \sum_j e^{S_{ij}}\right)

    Parameters
    ----------
    a, b : Tensor (n, width)
    temperature : float
    symmetric : bool
        Mean of both directions (columns as well as rows).

    Returns
    -------
    Tensor, scalar

    Examples
    --------
    >>> a, b = torch.eye(2), torch.eye(2)
    >>> round(float(contrastive_loss(a, b)), 4)
    0.1269
    """
    score = normalize(a, dim=-1) @ normalize(b, dim=-1).T / temperature
    one = (score.logsumexp(1) - score.diagonal()).mean()
    if not symmetric:
        return one
    return (one + (score.logsumexp(0) - score.diagonal()).mean()) / 2


def contrastive_pairs(pooled: Mapping[str, Tensor], temperature: float, *, symmetric: bool) -> Tensor:
    """Mean over all unordered pairs of modalities."""
    pairs = [
        contrastive_loss(a, b, temperature, symmetric=symmetric) for a, b in combinations(pooled.values(), 2)
    ]
    return torch.stack(pairs).mean()
