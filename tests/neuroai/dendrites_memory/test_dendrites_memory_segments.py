"""Growing segments: the incremental index against plain numpy after random histories, and the rules."""

import numpy as np
import pytest

from neuroai.dendrites.permanences import to_units
from neuroai.dendrites.segments import SegmentStore
from neuroai.errors import CheckpointError, ConfigError
from neuroai_kernels import ShapeError, segment_memory
from neuroai_kernels.segment_memory.reference import drawn, reinforced, segment_counts


def make_store(**changes):
    settings = {"max_segments": 200, "max_synapses": 12, "connected": 0.5} | changes
    return SegmentStore(20, 60, **settings)


def grow(store, segment, sources, n_new, permanence=0.4, salt=7):
    sources = np.asarray(sources, np.int32)
    room = segment_memory.room_needed(store.arrays, sources, len(sources), 1)
    store.reserve(0, room)
    arrays, keys = store.arrays, np.zeros(60, np.int64)
    units = round(permanence * arrays.one)
    segment_memory.grow(arrays, segment, sources, len(sources), n_new, units, salt, keys)


def create(store, cell, now=0):
    store.reserve(1, 0)
    return segment_memory.create_segment(store.arrays, cell, now)


def random_history(seed, n_steps=400):
    rng = np.random.default_rng(seed)
    store = make_store(max_segments=2000)
    flags = np.zeros(60, np.uint8)
    live = []
    for step in range(n_steps):
        kind = rng.integers(10)
        if kind < 4 or not live:
            live.append(create(store, int(rng.integers(20)), step))
        segment = live[rng.integers(len(live))]
        if kind < 7:
            grow(store, segment, rng.choice(60, 8, replace=False), 5, rng.choice([0.3, 0.6]), step)
        elif kind < 9:
            flags[:] = rng.integers(0, 2, 60)
            up, down = round(0.15 * store.arrays.one), round(0.2 * store.arrays.one)
            segment_memory.reinforce(store.arrays, segment, flags, up, -down)
        else:
            segment_memory.destroy_segment(store.arrays, segment)
            live.remove(segment)
    return store, rng


@pytest.mark.parametrize("seed", range(4))
def test_event_counts_equal_the_reference_after_any_history(seed):
    store, rng = random_history(seed)
    for n_active in (0, 1, 17, 60):
        active = rng.choice(60, n_active, replace=False).astype(np.int32)
        segment_memory.count_overlaps(store.arrays, active, n_active, True)
        connected, potential = segment_counts(store.arrays, active)
        np.testing.assert_array_equal(store.arrays.counts >> 16, connected)
        np.testing.assert_array_equal(store.arrays.counts & 0xFFFF, potential)
        segment_memory.count_overlaps(store.arrays, active, n_active, False)
        np.testing.assert_array_equal(store.arrays.counts >> 16, connected)


def test_index_and_counters_are_consistent_after_a_history():
    store, _ = random_history(11, 1500)
    arrays = store.arrays
    listed = 0
    for source in range(60):
        start, length = arrays.list_start[source], arrays.list_length[source]
        for at, code in enumerate(arrays.entries[start : start + length]):
            segment, slot = code >> arrays.bits, code & ((1 << arrays.bits) - 1)
            assert arrays.cell[segment] >= 0
            assert slot < arrays.n_synapses[segment]
            assert arrays.presynaptic[segment, slot] == source
            assert arrays.position[segment, slot] == at
            is_connected = arrays.permanence[segment, slot] >= arrays.connected
            assert is_connected == (at < arrays.list_connected[source])
        listed += length
    live = arrays.cell >= 0
    assert listed == store.n_synapses == arrays.n_synapses[live].sum()
    assert store.n_segments == live.sum()
    np.testing.assert_array_equal(np.bincount(arrays.cell[live], minlength=20), arrays.n_segments)
    assert arrays.counters[2] <= len(arrays.entries)


