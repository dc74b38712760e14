# Triton's functions are typed by its compiler; static tests stand apart from run-time ones.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
# ruff: noqa: SIM102
"""The step of a network whose blocks of neurons own their inputs.

A program owns one block: its neurons' state, and their part of the ring. It updates them and sends every
program one word of 64 bits that says which of them spike; it waits for the words of all blocks and delivers,
of every spike, the synapses onto its own neurons. Nothing but those words passes between programs, and a
word carries its step, so that reading it is the barrier: one exchange a step, no fence, no shared counter.
Each program reads a mailbox of its own: waiting on shared words would make a queue at their memory.

The same program runs as two launches a step (UPDATE, then DELIVER) or as one launch for many steps
(UPDATE and DELIVER), when all programs are resident at the same time.
"""

import triton
import triton.language as tl

from neuroai_kernels.neuron_update.gpu import advance_block, count_poisson, push_block

__all__ = ["record_spikes", "step_kernel", "update_block"]

# A word: 15 bits of the step, 12 of the number of spikes, three places in the block of 12 bits. More places
# are written to a list that the readers look up.
_IDS = tl.constexpr(3)


@triton.jit
def update_block(
    block, c, variables, free_at, current, ring, quantum, events, key, now, n_neurons, n_inputs, mask,
    KINDS: tl.constexpr, POISSON: tl.constexpr, CURRENT: tl.constexpr, NOISE: tl.constexpr,
    CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One step of the neurons of a block, whose arrivals are read from the ring and cleared; which spike."""
    first, stop, channels = tl.load(block), tl.load(block + 1), tl.load(block + 4)
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
        events = tl.load(c + 5) * events
        to_first = tl.load(c + 6) == 0
        arrived = tl.where(to_first, arrived + events, arrived)
        second = tl.where(to_first, second, second + events)
    push = push_block(key, base, neuron, inside, now, c, current, CURRENT, NOISE, BLOCK)
    return advance_block(
        variables, free_at, n_neurons, neuron, inside, tl.load(block + 3), channels, c, arrived, second, push,
        now, KINDS,
    )  # fmt: skip


@triton.jit
def record_spikes(spiking, count, neuron, now, record, recorded, room, BLOCK: tl.constexpr):
    """Append the spikes of a block to the record of steps and neurons."""
    flags = spiking.to(tl.int32)
    at = tl.atomic_add(recorded, count, sem="relaxed") + tl.cumsum(flags) - flags
    tl.store(record + at, now + tl.zeros([BLOCK], tl.int32), spiking & (at < room))
    tl.store(record + room + at, neuron, spiking & (at < room))


@triton.jit
def _publish(
    spiking, lane, now, mail, more, b, n_blocks, record, recorded, room, base,
    BLOCK: tl.constexpr, BLOCKS: tl.constexpr, RECORD: tl.constexpr,
):  # fmt: skip
    """Tell all programs which neurons of this block spike; returns how many."""
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
            tl.store(more + ((now & 1) * n_blocks + b) * BLOCK + rank, lane, spiking)
            # The list is written before any reader can see the word.
            tl.debug_barrier()
            tl.atomic_add(recorded, 0, sem="acq_rel", scope="gpu")
            tl.debug_barrier()
    reader = tl.arange(0, BLOCKS)
    box = mail + ((now & 1) * n_blocks + reader) * BLOCKS + b
    tl.store(box, word + tl.zeros([BLOCKS], tl.int64), reader < n_blocks)
    if RECORD:
        if count > 0:
            record_spikes(spiking, count, base + lane, now, record, recorded, room, BLOCK)
    return count


@triton.jit
def _read_box(box, known, step):
    """Words; and in one number how many are missing, how many name a list, and the sum of spikes."""
    word = tl.load(box, known, 0, volatile=True)
    count = (word >> 36) & 0xFFF
    state = tl.where((word >> 48) != step, 1 << 40, count + tl.where(count > _IDS, 1 << 28, 0))
    return word, tl.sum(tl.where(known, state, 0))


@triton.jit
def _collect(mail, more, bases, heard, now, b, n_blocks, patience, BLOCK: tl.constexpr, BLOCKS: tl.constexpr):
    """Wait for the words of all blocks; write the sources that spike to ``heard``.

    Returns their number, and the patience that is left: 0 once words did not come.
    """
    other = tl.arange(0, BLOCKS)
    known = other < n_blocks
    box = mail + ((now & 1) * n_blocks + b) * BLOCKS + other
    step = (now & 0x7FFF).to(tl.int64)
    base = tl.load(bases + other, known, 0)
    word, state = _read_box(box, known, step)
    tries = 0
    while (state >= 1 << 40) & (tries < patience):
        word, state = _read_box(box, known, step)
        tries += 1
    patience = tl.where(state >= 1 << 40, 0, patience)
    # Where the vector is shorter than the program has threads, several threads hold copies of a word, and the
    # last look may have shown them different ones: all read again what has come.
    word = tl.load(box, known, 0, volatile=True)
    counts = tl.where(known, (word >> 36) & 0xFFF, 0).to(tl.int32)
    counts = tl.where(patience > 0, counts, 0)
    rank = tl.cumsum(counts) - counts
    short = tl.where(counts > _IDS, 0, counts)
    for j in tl.static_range(_IDS):
        tl.store(heard + rank + j, base + ((word >> (12 * j)) & 0xFFF).to(tl.int32), short > j)
    if state >= 1 << 28:
        listed = tl.where(counts > _IDS, counts, 0)
        for k in range(tl.max(listed)):
            at = more + ((now & 1) * n_blocks + other) * BLOCK + k
            tl.store(heard + rank + k, base + tl.load(at, listed > k, 0, volatile=True), listed > k)
    tl.debug_barrier()
    return tl.where(patience > 0, state & 0xFFFFFFF, 0).to(tl.int32), patience


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


@triton.jit
def _deliver(
    sources, n, b, population, base, starts, words, weights, tables, classes, ring, now,
    n_blocks, n_populations, n_neurons, n_inputs, mask,
    BLOCK: tl.constexpr, CHANNELS: tl.constexpr, STORED: tl.constexpr,
    SPIKES: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Add the synapses of the first ``n`` sources onto this block to its part of the ring."""
    # Whole tiles all along: a vector of sources would be read once by each warp.
    row = tl.arange(0, SPIKES)[:, None] + tl.zeros([SPIKES, WIDTH], tl.int32)
    column = tl.arange(0, WIDTH)[None, :] + tl.zeros([SPIKES, WIDTH], tl.int32)
    for start in range(0, n, SPIKES):
        there = start + row < n
        source = tl.load(sources + start + row, there, 0)
        segment = source.to(tl.int64) * (n_blocks + 1) + b
        first = tl.load(starts + segment, there, 0) + column
        last = tl.load(starts + segment + 1, there, 0)
        table = (tl.load(classes + source, there, 0) * n_populations + population) * CHANNELS * 512
        _add_chunk(
            first, last, table, tables, base, words, weights, ring, now, n_neurons, n_inputs, mask,
            BLOCK, STORED,
        )  # fmt: skip
        for skip in range(WIDTH, tl.max(tl.max(last - first + column, 1), 0), WIDTH):
            _add_chunk(
                first + skip, last, table, tables, base, words, weights, ring, now, n_neurons, n_inputs, mask,
                BLOCK, STORED,
            )  # fmt: skip


@triton.jit(
    do_not_specialize=[
        "room", "external_origin", "n_steps", "patience", "n_blocks", "n_populations", "n_neurons",
        "n_inputs", "mask", "n_thresholds",
    ]
)  # fmt: skip
def step_kernel(
    blocks, bases, coefficients, thresholds, variables, free_at, current, seed,
    starts, words, weights, tables, classes, ring, quantum,
    mail, more, heard, tally, record, recorded, room,
    external, external_rows, external_origin, step, n_steps, patience, failed,
    n_blocks, n_populations, n_neurons, n_inputs, mask, n_thresholds,
    COEFFICIENTS: tl.constexpr, KINDS: tl.constexpr, POISSON: tl.constexpr, CURRENT: tl.constexpr,
    NOISE: tl.constexpr, CHANNELS: tl.constexpr, STORED: tl.constexpr, EXTERNAL: tl.constexpr,
    RECORD: tl.constexpr, UPDATE: tl.constexpr, DELIVER: tl.constexpr,
    BLOCK: tl.constexpr, BLOCKS: tl.constexpr, SPIKES: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """``n_steps`` steps of one block; ``step`` holds the next step for UPDATE, then the same for DELIVER."""
    b = tl.program_id(0)
    block = blocks + 6 * b
    first, population = tl.load(block), tl.load(block + 2)
    c, key = coefficients + population * COEFFICIENTS, tl.load(seed).to(tl.uint64)
    limits = thresholds + population * n_thresholds
    base, lane = first // 4 * 4, tl.arange(0, BLOCK)
    mine = heard + b.to(tl.int64) * n_neurons
    now = tl.load(step) if UPDATE else tl.load(step + 1)
    events = tl.zeros([BLOCK], tl.float32)
    if UPDATE and POISSON:
        events = count_poisson(key, base, now, limits, n_thresholds, BLOCK)
    spikes = now * 0
    for _ in range(n_steps):
        if UPDATE:
            spiking = update_block(
                block, c, variables, free_at, current, ring, quantum, events, key, now,
                n_neurons, n_inputs, mask, KINDS, POISSON, CURRENT, NOISE, CHANNELS, BLOCK,
            )  # fmt: skip
            spikes += _publish(
                spiking, lane, now, mail, more, b, n_blocks, record, recorded, room, base,
                BLOCK, BLOCKS, RECORD,
            )  # fmt: skip
            if DELIVER and POISSON:
                # Drawn while the other blocks' words are under way.
                events = count_poisson(key, base, now + 1, limits, n_thresholds, BLOCK)
        if DELIVER:
            found, patience = _collect(mail, more, bases, mine, now, b, n_blocks, patience, BLOCK, BLOCKS)
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
        tl.atomic_add(tally + b, spikes.to(tl.int64), sem="relaxed")
    if DELIVER:
        if patience == 0:
            tl.store(failed, 1)
    if b == 0:
        if UPDATE and DELIVER:
            tl.store(step, now)
        elif UPDATE:
            # Each launch reads one counter and writes the other: no program sees it change.
            tl.store(step + 1, now - 1)
        else:
            tl.store(step, now)
