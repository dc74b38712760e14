"""Plastic steps on a CPU whose potentiations wait until a row is read: no weight is fetched out of order.

A step is `arrive` for the sources that spike, `raise_traces` of theirs, `wait` for the targets that spike,
`raise_traces` of theirs, in that order; `catch_up_all` brings all weights up to date. A synapse of a source
that spiked last at step s awaits the spikes of its target from s on; one at s itself met the source's trace
as it was before it rose.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroai_kernels._numba import fetch_ahead, jit
from neuroai_kernels.event_matmul.index import SynapseIndex
from neuroai_kernels.stdp.cpu import decay_table, look_all_up, look_up, raise_traces
from neuroai_kernels.stdp.moves import move_values, padded
from neuroai_kernels.stdp.rule import StdpRule, StdpTraces

__all__ = ["amounts_of", "arrive", "catch_up", "catch_up_all", "stdp_step", "wait", "waiting_table"]

Reals = NDArray[Any]
Steps = NDArray[np.int64]
Ids = NDArray[np.int32]
Table = NDArray[np.float64]

_LINE = 16  # indices in a line of the cache


@lru_cache(maxsize=64)
def waiting_table(tau: float, period: float) -> Table:
    """Decay by 1 + age in steps: 0 at -1, for spikes that do not wait; -1 marks a spike of the same step."""
    return np.concatenate([[0.0, -1.0], decay_table(tau, period)[1:]])


@jit
def _traces_then(
    spikes: Ids, count: int, last: int, before: float, after: float, table: Table, then: Reals
) -> None:
    """A source's trace at the time of spikes of targets; 0 for those before its own last, which do not wait.

    Loops apart: together, the bounds of an age would be branches, half of them mistaken.
    """
    since, oldest = np.int32(last), np.int32(len(table) - 2)
    for k in range(count):
        spikes[k] = max(min(np.int32(spikes[k] - since), oldest), np.int32(-1)) + 1
    for k in range(count):
        then[k] = after * table[np.uint64(spikes[k])]
    for k in range(count):
        then[k] = before if then[k] < 0.0 else then[k]


@jit
def _read_row(
    weights: Reals, indices: Ids, first: int, stop: int, following: int, last: int, steps: Ids, lists: Ids,
    spikes: Ids, now: Reals | None, arrived: Reals,
) -> int:  # fmt: skip
    """The latest spike of each target; lists the synapses that await one more; fetches the next row."""
    latest, second, count, since = steps[0], steps[1], 0, np.int32(last)
    for k in range(stop - first):
        if k % _LINE == 0:
            fetch_ahead(weights, following + k)
            fetch_ahead(indices, following + k)
        target = np.uint64(indices[first + k])
        spikes[0, k] = latest[target]
        if now is not None:
            arrived[k] = now[target]
        lists[1, np.uint64(count)], spikes[1, np.uint64(count)] = k, second[target]
        count += second[target] >= since
    return count


@jit
def _list_deeper(lists: Ids, spikes: Ids, depth: int, count: int, row: Ids, last: int, steps: Ids) -> int:
    """Of the synapses listed at the depth above, those that await the spike of this depth too."""
    found, since = 0, np.int32(last)
    for p in range(count):
        k = lists[depth - 1, p]
        spike = steps[depth, np.uint64(row[np.uint64(k)])]
        lists[depth, np.uint64(found)], spikes[depth, np.uint64(found)] = k, spike
        found += spike >= since
    return found


@jit
def _catch_up_row(
    weights: Reals, indices: Ids, first: int, stop: int, following: int, last: int, trace: float,
    table: Table, steps: Ids, amounts: Table, now: Reals | None, lists: Ids, spikes: Ids, values: Reals,
    latest: Reals, chosen: Reals, then: Reals, arrived: Reals,
) -> None:  # fmt: skip
    """Potentiate a row by the spikes that wait, the earliest first; depress it by the traces ``now``."""
    size, power, w_max = amounts[0], amounts[2], amounts[4]
    before, after, depth = max(trace - 1.0, 0.0), trace, 1
    counts = np.zeros(len(steps) + 1, np.int64)
    row = indices[first:stop]
    for k in range(len(row)):
        values[k] = weights[first + k]
    counts[1] = _read_row(weights, indices, first, stop, following, last, steps, lists, spikes, now, arrived)
    _traces_then(spikes[0], len(row), last, before, after, table, latest)
    while counts[depth] > 0 and depth + 1 < len(steps):
        depth += 1
        counts[depth] = _list_deeper(lists, spikes, depth, counts[depth - 1], row, last, steps)
    for d in range(depth, 0, -1):
        for p in range(counts[d]):
            chosen[p] = values[np.uint64(lists[d, p])]
        _traces_then(spikes[d], counts[d], last, before, after, table, then)
        move_values(chosen, then, padded(counts[d]), size, power, w_max)
        for p in range(counts[d]):
            values[np.uint64(lists[d, p])] = chosen[p]
    move_values(values, latest, padded(len(row)), size, power, w_max)
    if now is not None:
        move_values(values, arrived, padded(len(row)), -amounts[1], amounts[3], w_max)
    for k in range(len(row)):
        weights[first + k] = values[k]


@jit
def _catch_up(
    weights: Reals, indptr: Steps, indices: Ids, pre: Reals, pre_step: Steps, since: Table,
    post: Reals | None, post_step: Steps, table: Table, steps: Ids, step: int, spikes: Ids, n_spikes: int,
    amounts: Table,
) -> None:  # fmt: skip
    visits, longest = 0, 0
    for s in range(n_spikes):
        row_length = indptr[spikes[s] + 1] - indptr[spikes[s]]
        visits, longest = visits + row_length, max(longest, row_length)
    room = padded(longest)
    lists, read = np.empty((len(steps), longest), np.int32), np.empty((len(steps), longest), np.int32)
    # Allocated apart: loops over parts of one array would not become vectors.
    values, latest = np.zeros(room, weights.dtype), np.zeros(room, weights.dtype)
    arrived = np.zeros(room, weights.dtype)
    chosen, then = np.zeros(room, weights.dtype), np.zeros(room, weights.dtype)
    now: Any = None if post is None else np.empty(len(post), weights.dtype)
    if post is not None and visits > len(post):
        look_all_up(post, post_step, table, step, now)
    for s in range(n_spikes):
        i = spikes[s]
        first, stop, following = indptr[i], indptr[i + 1], indptr[spikes[min(s + 1, n_spikes - 1)]]
        if post is not None and visits <= len(post):
            look_up(post, post_step, table, step, indices[first:stop], now)
        if pre[i] > 0 or post is not None:
            _catch_up_row(
                weights, indices, first, stop, following, pre_step[i], pre[i], since, steps, amounts, now,
                lists, read, values, latest, chosen, then, arrived,
            )  # fmt: skip


@jit
def arrive(
    weights: Reals, indptr: Steps, indices: Ids, pre: Reals, pre_step: Steps, since: Table, post: Reals,
    post_step: Steps, table: Table, steps: Ids, step: int, spikes: Ids, n_spikes: int, amounts: Table,
) -> None:  # fmt: skip
    """Rows of sources that spike: potentiation by the spikes that wait, then depression.

    ``since`` is the `waiting_table` of sources, ``table`` the decay of targets' traces; ``amounts`` are
    a_plus, a_minus, mu_plus, mu_minus and w_max.
    """
    _catch_up(
        weights, indptr, indices, pre, pre_step, since, post, post_step, table, steps, step, spikes, n_spikes,
        amounts,
    )  # fmt: skip


@jit
def catch_up(
    weights: Reals, indptr: Steps, indices: Ids, pre: Reals, pre_step: Steps, since: Table, steps: Ids,
    spikes: Ids, n_spikes: int, amounts: Table,
) -> None:  # fmt: skip
    """Rows of some sources: potentiation alone."""
    _catch_up(
        weights,
        indptr,
        indices,
        pre,
        pre_step,
        since,
        None,
        pre_step,
        since,
        steps,
        0,
        spikes,
        n_spikes,
        amounts,
    )


@jit
def _catch_up_target(
    target: int, weights: Reals, indptr: Steps, sources: Ids, places: NDArray[Any], pre: Reals,
    pre_step: Steps, since: Table, steps: Ids, amounts: Table,
) -> None:  # fmt: skip
    """Potentiation of all synapses of one target, and none of its spikes waits any more."""
    spike, (value, then) = np.empty(1, np.int32), np.empty((2, 1), weights.dtype)
    for e in range(indptr[target], indptr[target + 1]):
        i, place, depth = sources[e], places[e], 0
        while pre[i] > 0 and depth < len(steps) and steps[depth, target] >= pre_step[i]:
            depth += 1
        value[0] = weights[place]
        for d in range(depth - 1, -1, -1):
            spike[0] = steps[d, target]
            _traces_then(spike, 1, pre_step[i], max(pre[i] - 1.0, 0.0), pre[i], since, then)
            move_values(value, then, 1, amounts[0], amounts[2], amounts[4])
        weights[place] = value[0]
    steps[:, target] = -1


@jit
def _first_awaited(pre: Reals, pre_step: Steps) -> int:
    """No synapse awaits a spike before this step."""
    first = np.iinfo(np.int64).max
    for i in range(len(pre)):
        if pre[i] > 0:
            first = min(first, pre_step[i])
    return first


@jit
def wait(
    weights: Reals, indptr: Steps, sources: Ids, places: NDArray[Any], pre: Reals, pre_step: Steps,
    since: Table, steps: Ids, step: int, spikes: Ids, n_spikes: int, amounts: Table,
) -> None:  # fmt: skip
    """Spikes of targets wait; where one too many would, its target's synapses catch up."""
    awaited = -1
    for s in range(n_spikes):
        target, deepest = spikes[s], len(steps) - 1
        if steps[deepest, target] >= 0:
            if awaited < 0:
                awaited = _first_awaited(pre, pre_step)
            if steps[deepest, target] >= awaited:
                _catch_up_target(
                    target, weights, indptr, sources, places, pre, pre_step, since, steps, amounts
                )
        for d in range(deepest, 0, -1):
            steps[d, target] = steps[d - 1, target]
        steps[0, target] = step


