# Triton's functions are typed by its compiler.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""The step of a network in three launches: update and list the spikes, deliver them, count the step.

State, ring and list lie in the card's memory; each launch waits for the one before.
"""

import triton
import triton.language as tl

from neuroai_kernels.neuron_update.gpu import advance_block, count_poisson, push_block

__all__ = ["count_step", "deliver_rows", "list_spikes", "record_spikes", "update_block"]


@triton.jit
def update_block(
    block, coefficients, thresholds, variables, free_at, current, seed, ring, quantum, now, n_neurons,
    n_inputs, mask, n_thresholds, COEFFICIENTS: tl.constexpr, KINDS: tl.constexpr, POISSON: tl.constexpr,
    CURRENT: tl.constexpr, NOISE: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One step of the neurons of a block, whose arrivals are read from the ring and cleared.

    Returns the neuron of each lane and whether it spikes.
    """
    first, stop, channels = tl.load(block), tl.load(block + 1), tl.load(block + 4)
    population = tl.load(block + 2)
    c, key = coefficients + population * COEFFICIENTS, tl.load(seed).to(tl.uint64)
    base = first // 4 * 4
    neuron = base + tl.arange(0, BLOCK)
    inside = (neuron >= first) & (neuron < stop)
    slot = ring + (now & mask).to(tl.int64) * n_inputs + neuron
    # Past the first cache: the additions to this slot were made in the second.
    arrived = tl.load(slot, inside, 0, cache_modifier=".cg").to(tl.float32) * quantum
    second = tl.zeros([BLOCK], tl.float32)
    if CHANNELS > 1:
        both = (neuron >= first) & (neuron < tl.where(channels > 1, stop, first))
        second = tl.load(slot + n_neurons, both, 0, cache_modifier=".cg").to(tl.float32) * quantum
    # The thread that clears a place need not be the one that reads it.
    tl.debug_barrier()
    tl.store(slot, 0, inside)
    if CHANNELS > 1:
        tl.store(slot + n_neurons, 0, inside)
    if POISSON:
        limits = thresholds + population * n_thresholds
        events = tl.load(c + 5) * count_poisson(key, base, now, limits, n_thresholds, BLOCK)
        to_first = tl.load(c + 6) == 0
        arrived = tl.where(to_first, arrived + events, arrived)
        second = tl.where(to_first, second, second + events)
    push = push_block(key, base, neuron, inside, now, c, current, CURRENT, NOISE, BLOCK)
    spiking = advance_block(
        variables, free_at, n_neurons, neuron, inside, tl.load(block + 3), channels, c, arrived, second, push,
        now, KINDS,
    )  # fmt: skip
    return neuron, spiking


@triton.jit
def record_spikes(spiking, count, neuron, now, record, recorded, room, BLOCK: tl.constexpr):
    """Append the spikes of a block to the record of steps and neurons."""
    flags = spiking.to(tl.int32)
    at = tl.atomic_add(recorded, count, sem="relaxed") + tl.cumsum(flags) - flags
    tl.store(record + at, now + tl.zeros([BLOCK], tl.int32), spiking & (at < room))
    tl.store(record + room + at, neuron, spiking & (at < room))


@triton.jit(do_not_specialize=["room", "n_neurons", "n_inputs", "mask", "n_thresholds"])
def list_spikes(
    blocks, coefficients, thresholds, variables, free_at, current, seed, ring, quantum, spikes, count,
    tally, record, recorded, room, step, n_neurons, n_inputs, mask, n_thresholds,
    COEFFICIENTS: tl.constexpr, KINDS: tl.constexpr, POISSON: tl.constexpr, CURRENT: tl.constexpr,
    NOISE: tl.constexpr, CHANNELS: tl.constexpr, RECORD: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One step of a block; its spikes are appended to the list."""
    b, now = tl.program_id(0), tl.load(step).to(tl.int32)
    neuron, spiking = update_block(
        blocks + 6 * b, coefficients, thresholds, variables, free_at, current, seed, ring, quantum, now,
        n_neurons, n_inputs, mask, n_thresholds, COEFFICIENTS, KINDS, POISSON, CURRENT, NOISE, CHANNELS,
        BLOCK,
    )  # fmt: skip
    flags = spiking.to(tl.int32)
    found = tl.sum(flags)
    if found > 0:
        at = tl.atomic_add(count, found, sem="relaxed") + tl.cumsum(flags) - flags
        tl.store(spikes + at, neuron, spiking)
        tl.atomic_add(tally + b, found.to(tl.int64), sem="relaxed")
        if RECORD:
            record_spikes(spiking, found, neuron, now, record, recorded, room, BLOCK)


@triton.jit
def count_step(step, count):
    """The next step; its list is empty."""
    tl.store(count, 0)
    tl.store(step, tl.load(step) + 1)


@triton.jit
def _add_chunk(
    first, last, table, tables, base, words, weights, ring, now, n_neurons, n_inputs, mask,
    BLOCK: tl.constexpr, STORED: tl.constexpr,
):  # fmt: skip
    """Add the synapses at ``first``, where that is before ``last``, to the ring."""
    inside = first < last
    word = tl.load(words + first, inside, 0)
    local, delay = (word >> 9) & 0xFFF, (word >> 21) & 0xFF
    channel, lane = local // BLOCK, local % BLOCK
    if STORED:
        weight = tl.load(weights + first, inside, 0)
    else:
        weight = tl.load(tables + table + channel * 512 + (word & 511), inside, 0)
    place = ((now + delay) & mask) * n_inputs + channel * n_neurons + base + lane
    tl.atomic_add(ring + place, weight, inside, sem="relaxed")


@triton.jit(do_not_specialize=["n_owners", "n_populations", "n_neurons", "n_inputs", "mask"])
def deliver_rows(
    spikes, count, owners, starts, words, weights, tables, classes, ring, step,
    n_owners, n_populations, n_neurons, n_inputs, mask,
    BLOCK: tl.constexpr, CHANNELS: tl.constexpr, STORED: tl.constexpr,
    OWNERS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Add the synapses of the listed sources to the ring, a source and some owners of targets at a time."""
    now = tl.load(step).to(tl.int32)
    groups = (n_owners + OWNERS - 1) // OWNERS
    # Whole tiles all along: a vector of owners would be read once by each warp.
    row = tl.arange(0, OWNERS)[:, None] + tl.zeros([OWNERS, WIDTH], tl.int32)
    column = tl.arange(0, WIDTH)[None, :] + tl.zeros([OWNERS, WIDTH], tl.int32)
    for piece in range(tl.program_id(0), tl.load(count) * groups, tl.num_programs(0)):
        source = tl.load(spikes + piece // groups)
        owner = (piece % groups) * OWNERS + row
        there = owner < n_owners
        segment = source.to(tl.int64) * (n_owners + 1) + owner
        first, last = tl.load(starts + segment, there, 0), tl.load(starts + segment + 1, there, 0)
        base = tl.load(owners + 6 * owner, there, 0) // 4 * 4
        population = tl.load(owners + 6 * owner + 2, there, 0)
        table = (tl.load(classes + source) * n_populations + population) * CHANNELS * 512
        for skip in range(0, tl.max(tl.max(last - first, 1), 0).to(tl.int32), WIDTH):
            _add_chunk(
                first + column + skip, last, table, tables, base, words, weights, ring, now, n_neurons,
                n_inputs, mask, BLOCK, STORED,
            )  # fmt: skip
