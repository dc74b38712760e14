"""Batches of one shape: windows of no spikes after the recorded ones, tokens of padding in them.

A recorded CUDA graph has fixed shapes, packed batches do not. Room for all but a few batches of a training
set is made once; a batch is filled up to it, and what fills it counts in no loss.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import pad

from neuroai.neuroformer.batch import Batch, Stream
from neuroai.neuroformer.layout import Layout
from neuroai.neuroformer.tokens import cut
from neuroai.neuroformer.windows import Windows

__all__ = ["Room", "fill", "room_for"]

Integers = npt.NDArray[np.int64]
_DEVIATIONS = 5.0  # of a batch's tokens from their mean that still find room
_MULTIPLE = 64  # matrix products are fastest on even tiles


@dataclass(frozen=True)
class Room:
    """Shape of filled batches.

    Attributes
    ----------
    windows : int
    tokens, past_tokens : int
        Of all windows together.
    longest, longest_past : int
        Tokens a window, at most.
    """

    windows: int
    tokens: int
    past_tokens: int
    longest: int
    longest_past: int


def room_for(windows: Windows, batch_size: int, share: float = 1.0) -> Room:
    """Room for almost all random batches of ``batch_size``, of which ``share`` come from these windows.

    Notes
    -----
    Mean and five standard deviations of the sum of as many lengths, and windows enough to hold the fillers.
    """
    n = min(batch_size, len(windows))
    if share < 1:
        n = min(n, int(np.ceil(share * batch_size + _DEVIATIONS * np.sqrt(share * (1 - share) * batch_size))))
    current, past = _lengths(windows)
    spread = [2 * _DEVIATIONS * np.sqrt(n) * x.std() + _MULTIPLE for x in (current, past)]
    fillers = 1 + max(int(s // x.max()) + 1 for s, x in zip(spread, (current, past), strict=True))
    tokens, past_tokens = (
        _MULTIPLE * int(np.ceil((n * x.mean() + s / 2 + fillers) / _MULTIPLE))
        for s, x in zip(spread, (current, past), strict=True)
    )
    return Room(n + fillers, tokens, past_tokens, int(current.max()), int(past.max()))


def _lengths(windows: Windows) -> tuple[Integers, Integers]:
    """Tokens of each current and each past window."""
    config, events, first = windows.config, windows.events, windows.first
    begins = np.maximum(first - config.past_bins, events.run_first[windows.run])
    now = cut(events, first, first + config.window_bins, config.max_spikes)
    return now.length, cut(events, begins, first, config.max_past_spikes).length


def fill(batch: Batch, room: Room, n_units: int, n_symbols: int) -> Batch:
    """Fill a batch up to ``room``; a batch that finds no room comes back as it is.

    Its losses and their gradients are those of the batch, but for the rounding of sums.
    """
    more = room.windows - len(batch)
    now = _fillers(batch.current, more, room.tokens, room.longest)
    before = _fillers(batch.past, more, room.past_tokens, room.longest_past)
    if now is None or before is None:
        return batch
    n = int(now.sum())
    return replace(
        batch,
        current=_filled(batch.current, now, room.longest, n_units),
        past=_filled(batch.past, before, room.longest_past, n_units),
        next_unit=pad(batch.next_unit, (0, n), value=n_units + 2),
        next_bin=pad(batch.next_bin, (0, n), value=n_symbols + 2),
        next_amplitude=None if batch.next_amplitude is None else pad(batch.next_amplitude, (0, n)),
        inputs=_more_rows(batch.inputs, more, 0),
        targets=_more_rows(batch.targets, more, float("nan")),
        recorded=torch.arange(room.windows) < len(batch),
    )


def _fillers(stream: Stream, windows: int, tokens: int, longest: int) -> Integers | None:
    """Lengths of the windows that fill a stream up, if it can be."""
    missing = tokens - len(stream.unit)
    if windows < 1 or not windows <= missing <= windows * longest or stream.layout.longest > longest:
        return None
    return missing // windows + (np.arange(windows) < missing % windows)


def _filled(stream: Stream, lengths: Integers, longest: int, n_units: int) -> Stream:
    layout = Layout.of(np.concatenate([stream.layout.lengths().numpy(), lengths]), longest)
    n = int(lengths.sum())
    amplitude = None if stream.amplitude is None else pad(stream.amplitude, (0, n))
    return Stream(pad(stream.unit, (0, n), value=n_units + 2), pad(stream.bin, (0, n)), layout, amplitude)


def _more_rows(tensors: Mapping[str, Tensor], more: int, value: float) -> dict[str, Tensor]:
    """Rows of ``value``; of -1 among whole numbers in its place."""
    out = {}
    for name, x in tensors.items():
        fitting = value if x.is_floating_point() or value == 0 else -1
        out[name] = torch.cat([x, x.new_full((more, *x.shape[1:]), fitting)])
    return out
