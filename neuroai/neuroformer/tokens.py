"""Spikes as tokens: a start symbol, then a (unit, bin) pair a spike, window by window.

Vectorised over all windows of a batch; no loop over spikes. The published padded form is
:func:`padded_stream`.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neuroai.neuroformer.batch import Stream
from neuroai.neuroformer.events import Events
from neuroai.neuroformer.layout import Layout

__all__ = ["Cut", "cut", "following", "padded_stream", "stream_of"]

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Cut:
    """Which events fall into each window.

    Attributes
    ----------
    event : ndarray of int64 (n_tokens,)
        Number of the event of each token, -1 at the start symbols.
    length : ndarray of int64 (n_windows,)
        Tokens of each window, start symbol included.
    truncated : ndarray of int64 (n_windows,)
        Spikes left out of each window because there were more than allowed.
    """

    event: Integers
    length: Integers
    truncated: Integers


def cut(events: Events, first: Integers, stop: Integers, most: int | None) -> Cut:
    """Take the events in bins ``[first, stop)`` of each window, the last ``most`` of them.

    Parameters
    ----------
    events : Events
    first, stop : ndarray of int64 (n_windows,)
        Bins of the recording.
    most : int, optional
        Default all.

    Returns
    -------
    Cut

    Notes
    -----
    O(n_windows log n_events + n_tokens) time, 8 bytes a token.

    Examples
    --------
    >>> from neuroai.datasets import Recording
    >>> from neuroai.neuroformer.events import events_of
    >>> toy = Recording.from_spikes([[0.011, 0.032], [0.012]], name="toy", interval=(0.0, 0.05))
    >>> cut(events_of(toy, 0.01), np.array([0, 2]), np.array([2, 4]), None).event.tolist()
    [-1, 0, 1, -1, 2]
    """
    begin, end = np.searchsorted(events.bin, first), np.searchsorted(events.bin, stop)
    kept = begin if most is None else np.maximum(begin, end - most)
    length = end - kept + 1
    window = np.repeat(np.arange(len(first)), length)
    position = np.arange(len(window)) - (np.cumsum(length) - length)[window]
    event = np.where(position == 0, -1, kept[window] + position - 1)
    return Cut(event, length, kept - begin)


def stream_of(events: Events, chosen: Cut, first: Integers) -> Stream:
    """Tokens of the windows that begin at bins ``first``.

    Parameters
    ----------
    events : Events
    chosen : Cut
        Of the same windows.
    first : ndarray of int64 (n_windows,)

    Returns
    -------
    Stream
        Unit ``n_units`` is the start symbol; bins count from the start of the window.
    """
    spike = chosen.event >= 0
    window = np.repeat(np.arange(len(first)), chosen.length)
    unit = np.full(len(window), events.n_units, dtype=np.int64)
    unit[spike] = events.unit[chosen.event[spike]]
    bins = np.zeros(len(window), dtype=np.int64)
    bins[spike] = events.bin[chosen.event[spike]] - first[window[spike]]
    amplitude = None
    if events.amplitude is not None:
        sizes = np.zeros(len(window), dtype=np.float32)
        sizes[spike] = events.amplitude[chosen.event[spike]]
        amplitude = torch.from_numpy(sizes)
    return Stream(torch.from_numpy(unit), torch.from_numpy(bins), Layout.of(chosen.length), amplitude)


def following(stream: Stream, n_units: int, n_symbols: int) -> tuple[Tensor, Tensor, Tensor | None]:
    """What follows each token: the next spike's unit, bin and amplitude; EOS at the last of a window.

    Examples
    --------
    >>> stream = Stream(torch.tensor([4, 2, 0]), torch.tensor([0, 0, 3]), Layout.of([3]))
    >>> [x.tolist() for x in following(stream, n_units=4, n_symbols=6)[:2]]
    [[2, 0, 5], [0, 3, 7]]
    """
    last = (stream.layout.offsets[1:] - 1).long()
    unit, bins = stream.unit.roll(-1), stream.bin.roll(-1)
    unit[last], bins[last] = n_units + 1, n_symbols + 1
    amplitude = None if stream.amplitude is None else stream.amplitude.roll(-1)
    return unit, bins, amplitude


def padded_stream(stream: Stream, block: int, n_units: int, n_symbols: int) -> tuple[Stream, Tensor, Tensor]:
    """Published form: SOS, spikes, EOS, padding, in ``block`` slots; and what follows each slot.

    Parameters
    ----------
    stream : Stream
        Packed, at most ``block - 2`` spikes a window.
    block : int
    n_units, n_symbols : int
        The symbols after the last unit, and after the last bin, are SOS, EOS and PAD.

    Returns
    -------
    stream : Stream
        Uniform layout (n_windows * block).
    next_unit, next_bin : Tensor of int64 (n_windows * block,)
    """
    layout = stream.layout
    row = torch.arange(len(stream.unit)) - layout.offsets.long()[layout.window]
    end = layout.lengths().long()[:, None]
    unit = torch.full((layout.n_windows, block + 1), n_units + 2)
    bins = torch.full((layout.n_windows, block + 1), n_symbols + 2)
    unit[layout.window, row], bins[layout.window, row] = stream.unit, stream.bin
    unit.scatter_(1, end, n_units + 1)
    bins.scatter_(1, end, n_symbols + 1)
    uniform = Layout.of(np.full(layout.n_windows, block))
    inputs = Stream(unit[:, :-1].flatten(), bins[:, :-1].flatten(), uniform)
    return inputs, unit[:, 1:].flatten(), bins[:, 1:].flatten()
