"""Compiled for the CPU: work in proportion to spikes times synapses of the neurons that spike.

`depress`, `potentiate` and `raise_traces` are compiled functions that a compiled time loop can call; a step
is the three in that order. Decay is looked up: a step's age is a whole number.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroai_kernels._numba import jit
from neuroai_kernels.event_matmul.index import SynapseIndex
from neuroai_kernels.stdp.moves import move_values, padded
from neuroai_kernels.stdp.rule import StdpRule, StdpTraces

__all__ = ["decay_table", "depress", "look_all_up", "look_up", "potentiate", "raise_traces", "stdp_step"]

Reals = NDArray[Any]
Steps = NDArray[np.int64]
Ids = NDArray[np.int32]

# A trace this many time constants old is below a rounding of double precision.
_FORGOTTEN = 37.0


@lru_cache(maxsize=64)
def decay_table(tau: float, period: float) -> NDArray[np.float64]:
    """Decay by age in steps: ``exp(-k period / tau)``, and 0 from 37 time constants on."""
    table: NDArray[np.float64] = np.exp(-np.arange(int(_FORGOTTEN * tau / period) + 2) * (period / tau))
    table[-1] = 0.0
    return table


@jit
def _decay(table: NDArray[np.float64], age: int) -> float:
    value: float = table[min(age, table.shape[0] - 1)]
    return value


@jit
def look_up(
    trace: Reals, last: Steps, table: NDArray[np.float64], step: int, neurons: Ids, now: Reals
) -> None:
    """Traces of some neurons at this step, written to ``now``."""
    for neuron in neurons:
        n = np.uint64(neuron)
        now[n] = trace[n] * _decay(table, step - last[n])


@jit
def look_all_up(trace: Reals, last: Steps, table: NDArray[np.float64], step: int, now: Reals) -> None:
    """Traces of all neurons at this step."""
    for n in range(len(trace)):
        now[n] = trace[n] * _decay(table, step - last[n])


@jit
def _move_row(
    weights: Reals,
    places: NDArray[Any] | None,
    partners: Ids,
    now: Reals,
    size: float,
    power: float,
    w_max: float,
) -> None:
    """Weights of one neuron's synapses, moved by the traces of their partners."""
    kind = weights.dtype.type
    amount, exponent, low, high = kind(size), kind(power), kind(0), kind(w_max)
    for k in range(len(partners)):
        place = np.uint64(k) if places is None else np.uint64(places[k])
        weight, change = weights[place], amount * now[np.uint64(partners[k])]
        if power == 1.0:
            change *= weight
        elif power != 0.0:
            change *= weight**exponent
        weights[place] = min(max(weight + change, low), high)


@jit
def _move_scattered_row(
    weights: Reals, places: NDArray[Any], partners: Ids, now: Reals, size: float, power: float, w_max: float
) -> None:
    """The same by way of a copy: powers take so long that no fetches would be underway beside them."""
    room = padded(len(places))
    values, traces = np.zeros(room, weights.dtype), np.zeros(room, weights.dtype)
    for k in range(len(places)):
        values[k], traces[k] = weights[np.uint64(places[k])], now[np.uint64(partners[k])]
    move_values(values, traces, room, size, power, w_max)
    for k in range(len(places)):
        weights[np.uint64(places[k])] = values[k]


@jit
def _move(
    weights: Reals,
    indptr: Steps,
    partners: Ids,
    places: NDArray[Any] | None,
    trace: Reals,
    last: Steps,
    table: NDArray[np.float64],
    step: int,
    spikes: Ids,
    n_spikes: int,
    size: float,
    power: float,
    w_max: float,
) -> None:
    """All rows of the neurons that spike; traces are looked up once where there are more visits than them."""
    visits = 0
    for s in range(n_spikes):
        visits += indptr[spikes[s] + 1] - indptr[spikes[s]]
    if visits == 0:
        return
    now, all_at_once = np.empty(len(trace), weights.dtype), visits > len(trace)
    if all_at_once:
        look_all_up(trace, last, table, step, now)
    for s in range(n_spikes):
        first, stop = indptr[spikes[s]], indptr[spikes[s] + 1]
        row = partners[first:stop]
        if not all_at_once:
            look_up(trace, last, table, step, row, now)
        if places is None:
            _move_row(weights[first:stop], None, row, now, size, power, w_max)
        elif power == 0.0 or power == 1.0:
            _move_row(weights, places[first:stop], row, now, size, power, w_max)
        else:
            _move_scattered_row(weights, places[first:stop], row, now, size, power, w_max)


@jit
def depress(
    weights: Reals,
    indptr: Steps,
    indices: Ids,
    post: Reals,
    post_step: Steps,
    table: NDArray[np.float64],
    step: int,
    spikes: Ids,
    n_spikes: int,
    size: float,
    power: float,
    w_max: float,
) -> None:
    """Depression by the spikes of sources: reads the traces of post spikes before this step."""
    _move(weights, indptr, indices, None, post, post_step, table, step, spikes, n_spikes, -size, power, w_max)


@jit
def potentiate(
    weights: Reals,
    indptr: Steps,
    sources: Ids,
    places: NDArray[Any],
    pre: Reals,
    pre_step: Steps,
    table: NDArray[np.float64],
    step: int,
    spikes: Ids,
    n_spikes: int,
    size: float,
    power: float,
    w_max: float,
) -> None:
    """Potentiation by the spikes of targets, through the synapses by target."""
    _move(weights, indptr, sources, places, pre, pre_step, table, step, spikes, n_spikes, size, power, w_max)


@jit
def raise_traces(
    trace: Reals, last: Steps, table: NDArray[np.float64], step: int, spikes: Ids, n_spikes: int
) -> None:
    """Decay the traces of neurons that spiked, and add 1."""
    for s in range(n_spikes):
        neuron = spikes[s]
        trace[neuron] = trace[neuron] * _decay(table, step - last[neuron]) + 1.0
        last[neuron] = step


def stdp_step(
    weights: Reals,
    synapses: SynapseIndex,
    traces: StdpTraces,
    pre: Ids,
    post: Ids,
    step: int,
    rule: StdpRule,
) -> None:
    """See `neuroai_kernels.stdp.stdp_step`; ``pre`` and ``post`` are lists of neurons."""
    plus, minus = (decay_table(tau, traces.period) for tau in (rule.tau_plus, rule.tau_minus))
    if len(pre):
        depress(
            weights, synapses.indptr.numpy(), synapses.indices.numpy(), traces.post.numpy(),
            traces.post_step.numpy(), minus, step, pre, len(pre), rule.a_minus, rule.mu_minus, rule.w_max,
        )  # fmt: skip
    if len(post):
        by_target = synapses.transposed
        potentiate(
            weights, by_target.indptr.numpy(), by_target.sources.numpy(), by_target.places.numpy(),
            traces.pre.numpy(), traces.pre_step.numpy(), plus, step, post, len(post), rule.a_plus,
            rule.mu_plus, rule.w_max,
        )  # fmt: skip
    raise_traces(traces.pre.numpy(), traces.pre_step.numpy(), plus, step, pre, len(pre))
    raise_traces(traces.post.numpy(), traces.post_step.numpy(), minus, step, post, len(post))
