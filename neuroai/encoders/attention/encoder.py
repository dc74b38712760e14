"""Attention-routed encoder: feature map in, responses of all targets out."""

# ruff: noqa: F722  (jaxtyping writes axis names as strings)

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from neuroai.encoders.attention.decoder import AttentionDecoder, DecoderShape
from neuroai.encoders.attention.head import Combine, RegionReadout, VertexReadout
from neuroai.encoders.attention.positions import sine_position_code
from neuroai.encoders.attention.queries import QueryLayout
from neuroai.errors import ShapeError

__all__ = ["AttentionEncoder"]

# Vertex queries are decoded in blocks of this many logits (heads x queries x tokens x images).
_BLOCK_LOGITS = 2**25


class AttentionEncoder(nn.Module):
    """Learned queries read an image's tokens; each target reads its queries' tokens linearly.

    Parameters
    ----------
    layout : QueryLayout
        Queries and the targets that read them.
    channels, height, width : int
        Feature map. Where ``channels`` is not ``shape.d_model`` a learned linear map (a 1 x 1 convolution)
        brings tokens to that width.
    shape : DecoderShape
    combine : {"mean", "sum"}, default "mean"
        How a target in several regions joins their tokens; see
        :class:`~neuroai.encoders.attention.head.RegionReadout`.

    Notes
    -----
    Region queries: O(B Q h N d) operations and no array of ``V x Q``. Vertex queries are decoded block by
    block and recomputed in the backward pass: memory O(B V + B N d) beside the parameters, never
    ``V x V``.

    References
    ----------
    Adeli, Minni & Kriegeskorte (2025), "Transformer brain encoders explain human high-level visual
    responses".

    Examples
    --------
    >>> import torch
    >>> from neuroai.encoders.attention.queries import query_layout
    >>> layout = query_layout("roi", 6, rois={"V1": [1, 1, 1, 0, 0, 0], "V4": [0, 0, 1, 1, 0, 0]})
    >>> encoder = AttentionEncoder(layout, 8, 7, 7, DecoderShape(d_model=8, n_heads=2, d_ffn=16))
    >>> encoder.reset_parameters(torch.Generator().manual_seed(0))
    >>> encoder(torch.zeros(2, 8, 7, 7)).shape, encoder.attention(torch.zeros(2, 8, 7, 7)).shape
    (torch.Size([2, 6]), torch.Size([2, 3, 7, 7]))
    """

    positions: Tensor

    def __init__(
        self,
        layout: QueryLayout,
        channels: int,
        height: int,
        width: int,
        shape: DecoderShape,
        combine: Combine = "mean",
    ) -> None:
        super().__init__()
        self.map_shape = (channels, height, width)
        self.projection = None if channels == shape.d_model else nn.Linear(channels, shape.d_model)
        self.decoder = AttentionDecoder(layout.n_queries, shape)
        self.head: RegionReadout | VertexReadout
        if layout.kind == "vertex":
            self.head = VertexReadout(layout.n_targets, shape.d_model)
        else:
            membership = torch.from_numpy(np.ascontiguousarray(layout.membership))
            self.head = RegionReadout(membership, shape.d_model, combine)
        self.register_buffer("positions", sine_position_code(height, width, shape.d_model), persistent=False)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Initialise all parameters from ``generator`` (torch's default stream without it)."""
        if self.projection is not None:
            nn.init.xavier_uniform_(self.projection.weight, generator=generator)
            nn.init.zeros_(self.projection.bias)
        self.decoder.reset_parameters(generator)
        self.head.reset_parameters(generator)

    def forward(
        self,
        maps: Float[Tensor, "batch channel row column"],
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "batch target"]:
        """Responses ``(B, V)`` to maps ``(B, C, H, W)``; ``generator`` feeds dropout."""
        tokens = self.tokens(maps)
        if isinstance(self.head, RegionReadout):
            responses: Tensor = self.head(self.decoder(tokens, self.positions, generator))
            return responses
        return torch.cat(list(self._vertex_blocks(self.head, tokens, generator)), dim=1)

    def attention(
        self, maps: Float[Tensor, "batch channel row column"]
    ) -> Float[Tensor, "batch query row column"]:
        """Where each query looks: attention weights averaged over heads, each map summing to 1."""
        weights = self.decoder.attention(self.tokens(maps), self.positions)
        return weights.view(*weights.shape[:2], *self.map_shape[1:])

    def tokens(self, maps: Float[Tensor, "batch channel row column"]) -> Float[Tensor, "batch token width"]:
        """Tokens of width ``d_model``, row-major over the grid."""
        if tuple(maps.shape[1:]) != self.map_shape:
            raise ShapeError(
                f"feature maps of shape {tuple(maps.shape[1:])}; this encoder was made for {self.map_shape}"
            )
        tokens = maps.flatten(2).mT.contiguous()
        if self.projection is not None:
            tokens = self.projection(tokens)
        return tokens

    def _vertex_blocks(
        self, head: VertexReadout, tokens: Tensor, generator: torch.Generator | None
    ) -> Iterator[Tensor]:
        per_query = tokens.shape[0] * tokens.shape[1] * self.decoder.shape.n_heads
        step, n_targets = max(1, _BLOCK_LOGITS // per_query), len(head.weight)
        for start in range(0, n_targets, step):
            targets = slice(start, start + step)
            seed = self._block_seed(generator, tokens.device)

            def block(tokens: Tensor, targets: slice = targets, seed: int | None = seed) -> Tensor:
                stream = None if seed is None else torch.Generator(tokens.device).manual_seed(seed)
                responses: Tensor = head(self.decoder(tokens, self.positions, stream, targets), targets)
                return responses

            if step < n_targets and torch.is_grad_enabled():
                yield checkpoint(block, tokens, use_reentrant=False, preserve_rng_state=generator is None)
            else:
                yield block(tokens)

    def _block_seed(self, generator: torch.Generator | None, device: torch.device) -> int | None:
        """Seed of a block's own stream: the recomputation of the backward pass must drop the same weights."""
        if generator is None or not self.training:
            return None
        return int(torch.randint(2**62, (), generator=generator, device=device))
