"""Tokens of a batch of windows, as tensors.

Not frozen, though nothing changes them: in mixed precision Fabric copies a batch field by field.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, cast

import torch
from torch import Tensor

from neuroai.neuroformer.layout import Layout

__all__ = ["Batch", "Stream"]


@dataclass(eq=False)
class Stream:
    """Spikes of each window after its start symbol.

    Attributes
    ----------
    unit : Tensor of int64 (n_tokens,)
        With N units: 0 to N - 1, start (SOS) N, end (EOS) N + 1, padding N + 2.
    bin : Tensor of int64 (n_tokens,)
        Bin from the start of the stream's own window; 0 at SOS.
    amplitude : Tensor of float32 (n_tokens,) or None
    layout : Layout
    """

    unit: Tensor
    bin: Tensor
    layout: Layout
    amplitude: Tensor | None = None

    def to(self, device: Any, **options: Any) -> "Stream":
        """Move to a device."""
        return cast("Stream", _move(self, device, **options))


@dataclass(eq=False)
class Batch:
    """Windows of one session.

    Attributes
    ----------
    session : str
    current, past : Stream
    next_unit, next_bin : Tensor of int64 (n_tokens,)
        What follows each token of ``current``: the next spike, or EOS.
    next_amplitude : Tensor of float32 (n_tokens,) or None
    inputs, targets : mapping of str to Tensor
        Series (n_windows, samples, size) float32; categories int64 (n_windows, samples) as input and
        (n_windows,) as target, -1 where missing; video (n_windows, samples, height, width). Target series
        (n_windows, size), NaN where missing.
    """

    session: str
    current: Stream
    past: Stream
    next_unit: Tensor
    next_bin: Tensor
    next_amplitude: Tensor | None = None
    inputs: Mapping[str, Tensor] = field(default_factory=dict)
    targets: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.current.layout.n_windows

    @property
    def n_spikes(self) -> int:
        """Spikes of the current windows, of an unpadded batch."""
        return int(self.next_unit.shape[0]) - len(self)

    def to(self, device: Any, **options: Any) -> "Batch":
        """Move to a device."""
        return cast("Batch", _move(self, device, **options))


def _move(value: Any, device: Any, **options: Any) -> Any:
    moved = {f.name: _moved(getattr(value, f.name), device, options) for f in fields(value)}
    return replace(value, **moved)


def _moved(value: Any, device: Any, options: dict[str, Any]) -> Any:
    if isinstance(value, Mapping):
        return {name: _moved(v, device, options) for name, v in value.items()}
    movable = isinstance(value, torch.Tensor | Stream | Layout)
    return value.to(device, **options) if movable else value