def amounts_of(rule: StdpRule) -> Table:
    """What the compiled functions take of a rule."""
    return np.array([rule.a_plus, rule.a_minus, rule.mu_plus, rule.mu_minus, rule.w_max])


def catch_up_all(
    weights: Reals, synapses: SynapseIndex, traces: StdpTraces, steps: Ids, rule: StdpRule
) -> None:
    """See `neuroai_kernels.stdp.catch_up`."""
    pre, pre_step = traces.pre.numpy(), traces.pre_step.numpy()
    catch_up(
        weights, synapses.indptr.numpy(), synapses.indices.numpy(), pre, pre_step,
        waiting_table(rule.tau_plus, traces.period), steps, np.arange(len(pre), dtype=np.int32), len(pre),
        amounts_of(rule),
    )  # fmt: skip
    steps[:] = -1


def stdp_step(
    weights: Reals, synapses: SynapseIndex, traces: StdpTraces, steps: Ids, pre: Ids, post: Ids, step: int,
    rule: StdpRule,
) -> None:  # fmt: skip
    """See `neuroai_kernels.stdp.stdp_step`; ``pre`` and ``post`` are lists of neurons."""
    plus, minus = (decay_table(tau, traces.period) for tau in (rule.tau_plus, rule.tau_minus))
    since, amounts = waiting_table(rule.tau_plus, traces.period), amounts_of(rule)
    pre_trace, pre_step = traces.pre.numpy(), traces.pre_step.numpy()
    post_trace, post_step = traces.post.numpy(), traces.post_step.numpy()
    if len(pre):
        arrive(
            weights, synapses.indptr.numpy(), synapses.indices.numpy(), pre_trace, pre_step, since,
            post_trace, post_step, minus, steps, step, pre, len(pre), amounts,
        )  # fmt: skip
        raise_traces(pre_trace, pre_step, plus, step, pre, len(pre))
    if len(post):
        back = synapses.transposed
        wait(
            weights, back.indptr.numpy(), back.sources.numpy(), back.places.numpy(), pre_trace, pre_step,
            since, steps, step, post, len(post), amounts,
        )  # fmt: skip
        raise_traces(post_trace, post_step, minus, step, post, len(post))
