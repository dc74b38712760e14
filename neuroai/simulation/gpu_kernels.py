# Triton's functions are typed by its compiler; static tests stand apart from run-time ones.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
# ruff: noqa: SIM102
"""The step of a network whose blocks of neurons own their inputs.

A program owns one block: its neurons' state, and their part of the ring. It updates them and publishes which
of them spike in one word of 64 bits; it reads the words of all blocks and delivers, of every spike, the
synapses onto its own neurons. Nothing but those words passes between programs, and a word carries its step,
so that reading it is the barrier: one exchange a step, no fence, no shared counter.

The same program runs as two launches a step (UPDATE, then DELIVER) or as one launch for many steps
(UPDATE and DELIVER), when all programs are resident at the same time.
"""

import triton
import triton.language as tl

from neuroai_kernels.neuron_update.gpu import advance_block, count_poisson, push_block

__all__ = ["IDS_IN_WORD", "step_kernel"]

# A published word: 15 bits of the step, 12 of the number of spikes, three places in the block of 12 bits.
IDS_IN_WORD = 3
_IDS = tl.constexpr(3)


@triton.jit
def _publish(
    spiking, lane, now, mail, more, b, n_blocks, record, recorded, room, base,
    BLOCK: tl.constexpr, RECORD: tl.constexpr,
):  # fmt: skip
    """Tell all programs which neurons of this block spike; returns how many."""
    place = (now & 1) * n_blocks + b
    # One sum gives both the number of spikes and, for a single one, its place.
    both = tl.sum(tl.where(spiking, lane.to(tl.int64) + (1 << 24), 0))
    count = (both >> 24).to(tl.int32)
    word = (now & 0x7FFF).to(tl.int64) << 48 | count.to(tl.int64) << 36
    if count == 1:
        word = word | (both & 0xFFF)
    if count > 1:
        flags = spiking.to(tl.int32)
        rank = tl.cumsum(flags) - flags
        word = word | tl.sum(tl.where(spiking & (rank < _IDS), lane.to(tl.int64) << (12 * rank), 0))
        if count > _IDS:
            tl.store(more + place * BLOCK + rank, lane, spiking)
            tl.debug_barrier()
            tl.atomic_xchg(mail + place, word, sem="release", scope="gpu")
    if count <= _IDS:
        tl.atomic_xchg(mail + place, word, sem="relaxed", scope="gpu")
    if RECORD:
        if count > 0:
            flags = spiking.to(tl.int32)
            at = tl.atomic_add(recorded, count, sem="relaxed") + tl.cumsum(flags) - flags
            tl.store(record + at, now + tl.zeros([BLOCK], tl.int32), spiking & (at < room))
            tl.store(record + room + at, base + lane, spiking & (at < room))
    return count


@triton.jit
def _collect(mail, more, bases, heard, now, n_blocks, BLOCK: tl.constexpr, BLOCKS: tl.constexpr):
    """Wait for the words of all blocks; write the sources that spike to ``heard``, return their number."""
    other = tl.arange(0, BLOCKS)
    known = other < n_blocks
    place = (now & 1) * n_blocks + other
    step = (now & 0x7FFF).to(tl.int64)
    word = tl.load(mail + place, known, 0, volatile=True)
    while tl.sum((known & ((word >> 48) != step)).to(tl.int32)) > 0:
        word = tl.load(mail + place, known, 0, volatile=True)
    counts = tl.where(known, (word >> 36) & 0xFFF, 0).to(tl.int32)
    rank = tl.cumsum(counts) - counts
    base = tl.load(bases + other, known, 0)
    for j in range(tl.max(counts)):
        here = counts > j
        lane = ((word >> (12 * tl.minimum(j, _IDS - 1))) & 0xFFF).to(tl.int32)
        if j >= _IDS:
            lane = tl.load(more + place * BLOCK + j, here, 0, volatile=True)
        elif tl.max(counts) > _IDS:
            lane = tl.where(
                counts > _IDS,
                tl.load(more + place * BLOCK + j, here & (counts > _IDS), 0, volatile=True),
                lane,
            )
        tl.store(heard + rank + j, base + lane, here)
    tl.debug_barrier()
    return tl.sum(counts)


