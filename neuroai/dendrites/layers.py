r"""Torch layers: units gated by dendritic segments, k-winners, sparse weights.

References
----------
Ahmad and Scheinkman (2019), "How can we be so dense?": k-winners and sparse weights.
Grewal et al. (2021); Iyer et al. (2022), "Avoiding catastrophe": active dendrites.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neuroai.errors import ConfigError, ShapeError
from neuroai.kernels import kwinners, segment_select, update_duty

__all__ = ["ActiveDendriteLinear", "KWinners", "KWinners2d", "SparseLinear"]

Gate = Literal["absolute", "largest", "additive", "none"]


class SparseLinear(nn.Module):
    r"""Linear layer in which every unit reads a fixed random share of the inputs.

    .. math:: y = (W \circ m)\, x + b

    Masked weights are zero, stay zero (the mask acts in the forward pass, so they receive no gradient) and
    every row of the mask has exactly ``round(density * in_features)`` ones.

    Parameters
    ----------
    in_features, out_features : int
    density : float in (0, 1]
        Share of inputs a unit reads.
    input_density : float in (0, 1]
        Share of inputs that are active, k / N of the layer below; scales the initial weights.
    seed : int
        Of mask and initial weights.

    Notes
    -----
    Time of a dense product. Initial weights are uniform in ``+-1 / sqrt(input_density density in_features)``.

    Examples
    --------
    >>> layer = SparseLinear(10, 4, density=0.3)
    >>> (layer.weight != 0).sum(dim=1).tolist()
    [3, 3, 3, 3]
    """

    mask: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        density: float = 0.5,
        *,
        input_density: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        _require_shares(density=density, input_density=input_density)
        stream = torch.Generator().manual_seed(seed)
        kept = max(1, round(density * in_features))
        order = torch.rand(out_features, in_features, generator=stream).argsort(dim=1)
        self.register_buffer("mask", order < kept)
        bound = 1 / math.sqrt(input_density * kept)
        weight = (2 * torch.rand(out_features, in_features, generator=stream) - 1) * bound
        self.weight = nn.Parameter(weight * self.mask)
        self.bias = nn.Parameter((2 * torch.rand(out_features, generator=stream) - 1) * bound)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``x`` (..., in_features) to (..., out_features)."""
        return F.linear(x, self.weight * self.mask, self.bias)


