"""Contrastive alignment of pooled features of two modalities."""

from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor
from torch.nn.functional import normalize

__all__ = ["contrastive_loss", "contrastive_pairs"]


def contrastive_loss(
    a: Tensor,
    b: Tensor,
    temperature: float = 0.5,
    *,
    symmetric: bool = False,
    counted: Tensor | None = None,
) -> Tensor:
    r"""InfoNCE between matching rows.

    .. math:: S = \hat{a} \hat{b}^T / \tau, \qquad
              L = \frac{1}{n} \sum_i \left(-S_{ii} + \log \sum_j e^{S_{ij}}\right)

    Parameters
    ----------
    a, b : Tensor (n, width)
    temperature : float
    symmetric : bool
        Mean of both directions (columns as well as rows).
    counted : Tensor of bool (n,), optional
        Rows that are there; others are neither matched nor contrasted with.

    Returns
    -------
    Tensor, scalar
        Nats.

    Notes
    -----
    O(n^2 width) time, O(n^2) memory.

    References
    ----------
    van den Oord, Li & Vinyals (2018), "Representation learning with contrastive predictive coding"; both
    directions as in Radford et al. (2021).

    Examples
    --------
    >>> a, b = torch.eye(2), torch.eye(2)
    >>> round(float(contrastive_loss(a, b)), 4)
    0.1269
    """
    score = normalize(a, dim=-1) @ normalize(b, dim=-1).T / temperature
    one = _surprise(score, counted)
    return one if not symmetric else (one + _surprise(score.T, counted)) / 2


def _surprise(score: Tensor, counted: Tensor | None) -> Tensor:
    """Mean over rows of the negative log probability of the match among the columns."""
    if counted is None:
        return (score.logsumexp(1) - score.diagonal()).mean()
    among = torch.where(counted, score, -torch.inf).logsumexp(1) - score.diagonal()
    return torch.where(counted, among, 0.0).sum() / counted.sum()


def contrastive_pairs(
    pooled: Mapping[str, Tensor], temperature: float, *, symmetric: bool, counted: Tensor | None = None
) -> Tensor:
    """Mean of :func:`contrastive_loss` over all unordered pairs of modalities.

    Parameters
    ----------
    pooled : mapping of name to Tensor (n, width)
        Two or more, row i of each from the same window.
    temperature, symmetric, counted
        As there.

    Returns
    -------
    Tensor, scalar

    Examples
    --------
    >>> rows = dict.fromkeys(("spikes", "video", "behaviour"), torch.eye(2))
    >>> round(float(contrastive_pairs(rows, 0.5, symmetric=True)), 4)
    0.1269
    """
    pairs = [
        contrastive_loss(a, b, temperature, symmetric=symmetric, counted=counted)
        for a, b in combinations(pooled.values(), 2)
    ]
    return torch.stack(pairs).mean()
