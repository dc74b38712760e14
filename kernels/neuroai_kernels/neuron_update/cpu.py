"""One step of all neurons, compiled: blocks that stay in the first-level cache, populations in turn.

``update_populations`` is for use inside other compiled loops; ``neuron_update_cpu`` is the primitive.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroai_kernels._numba import inlined, vector_jit
from neuroai_kernels.neuron_update import cpu_models
from neuroai_kernels.neuron_update.cpu_drive import add_noise, add_poisson, draw_words
from neuroai_kernels.neuron_update.table import PREFIX, TAG_POISSON, Kind, NeuronState, PopulationTable

__all__ = ["key_words", "neuron_update_cpu", "update_populations"]

BLOCK = 1024
_STRETCH = 64
_POISSON = np.uint64(TAG_POISSON)
_PREFIX = len(PREFIX)
_DELTA, _EXP, _ALPHA, _COBA = (int(k) for k in (Kind.LIF_DELTA, Kind.LIF_EXP, Kind.LIF_ALPHA, Kind.LIF_COBA))
_ALIF, _ADEX, _IZHIKEVICH, _HH = (int(k) for k in (Kind.ALIF, Kind.ADEX, Kind.IZHIKEVICH, Kind.HH))
# Places in the prefix, as constants of the compiled code.
_THRESHOLD, _RESET, _REFRACTORY, _DRIVE, _GAIN, _WEIGHT, _CHANNEL, _NOISE = range(_PREFIX)

Floats = NDArray[Any]
Ring = NDArray[Any]


@vector_jit
def update_populations(
    bounds: NDArray[np.int64],
    kinds: NDArray[np.int32],
    channels: NDArray[np.int32],
    coefficients: Floats,
    thresholds: NDArray[np.uint32],
    variables: Floats,
    free_at: NDArray[np.int32],
    slot: Ring,
    quantum: float,
    current: Floats,
    step: int,
    k0: np.uint64,
    k1: np.uint64,
    spikes: NDArray[np.int32],
    others: bool | None = True,
) -> int:
    """Advance every neuron by one step; returns the number of spikes, whose neurons fill ``spikes``.

    ``slot`` is the ring slot of this step, flat (channels * n), read and zeroed; integers are multiples of
    ``quantum``. ``current`` is empty or has one entry a neuron. With ``others`` None only the integrate-and-
    fire kinds are there: the rest is not even compiled, which takes as long again.
    """
    n, found = bounds[-1], 0
    arrived = np.empty((2, BLOCK), variables.dtype)
    scratch = np.empty((6, BLOCK), variables.dtype)
    words, angles = np.empty(BLOCK + 8, np.uint32), np.empty(BLOCK + 8, np.uint32)
    for p in range(len(kinds)):
        for start in range(bounds[p], bounds[p + 1], BLOCK):
            stop = min(start + BLOCK, bounds[p + 1])
            c, size = coefficients[p], stop - start
            for channel in range(channels[p]):
                _take(slot[channel * n + start : channel * n + stop], quantum, arrived[channel])
            if c[_WEIGHT] != 0:
                offset = draw_words(k0, k1, _POISSON, start, size, step, words)
                add_poisson(
                    words[offset:], thresholds[p], c[_WEIGHT], angles, arrived[int(c[_CHANNEL]), :size]
                )
            push = scratch[0, :size]
            _push(c[_DRIVE], c[_GAIN], current[start:stop], push)
            if c[_NOISE] != 0:
                add_noise(words, angles, k0, k1, start, step, c[_NOISE], push)
            free = free_at[start:stop]
            _integrate(kinds[p], channels[p], c, variables, start, stop, free, arrived, scratch, step, others)
            found = _find(kinds[p], c, variables, start, stop, free, scratch[1], step, spikes, found)
    return found


@inlined
def _take(slot: Ring, quantum: float, arrived: Floats) -> None:
    for i in range(len(slot)):
        arrived[i] = quantum * arrived.dtype.type(slot[i])
        slot[i] = 0


@inlined
def _push(drive: float, gain: float, current: Floats, push: Floats) -> None:
    if len(current) == 0:
        push[:] = drive
    else:
        for i in range(len(push)):
            push[i] = drive + gain * current[i]


@vector_jit
def _integrate(
    kind: int,
    channels: int,
    c: Floats,
    x: Floats,
    lo: int,
    hi: int,
    free_at: NDArray[np.int32],
    arrived: Floats,
    scratch: Floats,
    step: int,
    others: bool | None,
) -> None:
    push, own, now = scratch[0], c[_PREFIX:], np.int32(step)
    if kind == _DELTA:
        cpu_models.lif_delta(x, lo, hi, arrived, push, free_at, now, own)
    elif kind == _EXP:
        cpu_models.lif_exp(x, lo, hi, arrived, push, free_at, now, channels, own)
    elif kind == _ALPHA:
        cpu_models.lif_alpha(x, lo, hi, arrived, push, free_at, now, channels, own)
    elif kind == _COBA:
        cpu_models.lif_coba(x, lo, hi, arrived, push, free_at, now, own)
    elif others is not None:
        if kind == _ALIF:
            cpu_models.alif(x, lo, hi, arrived, push, scratch[1], c[_THRESHOLD], own)
        elif kind == _ADEX:
            cpu_models.adex(x, lo, hi, arrived, push, free_at, now, scratch[1], c[_THRESHOLD], own)
        elif kind == _IZHIKEVICH:
            cpu_models.izhikevich(x, lo, hi, arrived, push, own)
        elif kind == _HH:
            cpu_models.hh(x, lo, hi, arrived, push, scratch[1], scratch[2:], c[_THRESHOLD], own)


@inlined
def _find(
    kind: int,
    c: Floats,
    x: Floats,
    lo: int,
    hi: int,
    free_at: NDArray[np.int32],
    excess: Floats,
    step: int,
    spikes: NDArray[np.int32],
    found: int,
) -> int:
    """Neurons at threshold: most stretches of 64 have none, which one comparing loop tells."""
    v, threshold, now = x[0, lo:hi], c[_THRESHOLD], np.int32(step)
    if kind in (_ALIF, _HH):
        v, threshold = excess[: hi - lo], c.dtype.type(0)
    for first in range(0, hi - lo, _STRETCH):
        stretch, above = v[first : first + _STRETCH], np.int32(0)
        for i in range(len(stretch)):
            above += np.int32(stretch[i] >= threshold)
        if above == 0:
            continue
        for i in range(first, first + len(stretch)):
            if v[i] >= threshold and free_at[i] <= now:
                spikes[found] = lo + i
                found += 1
                free_at[i] = now + np.int32(1) + np.int32(c[_REFRACTORY])
                _fire(kind, c, x, lo + i)
    return found


@inlined
def _fire(kind: int, c: Floats, x: Floats, i: int) -> None:
    if kind == _ALIF:
        x[2, i] = 1
    elif kind != _HH:
        x[0, i] = c[_RESET]
    if kind == _ADEX:
        x[3, i] += c[_PREFIX + 10]
    elif kind == _IZHIKEVICH:
        x[1, i] += c[_PREFIX + 2]


def key_words(seed: int) -> tuple[np.uint64, np.uint64]:
    """Low and high word of the Philox key."""
    return np.uint64(seed & 0xFFFFFFFF), np.uint64((seed >> 32) & 0xFFFFFFFF)


def neuron_update_cpu(
    state: NeuronState, table: PopulationTable, arrivals: Tensor, step: int, seed: int, current: Tensor | None
) -> Tensor:
    """Neurons that spike, ascending; see :func:`neuroai_kernels.neuron_update.neuron_update`."""
    variables = state.variables.numpy()
    spikes = np.empty(variables.shape[1], np.int32)
    extra = np.empty(0, variables.dtype) if current is None else current.to(state.variables.dtype).numpy()
    found = update_populations(
        table.bounds.numpy(),
        table.kinds.numpy(),
        table.channels.numpy(),
        table.coefficients.numpy(),
        table.thresholds.numpy(),
        variables,
        state.free_at.numpy(),
        arrivals.reshape(-1).numpy(),
        variables.dtype.type(1),
        extra,
        step,
        *key_words(seed),
        spikes,
    )
    arrivals.zero_()  # of channels that no population reads, too
    return torch.from_numpy(spikes[:found].copy())
