"""One token at a time: keys and values of what came before are kept, nothing is computed twice."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention

from neuroai.neuroformer.batch import Stream
from neuroai.neuroformer.blocks import Block, Source
from neuroai.neuroformer.layout import Layout
from neuroai.neuroformer.model import Neuroformer

__all__ = ["Decoder"]

_GROWTH = 32  # tokens by which the room for keys and values grows at least


@dataclass
class Memory:
    """Keys and values (rows, heads, tokens, d) of one block; ``seen`` masks padding of a source."""

    key: Tensor
    value: Tensor
    seen: Tensor | None = None

    def take(self, rows: Tensor) -> "Memory":
        """Keep some rows."""
        seen = None if self.seen is None else self.seen[rows]
        return Memory(self.key[rows], self.value[rows], seen)


@dataclass
class Decoder:
    """Generate from many windows side by side, in step.

    Parameters
    ----------
    model : Neuroformer
        In evaluation mode.
    session : str
    sources : mapping of str to Source
        Encoded past and inputs, from ``model.sources``.
    rows : Tensor of int64 (n_rows,)
        Window of each row: samples of one window share its encoded sources.
    shrink : int
        Rows should be given up once no more than one in ``shrink`` goes on.

    Notes
    -----
    A step costs two operations a parameter a row, whatever the length of the window, and attention over the
    tokens so far; without the cache it would be that for every token so far.
    """

    model: Neuroformer
    session: str
    sources: Mapping[str, Source]
    rows: Tensor
    length: int = 0
    shrink: int = 2
    own: dict[Block, Memory] = field(default_factory=dict)
    other: dict[Block, Memory] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, stack in self.model.cross_stacks():
            source = self.sources[name]
            for block in _blocks(stack):
                self.other[block] = _remember(block, source).take(self.rows)

    def step(self, unit: Tensor, bins: Tensor) -> Tensor:
        """Features (n_rows, width) after one more token a row."""
        x = self._features(unit, bins)
        self.length += 1
        return x

    def reserve(self) -> bool:
        """Make room for one more token; whether that changed shapes that a recorded step relies on."""
        return False

    def _features(self, unit: Tensor, bins: Tensor) -> Tensor:
        model = self.model
        stream = Stream(unit, bins, Layout.even(len(unit), 1, unit.device))
        x = model.embed(model.units, self.session, stream, offset=self.length)
        for block in _blocks(model.encoder):
            x = self._self(block, x)
        for _, stack in model.cross_stacks():
            for block in _blocks(stack):
                x = self._cross(block, x, self.other[block])
        for block in _blocks(model.output):
            x = self._self(block, x)
        return cast("Tensor", x)

    def keep(self, rows: Tensor) -> None:
        """Go on with some rows only."""
        self.own = {block: memory.take(rows) for block, memory in self.own.items()}
        self.other = {block: memory.take(rows) for block, memory in self.other.items()}

    def _self(self, block: Block, x: Tensor) -> Tensor:
        attention = block.attention
        normed = block.before(x)
        memory = self._append(block, *attention.keys_values(normed))
        query = attention.split(attention.query(normed))[:, :, None]
        mixed = scaled_dot_product_attention(query, memory.key, memory.value, attn_mask=memory.seen)
        return block.finish(x, attention.close(mixed[:, :, 0]))

    def _cross(self, block: Block, x: Tensor, memory: Memory) -> Tensor:
        attention = block.attention
        query = attention.split(attention.query(block.before(x)))[:, :, None]
        mixed = scaled_dot_product_attention(query, memory.key, memory.value, attn_mask=memory.seen)
        return block.finish(x, attention.close(mixed[:, :, 0]))

    def _append(self, block: Block, key: Tensor, value: Tensor) -> Memory:
        """Keys and values of the tokens so far, this one included."""
        memory = self._room(block, key)
        memory.key[:, :, self.length], memory.value[:, :, self.length] = key, value
        return Memory(memory.key[:, :, : self.length + 1], memory.value[:, :, : self.length + 1])

    def _room(self, block: Block, like: Tensor) -> Memory:
        memory = self.own.get(block)
        if memory is None:
            rows, heads, d = like.shape
            empty = like.new_zeros(rows, heads, _GROWTH, d)
            memory = self.own[block] = Memory(empty, empty.clone())
        elif self.length == memory.key.shape[2]:
            more = (0, 0, 0, max(_GROWTH, self.length // 2))
            memory = self.own[block] = Memory(pad(memory.key, more), pad(memory.value, more))
        return memory


def _remember(block: Block, source: Source) -> Memory:
    """Keys and values of a source, computed once for all tokens and samples."""
    layout = source.layout
    key, value = (layout.pad(x).transpose(1, 2) for x in block.attention.keys_values(source.tokens))
    return Memory(key, value, None if layout.uniform else layout.real()[:, None, None])


def _blocks(stack: nn.ModuleList) -> list[Block]:
    return [cast("Block", block) for block in stack]
