"""Tokens to channels: units of each session, times, video patches, behaviour."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from neuroai.neuroformer.batch import Stream
from neuroai.neuroformer.config import Modality, NeuroformerConfig
from neuroai.neuroformer.layout import Layout

__all__ = ["Frames", "SpikeEmbedding", "SymbolTime", "Units", "Values", "WaveTime", "sinusoids"]


class Units(nn.Module):
    """An embedding a unit, session by session, and one for each symbol (SOS, EOS, PAD), shared by all.

    Parameters
    ----------
    sessions : mapping of str to int
    width : int
    """

    def __init__(self, sessions: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.width = width
        self.symbols = nn.Parameter(torch.randn(3, width) * 0.02)
        self.table = nn.ParameterDict({s: torch.randn(n, width) * 0.02 for s, n in sessions.items()})

    def add(self, session: str, n_units: int) -> None:
        """Make room for the units of one more session; others stay as they are."""
        self.table[session] = nn.Parameter(
            torch.randn(n_units, self.width, device=self.symbols.device) * 0.02
        )

    def forward(self, session: str, unit: Tensor) -> Tensor:
        """Embeddings (n, width) of units and symbols."""
        return embedding(unit, torch.cat([self.table[session], self.symbols]))


class SymbolTime(nn.Module):
    """Published time embedding: a small network on the number of the time symbol."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(1, width // 2), nn.GELU(), nn.Linear(width // 2, width), nn.Dropout(dropout)
        )

    def forward(self, bins: Tensor) -> Tensor:
        """Bins (n,) to (n, width)."""
        out: Tensor = self.network(bins[:, None].to(next(self.parameters()).dtype))
        return out


class WaveTime(nn.Module):
    """Bin as sines and cosines of geometric periods, from 2 bins to twice the window, mixed linearly."""

    def __init__(self, width: int, n_bins: int) -> None:
        super().__init__()
        n = 2 * max(1, math.ceil(math.log2(n_bins + 1)))
        period = 2.0 * float(n_bins) ** (torch.arange(n) / (n - 1))
        bins = torch.arange(n_bins + 1.0)[:, None]
        phase = 2 * math.pi * bins / period
        waves = torch.cat([phase.sin(), phase.cos(), bins / n_bins], dim=1)
        self.register_buffer("waves", waves, persistent=False)
        self.mix = nn.Linear(2 * n + 1, width)

    def forward(self, bins: Tensor) -> Tensor:
        """Bins (n,) to (n, width)."""
        out: Tensor = self.mix(torch.as_tensor(self.waves)[bins])
        return out


class SpikeEmbedding(nn.Module):
    """Unit, time, and position or amplitude of the spikes of one stream.

    Parameters
    ----------
    config : NeuroformerConfig
    n_bins, block : int
        Of this stream; ``block`` slots have learned positions in the padded form.
    """

    def __init__(self, config: NeuroformerConfig, n_bins: int, block: int) -> None:
        super().__init__()
        width = config.width
        self.time = SymbolTime(width, config.dropout) if config.padded else WaveTime(width, max(n_bins, 1))
        self.position = nn.Parameter(torch.zeros(block, width)) if config.padded else None
        self.amplitude = nn.Linear(1, width) if config.amplitudes else None
        self.drop = nn.Dropout(config.dropout)

    def forward(self, units: Units, session: str, stream: Stream, *, offset: int = 0) -> Tensor:
        """Packed tokens (n_tokens, width); ``offset`` slots came before these."""
        x = units(session, stream.unit) + self.time(stream.bin)
        if self.position is not None:
            slots = self.position[offset : offset + stream.layout.longest]
            x = (stream.layout.pad(x) + slots).flatten(0, 1)
        if self.amplitude is not None and stream.amplitude is not None:
            x = x + self.amplitude(stream.amplitude.log1p()[:, None].to(x.dtype))
        out: Tensor = self.drop(x)
        return out


class Frames(nn.Module):
    """Video patches: a convolution with the stride of the patches, layer norm, ReLU; SOS goes before them.

    The default adds the place of each patch as sinusoids; the published model computes it and discards it.
    """

    def __init__(self, modality: Modality, width: int, *, placed: bool) -> None:
        super().__init__()
        self.patches = nn.Conv3d(1, width, modality.patch, modality.stride)
        self.norm = nn.LayerNorm(width)
        place = sinusoids(modality.n_patches, width) if placed else torch.zeros(())
        self.register_buffer("place", place, persistent=False)

    def forward(self, frames: Tensor, start: Tensor) -> tuple[Tensor, Layout]:
        """Frames (n_windows, samples, height, width) to packed tokens."""
        x = self.patches(frames[:, None].to(self.patches.weight.dtype)).flatten(2).transpose(1, 2)
        x = self.norm(x).relu() + torch.as_tensor(self.place).to(x.dtype)
        x = torch.cat([start.expand(len(x), 1, -1).to(x.dtype), x], dim=1)
        return x.flatten(0, 1), Layout.even(len(x), x.shape[1], x.device)


class Values(nn.Module):
    """Behaviour as tokens, one a sample, each with its age.

    Published scalars pass a layer norm over their one number, which leaves the sign of nothing: it is kept
    for compatibility alone. Otherwise numbers are mixed linearly, and classes have an embedding each.
    """

    def __init__(self, modality: Modality, width: int, *, published: bool) -> None:
        super().__init__()
        self.classes = modality.kind == "category"
        if self.classes:
            self.mix: nn.Module = nn.Embedding(modality.size, width)
        elif published:
            small = nn.Linear(modality.size, 2, bias=False)
            self.mix = nn.Sequential(nn.LayerNorm(1), small, nn.GELU(), nn.Linear(2, width, bias=False))
        else:
            self.mix = nn.Sequential(nn.Linear(modality.size, width), nn.GELU(), nn.Linear(width, width))
        self.register_buffer("age", sinusoids((modality.samples,), width), persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """Values (n_windows, samples, size), or classes without size, to (n_windows, samples, width)."""
        x: Tensor = self.mix(values if self.classes else values.to(next(self.parameters()).dtype))
        return x + torch.as_tensor(self.age).to(x.dtype)


def sinusoids(shape: tuple[int, ...], width: int) -> Tensor:
    """Sines and cosines of the place on a grid, (prod(shape), width); an axis has its share of channels."""
    share = width // len(shape) // 2
    grids = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in shape), indexing="ij")
    frequency = 100.0 ** (-torch.arange(share) / max(share, 1))
    phases = [g.flatten()[:, None] * frequency for g in grids]
    out = torch.cat([f(p) for p in phases for f in (torch.sin, torch.cos)], dim=1)
    return torch.nn.functional.pad(out, (0, width - out.shape[1])) * 0.1
