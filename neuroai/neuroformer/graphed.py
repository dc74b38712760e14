"""Decoding on a GPU with shapes that stay, so that a step can be recorded once and replayed."""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import pad

from neuroai.kernels import ragged_attention
from neuroai.neuroformer.blocks import Block
from neuroai.neuroformer.cache import Decoder, Memory, _blocks

__all__ = ["StaticDecoder"]

_ROOM = 32


@dataclass
class StaticDecoder(Decoder):
    """A :class:`~neuroai.neuroformer.cache.Decoder` whose lengths are numbers on the device.

    Keys and values of sources stay packed, those of samples of one window in one place; own ones fill rooms
    of a fixed size, a room a row. Each query reads its range of them
    (:func:`~neuroai.kernels.ragged_attention`). Rows that leave move nothing: others keep their rooms.

    Notes
    -----
    :meth:`reserve` goes before each :meth:`step`. Positions of the published model are numbers of the host:
    that model is not run this way.
    """

    shrink: int = 4
    spans: dict[Block, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        device = self.rows.device
        self.taken = torch.zeros(1, dtype=torch.int64, device=device)
        self.seat = torch.arange(len(self.rows), device=device)
        self.room = _ROOM
        for name, stack in self.model.cross_stacks():
            tokens, layout = self.sources[name]
            span = layout.offsets[:-1].long()[self.rows], layout.lengths().long()[self.rows]
            for block in _blocks(stack):
                self.other[block] = Memory(*block.attention.keys_values(tokens))
                self.spans[block] = span

    def reserve(self) -> bool:
        """Make room for one more token; whether that changed shapes."""
        full = self.length == self.room
        if full:
            self._grow()
        self.length += 1
        return full

    def step(self, unit: Tensor, bins: Tensor) -> Tensor:
        """Features (n_rows, width) after one more token a row, for which room was reserved."""
        begins = self.seat * self.room
        self.slot, self.own_span = begins + self.taken, (begins, (self.taken + 1).expand_as(begins))
        x = self._features(unit, bins)
        self.taken += 1
        return x

    def keep(self, rows: Tensor) -> None:
        """Go on with some rows only."""
        self.seat = self.seat[rows]
        spans = {id(span): (span[0][rows], span[1][rows]) for span in self.spans.values()}
        self.spans = {block: spans[id(span)] for block, span in self.spans.items()}

    def _grow(self) -> None:
        more = max(_ROOM, self.length // 2)
        for block, memory in self.own.items():
            rooms = (x.reshape(-1, self.room, *x.shape[1:])[self.seat] for x in (memory.key, memory.value))
            self.own[block] = Memory(*(pad(x, (0, 0, 0, 0, 0, more)).flatten(0, 1) for x in rooms))
        self.seat = torch.arange(len(self.seat), device=self.seat.device)
        self.room += more

    def _self(self, block: Block, x: Tensor) -> Tensor:
        normed = block.before(x)
        key, value = block.attention.keys_values(normed)
        memory = self.own.get(block)
        if memory is None:
            empty = key.new_zeros(len(key) * self.room, *key.shape[1:])
            memory = self.own[block] = Memory(empty, empty.clone())
        memory.key.index_copy_(0, self.slot, key)
        memory.value.index_copy_(0, self.slot, value)
        return self._attend(block, x, normed, memory, self.own_span)

    def _cross(self, block: Block, x: Tensor, memory: Memory) -> Tensor:
        return self._attend(block, x, block.before(x), memory, self.spans[block])

    def _attend(
        self, block: Block, x: Tensor, normed: Tensor, memory: Memory, span: tuple[Tensor, Tensor]
    ) -> Tensor:
        attention = block.attention
        query = attention.split(attention.query(normed))
        mixed = ragged_attention(query, memory.key, memory.value, *span)
        return block.finish(x, attention.close(mixed))
