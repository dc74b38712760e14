"""Many sequence memories at once on tensors: independent streams that share each launch."""

from typing import Self

import numpy as np
import torch
from torch import Tensor

from neuroai.dendrites.segments import Array
from neuroai.dendrites.sequence_memory import SequenceMemory, SequenceSettings
from neuroai.dendrites.sequence_memory_step import ACTIVE, NOW, WINNERS
from neuroai.dendrites.streams_learning import draw_keys, grown, lowest_places, mix, reinforced
from neuroai.errors import ConfigError

__all__ = ["SequenceStreams"]

_BITS = 24
_FREED_SHARE = 16


class SequenceStreams:
    """A batch of independent `SequenceMemory`, one a stream, stepped together on any device.

    Parameters
    ----------
    n_streams : int
    settings : SequenceSettings
        ``max_segments`` is reserved for each stream at once; ``max_segments_per_cell`` is not applied.
    device : str or torch.device

    Raises
    ------
    ConfigError
        If settings are out of range, or cells or segments exceed 2**24, or all cells 2**28.

    Notes
    -----
    Segments are read by gather: a step costs ``n_streams * max_segments * max_synapses`` reads, in
    two dozen launches (without learning). Memory: 8 bytes a synapse place. Each stream learns the same
    synapses as a `SequenceMemory` of the same settings as long as no segment was dropped (freed places are
    taken in another order, and the draws of new synapses depend on the place).

    Examples
    --------
    >>> settings = SequenceSettings(
    ...     n_columns=64, cells_per_column=4, activation_threshold=3, min_threshold=2, max_segments=256
    ... )
    >>> streams = SequenceStreams(2, settings)
    >>> letters = torch.arange(32).reshape(4, 1, 8).expand(4, 2, 8)
    >>> for epoch in range(6):
    ...     streams.reset()
    ...     last = [streams.step(letter).tolist() for letter in letters]
    >>> last
    [[1.0, 1.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """

    def __init__(
        self, n_streams: int, settings: SequenceSettings, *, device: str | torch.device = "cpu"
    ) -> None:
        if n_streams < 1:
            raise ConfigError(f"n_streams is {n_streams}; expected at least 1")
        self.settings, self.rules = settings, settings.rules()
        self.n_streams, self.device = n_streams, torch.device(device)
        n_cells = settings.n_columns * settings.cells_per_column
        if max(n_cells, settings.max_segments) >= 2**_BITS or n_streams * (n_cells + 1) >= 2**28:
            raise ConfigError(
                f"{n_streams} streams of {n_cells} cells and {settings.max_segments} segments exceed the "
                f"limits of a batch (2**{_BITS} cells and segments, 2**28 cells in all)"
            )
        template = SequenceMemory(settings, max_segments=1).store.arrays
        self._connected, self._one = int(template.connected), int(template.one)
        self._n_cells, self._now = n_cells, 0
        self._shared = False
        places, width = settings.max_segments, settings.max_synapses
        # Cell n_cells of each stream is nobody: never active, the source of unused synapse places.
        self._first = torch.arange(n_streams, device=self.device).unsqueeze(1) * (n_cells + 1)
        self._nobody = (self._first + n_cells).int()
        self._owner = self._new((n_streams, places), torch.int32, -1)
        self._sources = self._nobody.unsqueeze(2).expand(-1, places, width).contiguous()
        self._permanence = self._new((n_streams, places, width), torch.int32)
        self._last_used = self._new((n_streams, places), torch.int64)
        self._n_segments = self._new((n_streams, n_cells + 1), torch.int32)
        self._is_active = self._new((n_streams, n_cells + 1), torch.bool)
        self._is_winner = self._new((n_streams, n_cells + 1), torch.bool)
        self._connected_counts = self._new((n_streams, places), torch.int32)
        self._potential_counts = self._new((n_streams, places), torch.int32)
        self._free_at_least = places

    @classmethod
    def from_memory(
        cls, memory: SequenceMemory, n_streams: int, *, device: str | torch.device = "cpu"
    ) -> Self:
        """Streams that start from a trained memory, shared until one of them learns.

        There is room for as many segments as the memory has reserved. Dead cells are not taken over: they
        have no segments, so only their bursts differ.
        """
        arrays, state = memory.store.arrays, memory._state
        settings = SequenceSettings(**{**vars(memory.settings), "max_segments": len(arrays.cell)})
        streams = cls(1, settings, device=device)
        used = np.arange(arrays.presynaptic.shape[1]) < arrays.n_synapses[:, None]
        streams._sources = streams._put(np.where(used, arrays.presynaptic, memory.n_cells).astype(np.int32))
        streams._permanence = streams._put(np.where(used, arrays.permanence, 0).astype(np.int32))
        streams._owner = streams._put(arrays.cell)
        streams._last_used = streams._put(arrays.last_used)
        streams._n_segments[0, :-1] = streams._put(arrays.n_segments)[0]
        streams._is_active[0, streams._put(state.active[: state.n[ACTIVE]])[0].long()] = True
        streams._is_winner[0, streams._put(state.winners[: state.n[WINNERS]])[0].long()] = True
        streams._now = int(state.n[NOW])
        streams._spread(n_streams)
        streams._count(True)
        return streams

    @property
    def n_segments(self) -> Tensor:
        """Live segments of each stream, int64 (n_streams,)."""
        return (self._owner >= 0).sum(1).expand(self.n_streams)

    @property
    def n_synapses(self) -> Tensor:
        """Live synapses of each stream, int64 (n_streams,)."""
        return (self._permanence > 0).sum((1, 2)).expand(self.n_streams)

    @property
    def predicted_columns(self) -> Tensor:
        """Columns predicted for the next step, bool (n_streams, n_columns)."""
        cells = self._any_of(self._owner_or_nobody(), self._on(), self._n_cells + 1)[:, :-1]
        return cells.reshape(self.n_streams, -1, self.settings.cells_per_column).any(2)

    def synapses(self, stream: int) -> list[tuple[int, dict[int, int]]]:
        """Owner, and permanence in units by source, of every segment of a stream, in order of place."""
        index = 0 if self._shared else stream
        first = 0 if self._shared else stream * (self._n_cells + 1)
        found = []
        for place in (self._owner[index] >= 0).nonzero()[:, 0].tolist():
            sources, values = self._sources[index, place] - first, self._permanence[index, place]
            used = values > 0
            synapses = dict(zip(sources[used].tolist(), values[used].tolist(), strict=True))
            found.append((int(self._owner[index, place]), synapses))
        return found

    def reset(self) -> None:
        """Start new sequences in all streams."""
        for cells in (self._is_active, self._is_winner):
            cells.zero_()
        self._connected_counts, self._potential_counts = (
            self._new((self.n_streams, self.settings.max_segments), torch.int32) for _ in range(2)
        )

    def step(self, columns: Tensor, *, learn: bool = True) -> Tensor:
        """Take the columns that get input in every stream.

        Parameters
        ----------
        columns : integer Tensor (n_streams, k)
            All different in a row.
        learn : bool

        Returns
        -------
        Tensor float32 (n_streams,)
            Anomaly: share of a stream's columns that were not predicted.

        Raises
        ------
        ConfigError
            If the shape is wrong or a column is out of range (checked on the CPU only: on a GPU the check
            would wait for the device).
        """
        columns = self._checked(columns)
        if learn:
            self._own(columns.shape[1])
        self._now += 1
        owner = self._owner_or_nobody()
        on = self._on()
        predictive = self._any_of(owner, on, self._n_cells + 1)
        cells = columns.unsqueeze(2) * self.settings.cells_per_column
        cells = cells + torch.arange(self.settings.cells_per_column, device=self.device)
        chosen = predictive.gather(1, cells.flatten(1)).view_as(cells)
        bursts = ~chosen.any(2)
        is_active = torch.zeros_like(self._is_active).scatter(
            1, cells.flatten(1), (chosen | bursts.unsqueeze(2)).flatten(1)
        )
        is_winner = torch.zeros_like(is_active).scatter(1, cells.flatten(1), chosen.flatten(1))
        if learn:
            winners = self._learn(columns, cells, bursts, owner, on)
            is_winner.scatter_(1, torch.where(bursts, winners, self._n_cells), True)
            is_winner[:, -1] = False
        self._is_active, self._is_winner = is_active, is_winner
        self._count(learn)
        return bursts.float().mean(1) if columns.shape[1] else bursts.new_zeros(self.n_streams).float()

    # -- learning

    def _learn(self, columns: Tensor, cells: Tensor, bursts: Tensor, owner: Tensor, on: Tensor) -> Tensor:
        """Change the segments; return the winner of each column (meaningful where it bursts)."""
        per_column, n_columns = self.settings.cells_per_column, self.settings.n_columns
        kind = self._new((self.n_streams, n_columns + 1), torch.int8)
        kind.scatter_(1, columns, torch.where(bursts, 1, 2).to(torch.int8))
        # Nobody is the first cell of column n_columns, which gets no input.
        of_segment = kind.gather(1, owner // per_column)
        matching = (self._potential_counts >= self.rules.min_threshold) & (self._owner >= 0)
        best = self._best_matching(matching & (of_segment == 1), owner, columns)
        winners, places, created = self._winners(cells, bursts, best)
        learning = on & (of_segment == 2)
        # Place max_segments collects what is not there.
        places = torch.where(created | (bursts & (best >= 0)), places, learning.shape[1])
        padded = torch.nn.functional.pad(learning, (0, 1)).scatter_(1, places, True)
        self._reinforce_and_grow(padded[:, :-1].contiguous())
        if self.rules.punishment > 0:
            self._punish(matching & (of_segment == 0))
        return winners

    def _best_matching(self, matching: Tensor, owner: Tensor, columns: Tensor) -> Tensor:
        """Best matching place of each column given, -1 if none: most overlap, lowest cell, lowest place."""
        last = 2**_BITS - 1
        place = torch.arange(matching.shape[1], device=self.device)
        key = (self._potential_counts.long() << (2 * _BITS)) | ((last - owner) << _BITS) | (last - place)
        key = torch.where(matching, key, -1)
        best = torch.full((self.n_streams, self.settings.n_columns + 1), -1, device=self.device)
        best.scatter_reduce_(1, owner // self.settings.cells_per_column, key, "amax")
        found = best.gather(1, columns)
        return torch.where(found >= 0, last - (found & last), -1)

    def _winners(self, cells: Tensor, bursts: Tensor, best: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Winning cell and segment of bursting columns; new segments are made. Third: where one was made."""
        seed = torch.tensor(self.settings.seed, device=self.device)
        salt = mix(seed ^ mix(torch.tensor(self._now, device=self.device)))
        used = self._n_segments.gather(1, cells.flatten(1)).view_as(cells)
        least = ((used.long() << 32) | draw_keys(salt, cells)).argmin(2)
        fresh = cells.gather(2, least.unsqueeze(2)).squeeze(2)
        winners = torch.where(best >= 0, self._owner_or_nobody().gather(1, best.clamp(min=0)), fresh)
        create = bursts & (best < 0) & self._is_winner.any(1, keepdim=True)
        # The j-th new segment takes the j-th free place.
        rank = (self._owner < 0).cumsum(1)
        taken = torch.searchsorted(rank, create.cumsum(1)).clamp(max=rank.shape[1] - 1)
        stream, column = create.nonzero(as_tuple=True)
        self._owner[stream, taken[stream, column]] = fresh[stream, column].int()
        self._n_segments.scatter_add_(1, fresh, create.int())
        return winners, torch.where(create, taken, best), create

    def _reinforce_and_grow(self, learning: Tensor) -> None:
        rows = learning.flatten().nonzero()[:, 0]
        stream = rows // learning.shape[1]
        sources, permanence, nobody = self._rows(rows, stream)
        rules = self.rules
        active = self._is_active.flatten()[sources.long()]
        sources, permanence = reinforced(
            sources, permanence, active, rules.increment, -rules.decrement, self._one, nobody
        )
        local = self._winner_lists()
        if local.shape[1]:
            seed = torch.tensor(self.settings.seed, device=self.device)
            step_salt = mix(seed ^ mix(torch.tensor(self._now + 0x51ED270B, device=self.device)))
            salt = draw_keys(step_salt, rows % learning.shape[1]).unsqueeze(1)
            candidates = (local + self._first).int()[stream]
            n_new = rules.max_new_synapses - self._potential_counts.flatten()[rows]
            keys = draw_keys(salt, local[stream])
            sources, permanence = grown(sources, permanence, candidates, keys, n_new, rules.initial, nobody)
        self._last_used.view(-1)[rows] = self._now
        self._write(rows, stream, sources, permanence, nobody)

    def _winner_lists(self) -> Tensor:
        """Winners of the last step, (n_streams, most of any stream), filled up with nobody."""
        stream, cell = self._is_winner.nonzero(as_tuple=True)
        counts = self._is_winner.sum(1)
        width = int(counts.max())
        place = torch.arange(len(cell), device=self.device) - (counts.cumsum(0) - counts)[stream]
        lists = self._new((self.n_streams, width), torch.int64, self._n_cells)
        lists[stream, place] = cell
        return lists

    def _punish(self, which: Tensor) -> None:
        rows = which.flatten().nonzero()[:, 0]
        stream = rows // which.shape[1]
        sources, permanence, nobody = self._rows(rows, stream)
        active = self._is_active.flatten()[sources.long()]
        sources, permanence = reinforced(
            sources, permanence, active, -self.rules.punishment, 0, self._one, nobody
        )
        self._write(rows, stream, sources, permanence, nobody)

    def _rows(self, rows: Tensor, stream: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        sources = self._sources.flatten(0, 1)[rows]
        return sources, self._permanence.flatten(0, 1)[rows], self._nobody[stream]

    def _write(
        self, rows: Tensor, stream: Tensor, sources: Tensor, permanence: Tensor, nobody: Tensor
    ) -> None:
        """Put rows back; segments with too few synapses are removed."""
        gone = (permanence > 0).sum(1) < self.rules.min_threshold
        self._sources.view(-1, sources.shape[1])[rows] = torch.where(gone.unsqueeze(1), nobody, sources)
        self._permanence.view(-1, sources.shape[1])[rows] = permanence * ~gone.unsqueeze(1)
        owner = self._owner.view(-1)[rows]
        self._n_segments.view(-1).scatter_add_(0, self._first[stream, 0] + owner, -gone.int())
        self._owner.view(-1)[rows] = torch.where(gone, -1, owner)

    # -- parts

    def _count(self, potential: bool) -> None:
        """Overlaps of all segments with the active cells."""
        if self._shared:
            hit = self._is_active.index_select(1, self._sources.flatten()).view(-1, *self._sources.shape[1:])
        else:
            hit = self._is_active.flatten().index_select(0, self._sources.flatten()).view_as(self._sources)
        counts = (hit & (self._permanence >= self._connected)).sum(2, dtype=torch.int32)
        self._connected_counts = counts
        self._potential_counts = hit.sum(2, dtype=torch.int32) if potential else torch.zeros_like(counts)
        self._has_potential = potential

    def _on(self) -> Tensor:
        return (self._connected_counts >= self.rules.activation_threshold) & (self._owner >= 0)

    def _owner_or_nobody(self) -> Tensor:
        owner = torch.where(self._owner >= 0, self._owner, self._n_cells).long()
        return owner.expand(self.n_streams, -1)

    def _any_of(self, index: Tensor, flags: Tensor, n: int) -> Tensor:
        """Whether any flag is set for each index; (n_streams, n)."""
        return self._new((self.n_streams, n), torch.int32).scatter_add_(1, index, flags.int()) > 0

    def _own(self, n_new: int) -> None:
        """Before learning: segments of one's own, counts of all synapses, room for new segments."""
        if self._shared:
            self._sources = (self._sources + self._first.int().unsqueeze(2)).contiguous()
            for name in ("_permanence", "_owner", "_last_used"):
                array = getattr(self, name)
                setattr(self, name, array.expand(self.n_streams, *array.shape[1:]).contiguous())
            self._shared, self._free_at_least = False, 0
            self._count(True)
        if not getattr(self, "_has_potential", True):
            self._count(True)
        self._free_at_least -= n_new
        if self._free_at_least < 0:
            self._free_places(n_new)

    def _free_places(self, n_new: int) -> None:
        """Drop the lowest segments of the streams that lack room."""
        if n_new > self.settings.max_segments:
            raise ConfigError(
                f"{n_new} segments at once exceed max_segments {self.settings.max_segments}: raise it"
            )
        short = (self._owner < 0).sum(1) < n_new
        if bool(short.any()):
            n = max(n_new, self.settings.max_segments // _FREED_SHARE)
            score = self._permanence.double().square().sum(2)
            if self.rules.drop_least_recent:
                score = self._last_used.double()
            places = lowest_places(self._owner, score, self._last_used, n)
            stream, which = short.nonzero()[:, :1], places[short]
            owner = self._owner[stream, which].long()
            self._n_segments.index_put_(
                (stream, owner), torch.tensor(-1, dtype=torch.int32, device=self.device), True
            )
            self._owner[stream, which] = -1
            self._permanence[stream, which] = 0
            self._sources[stream, which] = self._nobody[stream]
            self._count(True)
        self._free_at_least = int((self._owner < 0).sum(1).min()) - n_new

    def _spread(self, n_streams: int) -> None:
        """Share the segments of one stream among several, each with its own activity."""
        self.n_streams, self._shared = n_streams, True
        self._first = torch.arange(n_streams, device=self.device).unsqueeze(1) * (self._n_cells + 1)
        self._nobody = (self._first + self._n_cells).int()
        for name in ("_is_active", "_is_winner", "_n_segments"):
            setattr(self, name, getattr(self, name).expand(n_streams, -1).contiguous())

    def _checked(self, columns: Tensor) -> Tensor:
        if columns.ndim != 2 or len(columns) != self.n_streams or columns.is_floating_point():
            raise ConfigError(
                f"columns are {columns.dtype} of shape {tuple(columns.shape)}; "
                f"expected integers of shape ({self.n_streams}, k)"
            )
        if columns.device.type == "cpu" and columns.numel():
            low, high = int(columns.min()), int(columns.max())
            if low < 0 or high >= self.settings.n_columns:
                raise ConfigError(
                    f"columns go from {low} to {high}; expected 0 to {self.settings.n_columns - 1}"
                )
            ordered = columns.sort(1).values
            if bool((ordered[:, 1:] == ordered[:, :-1]).any()):
                raise ConfigError("columns name one more than once in a stream; expected each at most once")
        return columns.to(self.device, torch.int64).sort(1).values

    def _put(self, array: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device).unsqueeze(0)

    def _new(self, shape: tuple[int, ...], dtype: torch.dtype, value: int = 0) -> Tensor:
        return torch.full(shape, value, dtype=dtype, device=self.device)
