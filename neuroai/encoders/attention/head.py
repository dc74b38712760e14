"""Linear readouts from query tokens to targets: each target reads only the tokens of its own regions."""

# ruff: noqa: F722  (jaxtyping writes axis names as strings)

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from neuroai.encoders.attention.grouped import grouped_linear
from neuroai.errors import ConfigError, ShapeError

__all__ = ["Combine", "RegionReadout", "VertexReadout"]

Combine = Literal["mean", "sum"]


class RegionReadout(nn.Module):
    r"""Read each target from the tokens of the regions that it belongs to.

    .. math::
        \hat y_v = w_v \cdot \frac{1}{m_v} \sum_{r \ni v} t_r + b_v \;\text{("mean")}, \qquad
        \hat y_v = \sum_{r \ni v} (w_v \cdot t_r + b_v) \;\text{("sum")}

    Targets with the same set of regions form a group, which shares its averaged token; weights are stored
    group by group, once a target. "sum" is the published form, in which a target in ``m`` regions starts at
    ``m`` times the scale; "mean" keeps the scale. They agree where no target is in two regions.

    Parameters
    ----------
    membership : Tensor of bool, shape (Q, V)
        ``membership[q, v]``: target ``v`` reads query ``q``. A row may be empty; a column may not.
    d_model : int
        Width of a token.
    combine : {"mean", "sum"}, default "mean"

    Raises
    ------
    ShapeError
        If a target belongs to no query.

    Examples
    --------
    >>> import torch
    >>> head = RegionReadout(torch.tensor([[True, True, False], [False, True, True]]), d_model=4)
    >>> head.sizes, head(torch.zeros(5, 2, 4)).shape
    ((1, 1, 1), torch.Size([5, 3]))
    """

    order: Tensor
    inverse: Tensor
    mixing: Tensor
    counts: Tensor

    def __init__(self, membership: Bool[Tensor, "query target"], d_model: int, combine: Combine = "mean"):
        super().__init__()
        if combine not in ("mean", "sum"):
            raise ConfigError(f"combine={combine!r}: expected 'mean' or 'sum'")
        orphans = (~membership.any(0)).nonzero().flatten()
        if len(orphans):
            raise ShapeError(
                f"{len(orphans)} of {membership.shape[1]} targets belong to no query, the first is target "
                f"{int(orphans[0])}: add a query for the targets in none of the regions"
            )
        patterns, group = torch.unique(membership, dim=1, return_inverse=True)
        per_group = patterns.sum(0)
        mixing = patterns.T.float()
        if combine == "mean":
            mixing = mixing / per_group[:, None]
        order = torch.argsort(group, stable=True)
        self.sizes = tuple(torch.bincount(group, minlength=patterns.shape[1]).tolist())
        counts = per_group[group[order]] if combine == "sum" else torch.ones(len(order))
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("inverse", torch.argsort(order), persistent=False)
        self.register_buffer("mixing", mixing, persistent=False)
        self.register_buffer("counts", counts.float(), persistent=False)  # biases a target sums
        self.weight = nn.Parameter(torch.empty(len(order), d_model))
        self.bias = nn.Parameter(torch.empty(len(order)))

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw weights and biases uniformly within ``1 / sqrt(d_model)``."""
        _reset_rows(self.weight, self.bias, generator)

    def forward(self, tokens: Float[Tensor, "batch query channel"]) -> Float[Tensor, "batch target"]:
        """Map tokens ``(B, Q, d)`` to targets ``(B, V)`` in their original order."""
        grouped = torch.matmul(self.mixing.to(tokens.dtype), tokens)
        responses = grouped_linear(grouped, self.weight, self.bias * self.counts, self.sizes)
        return responses.index_select(1, self.inverse)


class VertexReadout(nn.Module):
    r"""Read each target from its own token: :math:`\hat y_v = w_v \cdot t_v + b_v`, ``O(B V d)`` memory.

    Parameters
    ----------
    n_targets, d_model : int

    Examples
    --------
    >>> import torch
    >>> VertexReadout(3, 4)(torch.zeros(5, 3, 4)).shape
    torch.Size([5, 3])
    """

    def __init__(self, n_targets: int, d_model: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_targets, d_model))
        self.bias = nn.Parameter(torch.empty(n_targets))

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw weights and biases uniformly within ``1 / sqrt(d_model)``."""
        _reset_rows(self.weight, self.bias, generator)

    def forward(
        self, tokens: Float[Tensor, "batch target channel"], targets: slice = slice(None)
    ) -> Float[Tensor, "batch target"]:
        """Map tokens ``(B, V', d)`` of the targets in ``targets`` to responses ``(B, V')``."""
        products: Tensor = torch.linalg.vecdot(tokens, self.weight[targets].to(tokens.dtype))
        return products + self.bias[targets]


def _reset_rows(weight: Tensor, bias: Tensor, generator: torch.Generator | None) -> None:
    bound = 1 / math.sqrt(weight.shape[1])
    with torch.no_grad():
        weight.uniform_(-bound, bound, generator=generator)
        bias.uniform_(-bound, bound, generator=generator)