@triton.jit
def _deliver(
    sources, n, b, population, base, starts, words, weights, tables, classes, ring, now,
    n_blocks, n_populations, n_neurons, n_inputs, mask,
    BLOCK: tl.constexpr, CHANNELS: tl.constexpr, STORED: tl.constexpr,
    SPIKES: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Add the synapses of the first ``n`` sources onto this block to its part of the ring."""
    for start in range(0, n, SPIKES):
        i = start + tl.arange(0, SPIKES)
        source = tl.load(sources + i, i < n, 0, cache_modifier=".cg")
        segment = source.to(tl.int64) * (n_blocks + 1) + b
        first = tl.load(starts + segment, i < n, 0)
        last = tl.load(starts + segment + 1, i < n, 0)
        table = tables + ((tl.load(classes + source, i < n, 0) * n_populations + population) * CHANNELS) * 512
        for skip in range(0, tl.max(last - first), WIDTH):
            j = first[:, None] + skip + tl.arange(0, WIDTH)[None, :]
            inside = j < last[:, None]
            word = tl.load(words + j, inside, 0)
            local, delay = (word >> 9) & 0xFFF, (word >> 21) & 0xFF
            channel, lane = local // BLOCK, local % BLOCK
            if STORED:
                weight = tl.load(weights + j, inside, 0)
            else:
                weight = tl.load(table[:, None] + channel * 512 + (word & 511), inside, 0)
            place = ((now + delay) & mask) * n_inputs + channel * n_neurons + base + lane
            tl.atomic_add(ring + place, weight, inside, sem="relaxed")


@triton.jit(
    do_not_specialize=[
        "room", "external_origin", "n_steps", "n_blocks", "n_populations", "n_neurons", "n_inputs", "mask",
        "n_thresholds",
    ]
)  # fmt: skip
def step_kernel(
    blocks, bases, coefficients, thresholds, variables, free_at, current, seed,
    starts, words, weights, tables, classes, ring, quantum,
    mail, more, heard, tally, record, recorded, room,
    external, external_rows, external_origin, step, n_steps,
    n_blocks, n_populations, n_neurons, n_inputs, mask, n_thresholds,
    COEFFICIENTS: tl.constexpr, KINDS: tl.constexpr, POISSON: tl.constexpr, CURRENT: tl.constexpr,
    NOISE: tl.constexpr, CHANNELS: tl.constexpr, STORED: tl.constexpr, EXTERNAL: tl.constexpr,
    RECORD: tl.constexpr, UPDATE: tl.constexpr, DELIVER: tl.constexpr,
    BLOCK: tl.constexpr, BLOCKS: tl.constexpr, SPIKES: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """``n_steps`` steps of one block; ``step`` holds the next step for UPDATE, then the same for DELIVER."""
    b = tl.program_id(0)
    block = blocks + 6 * b
    first, stop, population = tl.load(block), tl.load(block + 1), tl.load(block + 2)
    kind, channels = tl.load(block + 3), tl.load(block + 4)
    c, key = coefficients + population * COEFFICIENTS, tl.load(seed).to(tl.uint64)
    limits = thresholds + population * n_thresholds
    base = first // 4 * 4
    lane = tl.arange(0, BLOCK)
    neuron = base + lane
    inside = (neuron >= first) & (neuron < stop)
    both = (neuron >= first) & (neuron < tl.where(channels > 1, stop, first))
    mine = heard + b.to(tl.int64) * n_neurons
    now = tl.load(step) if UPDATE else tl.load(step + 1)
    events = tl.zeros([BLOCK], tl.float32)
    if UPDATE and POISSON:
        events = count_poisson(key, base, now, limits, n_thresholds, BLOCK)
    spikes = 0
    for _ in range(n_steps):
        if UPDATE:
            slot = ring + (now & mask) * n_inputs + neuron
            arrived = tl.load(slot, inside, 0, cache_modifier=".cg").to(tl.float32) * quantum
            tl.store(slot, 0, inside)
            second = tl.zeros([BLOCK], tl.float32)
            if CHANNELS > 1:
                second = tl.load(slot + n_neurons, both, 0, cache_modifier=".cg").to(tl.float32) * quantum
                tl.store(slot + n_neurons, 0, inside)
            if POISSON:
                events = tl.load(c + 5) * events
                to_first = tl.load(c + 6) == 0
                arrived = tl.where(to_first, arrived + events, arrived)
                second = tl.where(to_first, second, second + events)
            push = push_block(key, base, neuron, inside, now, c, current, CURRENT, NOISE, BLOCK)
            spiking = advance_block(
                variables, free_at, n_neurons, neuron, inside, kind, channels, c, arrived, second, push, now,
                KINDS,
            )  # fmt: skip
            spikes += _publish(
                spiking, lane, now, mail, more, b, n_blocks, record, recorded, room, base, BLOCK, RECORD
            )
            if DELIVER and POISSON:
                # Drawn while the other blocks' words are under way.
                events = count_poisson(key, base, now + 1, limits, n_thresholds, BLOCK)
        if DELIVER:
            found = _collect(mail, more, bases, mine, now, n_blocks, BLOCK, BLOCKS)
            _deliver(
                mine, found, b, population, base, starts, words, weights, tables, classes, ring, now,
                n_blocks, n_populations, n_neurons, n_inputs, mask, BLOCK, CHANNELS, STORED, SPIKES, WIDTH,
            )  # fmt: skip
            if EXTERNAL:
                place = external + now - external_origin
                early = tl.load(place)
                _deliver(
                    external_rows + early, tl.load(place + 1) - early, b, population, base, starts, words,
                    weights, tables, classes, ring, now, n_blocks, n_populations, n_neurons, n_inputs, mask,
                    BLOCK, CHANNELS, STORED, SPIKES, WIDTH,
                )  # fmt: skip
            # The next update reads with other threads what was added here.
            tl.debug_barrier()
        now += 1
    if UPDATE:
        tl.store(tally + b, tl.load(tally + b) + spikes)
    if b == 0:
        if UPDATE and DELIVER:
            tl.store(step, now)
        elif UPDATE:
            # Each launch reads one counter and writes the other: no program sees it change.
            tl.store(step + 1, now - 1)
        else:
            tl.store(step, now)
