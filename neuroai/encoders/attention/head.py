"""Linear readouts from query tokens to targets: each target reads only the tokens of its own regions."""

# ruff: noqa: F722  (jaxtyping writes axis names as strings)

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from neuroai.errors import ConfigError, ShapeError

__all__ = ["Combine", "RegionReadout", "VertexReadout", "grouped_linear"]

Combine = Literal["mean", "sum"]


def grouped_linear(
    inputs: Float[Tensor, "batch group channel"],
    weight: Float[Tensor, "target channel"],
    bias: Float[Tensor, " target"],
    sizes: Sequence[int],
) -> Float[Tensor, "batch target"]:
    r"""Apply one linear map a group: :math:`y_{bv} = w_v \cdot x_{b,g(v)} + b_v`, targets sorted by group.

    Parameters
    ----------
    inputs : Tensor, shape (B, G, d)
    weight : Tensor, shape (V, d)
        Rows of group 0 first, then those of group 1, and so on.
    bias : Tensor, shape (V,)
    sizes : sequence of int, length G
        Targets in each group, possibly 0; they sum to ``V``.

    Returns
    -------
    Tensor, shape (B, V)

    Raises
    ------
    ShapeError
        If ``sizes`` does not fit the arrays.

    Notes
    -----
    ``2 B V d`` operations forward and ``O(B V + V d)`` memory: no array of ``V x G`` or ``V x V``. The
    gradient of ``weight`` is written in place of its slices, which indexing rows of one matrix would copy.

    Examples
    --------
    >>> import torch
    >>> x = torch.tensor([[[1.0], [10.0]]])
    >>> grouped_linear(x, torch.tensor([[2.0], [3.0], [4.0]]), torch.zeros(3), [2, 1])
    tensor([[ 2.,  3., 40.]])
    """
    if len(sizes) != inputs.shape[1] or sum(sizes) != len(weight) or len(bias) != len(weight):
        raise ShapeError(
            f"grouped_linear: {len(sizes)} sizes summing to {sum(sizes)} do not fit {inputs.shape[1]} "
            f"groups, {len(weight)} weight rows and {len(bias)} biases"
        )
    with torch.autocast(inputs.device.type, enabled=False):
        return _apply(inputs.to(weight.dtype), weight, bias, sizes)


def _apply(inputs: Tensor, weight: Tensor, bias: Tensor, sizes: Sequence[int]) -> Tensor:
    result: Tensor = _GroupedLinear.apply(inputs, weight, bias, tuple(sizes))  # type: ignore[no-untyped-call]
    return result


def _spans(sizes: Sequence[int]) -> list[tuple[int, slice]]:
    spans, start = [], 0
    for group, size in enumerate(sizes):
        if size:
            spans.append((group, slice(start, start + size)))
        start += size
    return spans


class _GroupedLinear(torch.autograd.Function):
    """See :func:`grouped_linear`."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, sizes: tuple[int, ...]) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.sizes = sizes
        output = inputs.new_empty(len(inputs), len(weight))
        for group, span in _spans(sizes):
            output[:, span] = torch.addmm(bias[span], inputs[:, group], weight[span].T)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        (gradient,) = gradients
        d_inputs, d_weight = torch.zeros_like(inputs), torch.empty_like(weight)
        for group, span in _spans(ctx.sizes):
            part = gradient[:, span]
            torch.mm(part.T, inputs[:, group], out=d_weight[span])
            d_inputs[:, group] = part @ weight[span]
        return d_inputs, d_weight, gradient.sum(0), None


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
