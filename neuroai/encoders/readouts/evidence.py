"""Weights of competing models from their errors on held-out samples."""

from collections.abc import Sequence

import torch
from torch import Tensor


def bootstrap_counts(n: int, groups: Sequence[Tensor] | None, seed: int, draws: int = 64) -> Tensor:
    """Bayesian bootstrap: Dirichlet(1, ..., 1) weights of samples, times their number: (draws, n).

    Samples of one group share a draw.
    """
    generator = torch.Generator().manual_seed(seed)
    units = n if groups is None else len(groups)
    counts = torch.empty(draws, units, dtype=torch.float64).exponential_(generator=generator)
    counts *= units / counts.sum(1, keepdim=True)
    if groups is None:
        return counts
    spread = torch.empty(draws, n, dtype=torch.float64)
    for index, rows in enumerate(groups):
        spread[:, rows.cpu()] = counts[:, index : index + 1]
    return spread


def mixture_weights(errors: Tensor, n: int, smallest: float = 0.01) -> Tensor:
    r"""Pseudo-BMA+ weights of models from bootstrapped sums of squared held-out errors.

    .. math:: w_{vk} = \operatorname{mean}_b \operatorname{softmax}_k(-\tfrac n2 \log \mathrm{SSE}_{kbv})

    Parameters
    ----------
    errors : Tensor (K, draws, v)
        Sums of squared errors in every bootstrap draw.
    n : int
        Number of independent samples behind them.
    smallest : float
        Smaller weights become 0, and the rest are scaled to sum to 1.

    Returns
    -------
    Tensor (v, K)

    References
    ----------
    Yao, Vehtari, Simpson and Gelman (2018), Bayesian Analysis 13, 917, for Gaussian errors whose
    variance is that of each model.

    Examples
    --------
    >>> mixture_weights(torch.tensor([[[1.0]], [[1.0]], [[9.0]]]), n=100)
    tensor([[0.5000, 0.5000, 0.0000]])
    """
    log_likelihood = -n / 2 * torch.log(errors.clamp(min=torch.finfo(errors.dtype).tiny))
    weights = torch.softmax(log_likelihood, dim=0).mean(1).T
    # The best model always stays: among many models none may reach the smallest weight.
    best = weights == weights.amax(dim=1, keepdim=True)
    weights = torch.where(best | (weights >= smallest), weights, torch.zeros_like(weights))
    return weights / weights.sum(dim=1, keepdim=True)
