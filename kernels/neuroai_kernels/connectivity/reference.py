"""Synapses of one connection in torch, draw by draw: the specification."""

import numpy as np
import torch
from torch import Tensor

from neuroai_kernels.connectivity.rules import (
    ANGLE,
    DELAY_LEVELS,
    LEVEL_SHIFT_DELAY,
    LEVEL_SHIFT_WEIGHT,
    RADIUS,
    TAG_DEVIATE,
    TAG_SOURCE,
    TAG_TARGET,
    WEIGHT_LEVELS,
    Connection,
    skip_table,
)
from neuroai_kernels.philox import stream_counter
from neuroai_kernels.philox.reference import philox_reference

__all__ = ["draw_reference", "row_counts_reference"]


def _word(seed: int, tag: int, stream: int, slot: Tensor, source: Tensor | int) -> Tensor:
    """Word ``slot % 4`` of the counter of ``slot // 4``, as a whole number in [0, 2^32)."""
    counter = stream_counter(slot // 4, source=source, projection=stream, tag=tag)
    words = philox_reference(seed, counter).to(torch.int64) & 0xFFFFFFFF
    return words.gather(-1, (slot % 4)[..., None])[..., 0]


def _scaled(word: Tensor, n: int) -> Tensor:
    """Uniform in [0, n): the high half of the product (Lemire, 2019, without rejection)."""
    return (word * n) >> 32


def _levels(word: Tensor) -> tuple[Tensor, Tensor]:
    """Levels in the tables of weights and delays."""
    radius, angle = word >> 20, (word >> 8) & 0xFFF
    radii, cosines = torch.from_numpy(RADIUS).to(torch.int64), torch.from_numpy(ANGLE).to(torch.int64)
    first = (radii[radius] * cosines[angle]) >> 12
    second = (radii[radius] * cosines[(angle + 3072) & 0xFFF]) >> 12
    weight = ((first >> LEVEL_SHIFT_WEIGHT) + WEIGHT_LEVELS // 2).clamp(0, WEIGHT_LEVELS - 1)
    delay = ((second >> LEVEL_SHIFT_DELAY) + DELAY_LEVELS // 2).clamp(0, DELAY_LEVELS - 1)
    return weight, delay


def row_counts_reference(connection: Connection, seed: int) -> Tensor:
    """Synapses of each source, int64 (n_sources,)."""
    if connection.rule == "fixed_outdegree":
        return torch.full((connection.n_sources,), int(connection.amount))
    sources = draw_reference(connection, seed)[0] if connection.rule != "fixed_total" else None
    if sources is None:
        q = torch.arange(int(connection.amount))
        # Word 0 holds 32 bits: the fourth part of the synapse's number, then what is above in word 1.
        word = _word(seed, TAG_SOURCE, connection.stream, q & 0x3FFFFFFFF, q >> 34)
        sources = _scaled(word, connection.n_sources)
    else:
        sources = sources - connection.first_source
    return torch.bincount(sources, minlength=connection.n_sources)


def _bernoulli_targets(connection: Connection, seed: int, source: int) -> list[int]:
    table, target, draw = skip_table(connection.amount), 0, 0
    found: list[int] = []
    while connection.amount > 0:
        word = _word(seed, TAG_TARGET, connection.stream, torch.tensor([draw]), source)
        skip = int(np.searchsorted(table, np.uint32(int(word))))
        target, draw = target + skip, draw + 1
        if target >= connection.n_targets:
            break
        if skip < len(table):
            found.append(target)
            target += 1
    return found


def _pairs(connection: Connection, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Source, target, slot, and the index that the deviates are drawn by."""
    if connection.rule == "fixed_indegree":
        degree = int(connection.amount)
        target = torch.arange(connection.n_targets).repeat_interleave(degree) + connection.first_target
        slot = torch.arange(degree).repeat(connection.n_targets)
        word = _word(seed, TAG_SOURCE, connection.stream, slot, target)
        return _scaled(word, connection.n_sources) + connection.first_source, target, slot, target
    sources = torch.arange(connection.n_sources) + connection.first_source
    lists: list[list[int]] = []
    if connection.rule == "bernoulli":
        lists = [_bernoulli_targets(connection, seed, source) for source in sources.tolist()]
        counts = torch.tensor([len(row) for row in lists])
    else:
        counts = row_counts_reference(connection, seed)
    source = sources.repeat_interleave(counts)
    slot = torch.arange(len(source)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    if lists:
        target = torch.tensor([t for row in lists for t in row], dtype=torch.int64)
    else:
        word = _word(seed, TAG_TARGET, connection.stream, slot, source)
        target = _scaled(word, connection.n_targets)
    return source, target + connection.first_target, slot, source


def draw_reference(connection: Connection, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Source, flat target, weight and delay of each synapse, in the order of drawing."""
    source, target, slot, drawn_by = _pairs(connection, seed)
    weight, delay = _levels(_word(seed, TAG_DEVIATE, connection.stream, slot, drawn_by))
    weights, delays = torch.from_numpy(connection.weights), torch.from_numpy(connection.delays)
    return source, target, weights[weight], delays[delay]
