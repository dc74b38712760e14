"""The learning step of a population, compiled."""

import numpy as np

from neuroai.dendrites.segments import Array
from neuroai_kernels.segment_memory import (
    Segments,
    create_segment,
    destroy_segment,
    draw_key,
    grow,
    jit,
    lowest_of_cell,
    reinforce,
)


@jit
def learn_pattern(
    seg: Segments,
    active: Array,
    is_active: Array,
    learners: Array,
    limits: tuple[int, int, int, int, int],
    steps: tuple[int, int, int],
    drop_least_recent: bool,
    keys: Array,
) -> int:
    """Reinforce and grow each learner's best matching segment, or make one; see `Population.learn`.

    ``limits`` are the least matching overlap, synapses of a new segment, segments a neuron may have, step
    number and seed of the draws; ``steps`` the initial permanence, up and down. Overlaps have been counted.
    """
    least, sample, most, now, salt = limits
    initial, up, down = steps
    best = _best_matching(seg, learners, least)
    created = 0
    for i in range(len(learners)):
        segment = best[i]
        n_new = sample
        if segment >= 0:
            n_new = sample - (seg.counts[segment] & 0xFFFF)
            reinforce(seg, segment, is_active, up, -down)
        elif len(active) >= least:
            if seg.n_segments[learners[i]] >= most:
                destroy_segment(seg, lowest_of_cell(seg, learners[i], drop_least_recent))
            segment = create_segment(seg, learners[i], now)
            created += 1
        else:
            continue
        seg.last_used[segment] = now
        grow(seg, segment, active, len(active), n_new, initial, draw_key(salt, learners[i]), keys)
        if seg.n_synapses[segment] < least:
            destroy_segment(seg, segment)
    return created


@jit
def _best_matching(seg: Segments, learners: Array, least: int) -> Array:
    """Place of the best matching segment of each learner (sorted), -1 if none; ties: lowest place."""
    best = np.full(len(learners), -1, np.int64)
    for i in range(seg.counters[3]):
        segment = seg.touched[i]
        count = seg.counts[segment] & 0xFFFF
        if count < least:
            continue
        at = np.searchsorted(learners, seg.cell[segment])
        if at == len(learners) or learners[at] != seg.cell[segment]:
            continue
        held = best[at]
        more = count - (seg.counts[held] & 0xFFFF) if held >= 0 else 1
        if more > 0 or (more == 0 and segment < held):
            best[at] = segment
    return best