class ActiveDendriteLinear(nn.Module):
    r"""Sparse linear units, each gated by the dendritic segment that answers a context most strongly.

    .. math:: \hat y_o = (w_o \cdot x + b_o)\, \sigma(d_o), \qquad d_o = u_{o j^*} \cdot c,
              \quad j^* = \arg\max_j |u_{oj} \cdot c|

    Parameters
    ----------
    in_features, out_features, context_features : int
    segments : int
        Segments a unit; at least 1 unless ``gate="none"``.
    density : float in (0, 1]
        Of the feed-forward weights; `SparseLinear`.
    input_density, context_density : float in (0, 1]
        Shares of active inputs and context entries; scale the initial weights.
    gate : {"absolute", "largest", "additive", "none"}
        Choose segments by magnitude (keeping the sign) or by value; "additive" adds the largest activation
        instead of gating; "none" leaves the segments out (the control).
    seed : int

    Notes
    -----
    A context shared by many samples is evaluated once: pass the distinct contexts and ``index``. Time
    ``2 B I O + 2 T O S C``, memory ``O(B O + T O)``: the (context, unit, segment) array is never formed.

    Examples
    --------
    >>> layer = ActiveDendriteLinear(10, 4, 6, segments=3)
    >>> layer(torch.ones(5, 10), torch.ones(6)).shape
    torch.Size([5, 4])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        context_features: int,
        segments: int = 10,
        *,
        density: float = 0.5,
        input_density: float = 1.0,
        context_density: float = 1.0,
        gate: Gate = "absolute",
        seed: int = 0,
    ) -> None:
        super().__init__()
        _require_shares(context_density=context_density)
        if gate not in {"absolute", "largest", "additive", "none"}:
            raise ConfigError(f"unknown gate {gate!r}: choose 'absolute', 'largest', 'additive' or 'none'")
        if gate != "none" and segments < 1:
            raise ConfigError(f"segments={segments}: a gated unit needs at least 1")
        self.gate = gate
        self.linear = SparseLinear(in_features, out_features, density, input_density=input_density, seed=seed)
        count = 0 if gate == "none" else segments
        bound = 1 / math.sqrt(context_density * context_features)
        # A stream of its own: the control without segments starts from the same feed-forward weights.
        stream = torch.Generator().manual_seed(seed + 1)
        uniform = torch.rand(out_features, count, context_features, generator=stream)
        self.segments = nn.Parameter((2 * uniform - 1) * bound)

    def forward(self, x: Tensor, context: Tensor, index: Tensor | None = None) -> Tensor:
        """Gated responses (B, out_features).

        Parameters
        ----------
        x : Tensor (B, in_features)
        context : Tensor (context_features,), (B, context_features) or (T, context_features)
            One for all samples, one a sample, or the distinct contexts that ``index`` points to.
        index : integer Tensor (B,), optional
            Context of each sample, in 0..T-1.
        """
        response: Tensor = self.linear(x)
        if self.gate == "none":
            return response
        contexts = context.unsqueeze(0) if context.ndim == 1 else context
        if index is None and len(contexts) not in {1, len(x)}:
            raise ShapeError(
                f"{len(contexts)} contexts for {len(x)} samples: pass one, one a sample, or an index"
            )
        drive = segment_select(contexts, self.segments, absolute=self.gate == "absolute")
        drive = drive if index is None else drive[index]
        return response + drive if self.gate == "additive" else response * torch.sigmoid(drive)


class KWinners(nn.Module):
    """Keep the k largest activations of each sample; the others are silent and receive no gradient.

    Parameters
    ----------
    n : int
        Units.
    density : float in (0, 1]
        Share of winners in training.
    inference_factor : float
        Winners in evaluation over winners in training, at least 1 / n.
    boost : float
        Strength with which units that win too seldom are favoured; 0 for none.
    period : int
        Samples over which duty cycles are averaged.

    Examples
    --------
    >>> KWinners(6, density=1 / 3)(torch.tensor([[3.0, 1.0, 2.0, 5.0, 0.0, 4.0]])).tolist()
    [[0.0, 0.0, 0.0, 5.0, 0.0, 4.0]]
    """

    duty: Tensor

    def __init__(
        self,
        n: int,
        density: float = 0.05,
        *,
        inference_factor: float = 1.0,
        boost: float = 0.0,
        period: int = 1000,
    ) -> None:
        super().__init__()
        _require_shares(density=density)
        self.n, self.density, self.boost, self.period = n, density, boost, period
        self.inference_factor = inference_factor
        self.register_buffer("duty", torch.zeros(n))

    @property
    def k(self) -> int:
        """Winners now: fewer in training than in evaluation when ``inference_factor`` exceeds 1."""
        share = self.density * (1.0 if self.training else self.inference_factor)
        return min(self.n, max(1, round(share * self.n)))

    def forward(self, x: Tensor) -> Tensor:
        """Winners of ``x`` (..., n)."""
        if x.shape[-1] != self.n:
            raise ShapeError(f"activations have {x.shape[-1]} units; this layer was made for {self.n}")
        y = kwinners(x, self.k, duty=self.duty, boost=self.boost, density=self.density)
        if self.training and self.boost > 0:
            self.duty.copy_(update_duty(self.duty, y, max(self.period, y.numel() // self.n)))
        return y

    def entropy(self) -> Tensor:
        """Sum over units of the entropy of their duty cycle, in bits: low when few units do all the work."""
        p = self.duty.clamp(1e-12, 1 - 1e-12)
        return -(p * p.log2() + (1 - p) * (1 - p).log2()).sum()


class KWinners2d(nn.Module):
    """As `KWinners` for maps (B, C, H, W): winners of the whole map, or among the channels of each position.

    Parameters
    ----------
    channels : int
    density : float in (0, 1]
    local : bool
        Compete among the channels of each position instead of the whole map.
    """

    def __init__(self, channels: int, density: float = 0.1, *, local: bool = False) -> None:
        super().__init__()
        _require_shares(density=density)
        self.channels, self.density, self.local = channels, density, local

    def forward(self, x: Tensor) -> Tensor:
        """Winners of ``x`` (B, channels, H, W)."""
        if x.ndim != 4 or x.shape[1] != self.channels:
            raise ShapeError(f"maps have shape {tuple(x.shape)}; (B, {self.channels}, H, W) is needed")
        if self.local:
            k = max(1, round(self.density * self.channels))
            return kwinners(x.movedim(1, -1).contiguous(), k).movedim(-1, 1)
        flat = x.flatten(1)
        return kwinners(flat, max(1, round(self.density * flat.shape[1]))).view_as(x)


def _require_shares(**shares: float) -> None:
    for name, value in shares.items():
        if not 0 < value <= 1:
            raise ConfigError(f"{name}={value}: expected a share in (0, 1]")
