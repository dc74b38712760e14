"""The step of a decoder as one CUDA graph: eighteen blocks are some five hundred launches otherwise."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from neuroai.neuroformer.blocks import Block
from neuroai.neuroformer.cache import Decoder, Memory

__all__ = ["GraphedDecoder", "decoder_class"]

_ROOM = 32


@dataclass
class GraphedDecoder(Decoder):
    """A :class:`~neuroai.neuroformer.cache.Decoder` on a GPU whose step is recorded once and replayed.

    A graph has fixed shapes: keys and values fill rooms of a fixed size, and a mask on the device says how
    much of them counts. The graph is recorded anew when the rooms grow and when rows are given up, each time
    at the cost of two plain steps; rows are therefore given up more rarely.

    Notes
    -----
    Attention reads whole rooms, at most 32 tokens or half as many again as there are. Positions of the
    published model are numbers inside the graph: that model is not run this way.
    """

    shrink: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        device = self.rows.device
        self.place = torch.zeros(1, dtype=torch.int64, device=device)
        self.room = _ROOM
        self.graph: torch.cuda.CUDAGraph | None = None

    def step(self, unit: Tensor, bins: Tensor) -> Tensor:
        """Features (n_rows, width) after one more token a row."""
        if self.length == self.room:
            self._grow()
        self.place.fill_(self.length)
        if self.graph is None:
            self._record(unit, bins)
        assert self.graph is not None
        self.unit.copy_(unit)
        self.bins.copy_(bins)
        self.graph.replay()
        self.length += 1
        return self.features

    def keep(self, rows: Tensor) -> None:
        """Go on with some rows only."""
        self.graph = None
        super().keep(rows)

    def _record(self, unit: Tensor, bins: Tensor) -> None:
        """Record a step; doing it once before leaves the same keys and values in the same place."""
        self.unit, self.bins = unit.clone(), bins.clone()
        length = self.length
        ahead: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        ahead.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(ahead):
            super().step(self.unit, self.bins)
        torch.cuda.current_stream().wait_stream(ahead)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.features = super().step(self.unit, self.bins)
        self.length = length

    def _grow(self) -> None:
        more = max(_ROOM, self.length // 2)
        self.room, self.graph = self.length + more, None
        self.own = {
            block: Memory(pad(memory.key, (0, 0, 0, more)), pad(memory.value, (0, 0, 0, more)))
            for block, memory in self.own.items()
        }

    def _append(self, block: Block, key: Tensor, value: Tensor) -> Memory:
        memory = self.own.get(block)
        if memory is None:
            empty = key.new_zeros(key.shape[0], key.shape[1], self.room, key.shape[2])
            memory = self.own[block] = Memory(empty, empty.clone())
        memory.key.index_copy_(2, self.place, key[:, :, None])
        memory.value.index_copy_(2, self.place, value[:, :, None])
        seen = torch.arange(self.room, device=key.device) <= self.place
        return Memory(memory.key, memory.value, seen[None, None, None])


def decoder_class(padded: bool, device: torch.device) -> type[Decoder]:
    """Graphs on a GPU; steps as they come elsewhere, and for the published model."""
    return GraphedDecoder if device.type == "cuda" and not padded else Decoder
