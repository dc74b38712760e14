# Triton's functions are typed by its compiler.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
# ruff: noqa: SIM102
"""A rank's steps on its card: update with a bit for each neuron, list everybody's bits, deliver the list.

``clock`` holds the first step of the interval twice: updates and the list read the first, delivery reads the
second and then sets the first to the next interval. No kernel writes what its own programs read, and a
captured interval needs no argument.
"""

import triton
import triton.language as tl

from neuroai.simulation.gpu_kernels import update_block

__all__ = ["SOURCE_BITS", "deliver_kernel", "list_kernel", "update_kernel"]

#: Of a spike in a list, its source; above them its step within the interval, six bits below the sign.
SOURCE_BITS = 25
_SHIFT = tl.constexpr(SOURCE_BITS)
_SOURCE = tl.constexpr((1 << SOURCE_BITS) - 1)


@triton.jit(do_not_specialize=["offset", "n_neurons", "n_inputs", "mask", "n_thresholds"])
def update_kernel(
    blocks, coefficients, thresholds, variables, free_at, current, seed, ring, quantum, bits, count, tally,
    clock, offset, n_neurons, n_inputs, mask, n_thresholds,
    COEFFICIENTS: tl.constexpr, KINDS: tl.constexpr, POISSON: tl.constexpr, CURRENT: tl.constexpr,
    NOISE: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Step ``offset`` of the interval of one block; its spikes as bits, 32 neurons a word."""
    b, now = tl.program_id(0), tl.load(clock) + offset
    _, spiking = update_block(
        blocks + 6 * b, coefficients, thresholds, variables, free_at, current, seed, ring, quantum, now,
        n_neurons, n_inputs, mask, n_thresholds, COEFFICIENTS, KINDS, POISSON, CURRENT, NOISE, CHANNELS,
        BLOCK,
    )  # fmt: skip
    flags = tl.reshape(spiking.to(tl.int32), [BLOCK // 32, 32])
    words = tl.sum(flags << tl.arange(0, 32)[None, :], 1)
    tl.store(bits + b * (BLOCK // 32) + tl.arange(0, BLOCK // 32), words)
    found = tl.sum(spiking.to(tl.int32))
    if found > 0:
        tl.atomic_add(tally + b, found.to(tl.int64), sem="relaxed")
    if b == 0:
        tl.store(count, 0)


@triton.jit(do_not_specialize=["n_steps", "n_words", "n_ranks", "room"])
def list_kernel(
    bits, bases, spikes, count, clock, record, recorded, room, n_steps, n_words, n_ranks,
    WORDS: tl.constexpr, TILE: tl.constexpr, RECORD: tl.constexpr,
):  # fmt: skip
    """Append the spikes in words (ranks, steps, blocks times WORDS) to the list of the interval."""
    i = tl.program_id(0) * TILE + tl.arange(0, TILE)
    inside = i < n_ranks * n_steps * n_words
    word = tl.load(bits + i, inside, 0)
    flags = (word[:, None] >> tl.arange(0, 32)[None, :]) & 1
    counts = tl.sum(flags, 1)
    found = tl.sum(counts)
    now = tl.load(clock)
    if found > 0:
        block = (i // (n_steps * n_words)) * (n_words // WORDS) + (i % n_words) // WORDS
        first = tl.load(bases + block, inside, 0) + (i % WORDS) * 32
        source = first[:, None] + tl.arange(0, 32)[None, :]
        offset = ((i // n_words) % n_steps)[:, None] + source * 0
        place = (tl.cumsum(counts) - counts)[:, None] + tl.cumsum(flags, 1) - flags
        at = tl.atomic_add(count, found, sem="relaxed") + place
        tl.store(spikes + at, source | (offset << _SHIFT), flags == 1)
        if RECORD:
            at = tl.atomic_add(recorded, found, sem="relaxed") + place
            tl.store(record + at, now + offset, (flags == 1) & (at < room))
            tl.store(record + room + at, source, (flags == 1) & (at < room))
    if tl.program_id(0) == 0:
        tl.store(clock + 1, now)


@triton.jit(do_not_specialize=["n_inputs", "mask", "chunks", "n_steps"])
def deliver_kernel(
    spikes, count, indptr, targets, weights, delays, ring, clock, n_inputs, mask, chunks, n_steps,
    SPIKES: tl.constexpr, WIDTH: tl.constexpr, INSIDE: tl.constexpr,
):  # fmt: skip
    """Add the rows of the listed spikes to the ring, in tiles of SPIKES rows and WIDTH synapses.

    INSIDE an interval, before its end, spikes of external sources are delivered and the clock stands.
    """
    n = tl.load(count)
    now = tl.load(clock) if INSIDE else tl.load(clock + 1)
    pieces = ((n + SPIKES - 1) // SPIKES).to(tl.int64) * chunks
    for piece in range(tl.program_id(0), pieces, tl.num_programs(0)):
        i = (piece // chunks) * SPIKES + tl.arange(0, SPIKES)
        code = tl.load(spikes + i, i < n, 0)
        source = code & _SOURCE
        first = tl.load(indptr + source, i < n, 0) + (piece % chunks) * WIDTH
        last = tl.load(indptr + source + 1, i < n, 0)
        j = first[:, None] + tl.arange(0, WIDTH)[None, :]
        inside = j < last[:, None]
        step = now + (code >> _SHIFT)
        slot = (step[:, None] + tl.load(delays + j, inside, 1).to(tl.int32)) & mask
        place = slot.to(tl.int64) * n_inputs + tl.load(targets + j, inside, 0)
        tl.atomic_add(ring + place, tl.load(weights + j, inside, 0), inside, sem="relaxed")
    if not INSIDE:
        if tl.program_id(0) == 0:
            tl.store(clock, now + n_steps)