def test_reinforce_follows_the_reference_and_removes_synapses_at_zero():
    store = make_store()
    segment = create(store, 3)
    grow(store, segment, range(10), 10, 0.1)
    flags = (np.arange(60) % 3 == 0).astype(np.uint8)
    one = store.arrays.one
    expected = reinforced(np.full(10, one // 10), flags[:10] == 1, one // 4, -one // 10, one)
    left = segment_memory.reinforce(store.arrays, segment, flags, one // 4, -one // 10)
    sources, values = store.synapses(segment)
    assert left == 4
    np.testing.assert_array_equal(sources, np.flatnonzero(expected))
    np.testing.assert_allclose(values, 0.35)


def test_growth_draws_what_the_reference_draws():
    store = make_store()
    segment = create(store, 0)
    grow(store, segment, range(20, 24), 4, salt=1)
    grow(store, segment, range(16, 40), 6, salt=5)
    sources, _ = store.synapses(segment)
    expected = drawn(np.arange(16, 40), np.arange(20, 24), 6, 5)
    np.testing.assert_array_equal(sources, np.sort(np.r_[expected, 20:24]))


def test_a_full_segment_loses_its_weakest_synapses_but_none_of_the_candidates():
    store = make_store()
    segment = create(store, 0)
    grow(store, segment, range(0, 4), 4, 0.2)
    grow(store, segment, range(4, 12), 8, 0.6)
    # 12 of 12 used; 0 and 1 are candidates again, so that 2 and 3 make room, then the lowest of the others.
    grow(store, segment, [0, 1, 50, 51, 52], 3, 0.3)
    np.testing.assert_array_equal(store.synapses(segment)[0], [0, 1, 5, 6, 7, 8, 9, 10, 11, 50, 51, 52])
    grow(store, segment, range(60), 12, 0.3, salt=9)
    assert len(store.synapses(segment)[0]) == 12


def test_draws_are_spread_evenly():
    counts = np.zeros(40)
    for salt in range(2000):
        counts[drawn(np.arange(40), np.array([], np.int64), 10, salt)] += 1
    # Binomial(2000, 1/4): sd 19.4; 40 draws stay within 4.5 sd.
    assert np.abs(counts - 500).max() < 4.5 * 19.4


@pytest.mark.parametrize(("forget", "kept"), [("least-useful", "strong"), ("least-recent", "new")])
def test_full_store_drops_by_its_rule(forget, kept):
    store = make_store(max_segments=32, forget=forget)
    for index in range(32):
        segment = create(store, index % 20, now=index)
        grow(store, segment, range(8), 8, 0.9 if index < 4 else 0.2)
    assert store.reserve(1, 0) == 2
    left = set(np.flatnonzero(store.arrays.cell >= 0).tolist())
    expected = {"strong": {4, 5}, "new": {0, 1}}[kept]
    assert left == set(range(32)) - expected


def test_lowest_of_a_cell_agrees_with_the_store():
    store, _ = random_history(5)
    for rule, by_use in (("least-useful", False), ("least-recent", True)):
        store.forget = rule
        for cell in range(20):
            expected = store.lowest(1, cell)
            found = segment_memory.lowest_of_cell(store.arrays, cell, by_use)
            assert found == (expected[0] if len(expected) else -1)


def test_state_restores_and_bad_states_are_refused():
    store, _ = random_history(2)
    other = make_store(max_segments=2000)
    other.restore(store.state())
    active = np.arange(0, 60, 2, dtype=np.int32)
    for one in (store, other):
        segment_memory.count_overlaps(one.arrays, active, 30, True)
    np.testing.assert_array_equal(store.arrays.counts, other.arrays.counts)
    np.testing.assert_array_equal(store.arrays.n_segments, other.arrays.n_segments)
    assert (other.n_segments, other.n_synapses) == (store.n_segments, store.n_synapses)
    state = store.state()
    live = int(np.flatnonzero(state["n_synapses"] > 1)[0])
    spoilt = {
        "cells": ("cell", live, 20),
        "inputs": ("presynaptic", (live, 0), 60),
        "repeated inputs": ("presynaptic", (live, 0), state["presynaptic"][live, 1]),
        "synapse counts": ("n_synapses", live, 13),
        "permanences": ("permanence", (live, 0), 60_001),
        "free places": ("cell", live, -1),
    }
    for message, (name, at, value) in spoilt.items():
        bad = {key: array.copy() for key, array in state.items()}
        bad[name][at] = value
        with pytest.raises(CheckpointError, match=message):
            other.restore(bad)
    with pytest.raises(CheckpointError, match="lack 'free'"):
        other.restore({key: array for key, array in state.items() if key != "free"})
    with pytest.raises(CheckpointError, match="int64"):
        other.restore(state | {"cell": state["cell"].astype(np.int64)})
    with pytest.raises(CheckpointError, match="lengths"):
        other.restore(state | {"last_used": state["last_used"][:-1]})
    assert other.n_segments == store.n_segments


def test_settings_out_of_range():
    for changes in ({"max_segments": 0}, {"max_synapses": 40_000}, {"forget": "oldest"}, {"connected": 0.0}):
        with pytest.raises(ConfigError):
            make_store(**changes)
    with pytest.raises(ShapeError, match="index codes"):
        segment_memory.allocate(1, 1, 2**25, 100, connected=1, one=200)
    with pytest.raises(ConfigError, match="at once"):
        make_store(max_segments=4).reserve(5, 0)
    with pytest.raises(ConfigError, match="does not exist"):
        make_store().synapses(3)


def test_fixed_point_is_exact_for_decimal_steps():
    for dtype in ("uint8", "uint16"):
        assert to_units(0.21, dtype, "x") + 3 * to_units(0.1, dtype, "x") > to_units(0.5, dtype, "x")
        assert 5 * to_units(0.1, dtype, "x") == to_units(0.5, dtype, "x")
    with pytest.raises(ConfigError, match="below half a unit"):
        to_units(0.001, "uint8", "x")
    with pytest.raises(ConfigError, match="expected a permanence"):
        to_units(1.5, "uint8", "x")
    with pytest.raises(ConfigError, match="uint8 or uint16"):
        to_units(0.5, "float32", "x")
