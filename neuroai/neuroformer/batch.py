"""Tokens of a batch of windows, as tensors.

Not frozen, though nothing changes them: in mixed precision Fabric copies a batch field by field.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor

from neuroai.neuroformer.layout import Layout
from neuroai.training.batch_tree import map_tensors

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
    recorded : Tensor of bool (n_windows,), optional
        Which windows are recorded; the others fill the batch up (:mod:`~neuroai.neuroformer.filling`) and
        count in no loss. Default all.
    """

    session: str
    current: Stream
    past: Stream
    next_unit: Tensor
    next_bin: Tensor
    next_amplitude: Tensor | None = None
    inputs: Mapping[str, Tensor] = field(default_factory=dict)
    targets: Mapping[str, Tensor] = field(default_factory=dict)
    recorded: Tensor | None = None

    def __len__(self) -> int:
        return self.current.layout.n_windows

    @property
    def n_recorded(self) -> int | Tensor:
        """Recorded windows."""
        return len(self) if self.recorded is None else self.recorded.sum()

    @property
    def n_tokens(self) -> int | Tensor:
        """Tokens of the recorded current windows."""
        return len(self.next_unit) if self.recorded is None else self._counted().sum()

    def token_mean(self, values: Tensor) -> Tensor:
        """Mean of (n_tokens,) over the tokens of recorded windows."""
        if self.recorded is None:
            return values.mean()
        return torch.where(self._counted(), values, 0.0).sum() / self.n_tokens

    def _counted(self) -> Tensor:
        assert self.recorded is not None
        return self.recorded[self.current.layout.window]

    @property
    def n_spikes(self) -> int:
        """Spikes of the current windows, of an unpadded batch."""
        return int(self.next_unit.shape[0]) - len(self)

    def to(self, device: Any, **options: Any) -> "Batch":
        """Move to a device."""
        return cast("Batch", _move(self, device, **options))


def _move(value: Any, device: Any, **options: Any) -> Any:
    """Copies to a GPU start from pinned memory, and nothing waits for them."""
    to_gpu = torch.device(device).type == "cuda"

    def moved(x: Tensor) -> Tensor:
        if to_gpu and not x.is_cuda:
            return x.pin_memory().to(device, **{"non_blocking": True, **options})
        return x.to(device, **options)

    return map_tensors(moved, value)
