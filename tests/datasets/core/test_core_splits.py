"""Splits and delays: properties that must hold for any input."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroai_datasets import (
    DataError,
    LeakError,
    blocked,
    by_stimulus,
    check_leaks,
    delay,
    kfold,
    leave_one_run_out,
)

LABELS = st.lists(st.integers(-1, 12), min_size=12, max_size=60)


def assert_partition(splits: list[tuple[np.ndarray, np.ndarray]], n: int) -> None:
    tests = np.concatenate([test for _, test in splits])
    assert sorted(tests.tolist()) == list(range(n))
    for train, test in splits:
        assert train.dtype == test.dtype == np.int64
        assert not set(train) & set(test)
        assert (np.diff(train) > 0).all()
        assert (np.diff(test) > 0).all()
        assert len(test)


@settings(deadline=None)
@given(n=st.integers(2, 200), k=st.integers(2, 10), seed=st.none() | st.integers(0, 100))
def test_kfold_partitions(n: int, k: int, seed: int | None) -> None:
    if k > n:
        with pytest.raises(DataError, match="cannot fill"):
            list(kfold(n, k, seed=seed))
        return
    splits = list(kfold(n, k, seed=seed))
    assert_partition(splits, n)
    assert all(len(train) + len(test) == n for train, test in splits)
    sizes = [len(test) for _, test in splits]
    assert max(sizes) - min(sizes) <= 1
    again = list(kfold(n, k, seed=seed))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(splits, again, strict=True))


def test_kfold_equals_sklearn_without_shuffling() -> None:
    from sklearn.model_selection import KFold

    for (_, ours), (_, theirs) in zip(kfold(103, 7), KFold(7).split(np.zeros(103)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@settings(deadline=None)
@given(labels=LABELS, k=st.integers(2, 5), seed=st.none() | st.integers(0, 100))
def test_groups_and_stimuli_never_part(labels: list[int], k: int, seed: int | None) -> None:
    if len(set(labels)) < k:
        with pytest.raises(DataError, match="groups cannot fill"):
            list(kfold(len(labels), k, groups=labels, seed=seed))
        return
    for splits in (list(kfold(len(labels), k, groups=labels, seed=seed)), list(by_stimulus(labels, k, seed))):
        assert_partition(splits, len(labels))
        for train, test in splits:
            check_leaks(train, test, labels)


@settings(deadline=None)
@given(labels=LABELS, data=st.data())
def test_every_planted_leak_is_found(labels: list[int], data: st.DataObject) -> None:
    if len(set(labels)) < 3:
        return
    train, test = next(by_stimulus(labels, 3, 0))
    # One more presentation of a stimulus that is in the test part, put into training.
    leaked = data.draw(st.sampled_from(test.tolist()))
    with pytest.raises(LeakError, match=r"1 groups are in train and in test"):
        check_leaks(np.append(train, len(labels)), test, [*labels, labels[leaked]])
    with pytest.raises(LeakError, match=f"first {leaked}"):
        check_leaks(np.append(train, leaked), test, labels)


@settings(deadline=None)
@given(n=st.integers(10, 300), k=st.integers(2, 6), gap=st.integers(0, 20))
def test_blocks_keep_their_distance(n: int, k: int, gap: int) -> None:
    largest = -(-n // k)
    if largest + 2 * gap >= n:  # some fold may lose all of its training samples
        return
    splits = list(blocked(n, k, gap))
    assert_partition(splits, n)
    for train, test in splits:
        assert (np.diff(test) == 1).all()
        assert np.abs(train[:, None] - test[None]).min() == gap + 1
        # Nothing further away was dropped.
        assert len(train) + len(test) + min(gap, test[0]) + min(gap, n - 1 - test[-1]) == n


def test_a_gap_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="leaves no training samples"):
        list(blocked(10, 2, gap=6))


def test_runs_are_left_out_one_by_one() -> None:
    runs = np.repeat([3, 1, 2], 5)
    splits = list(leave_one_run_out(runs))
    assert_partition(splits, 15)
    assert [int(runs[test][0]) for _, test in splits] == [1, 2, 3]
    for train, test in splits:
        check_leaks(train, test, runs)
    with pytest.raises(DataError, match="at least 2 runs"):
        list(leave_one_run_out([1, 1]))
    with pytest.raises(DataError, match="NaN"):
        list(leave_one_run_out([1.0, np.nan]))


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    p=st.integers(1, 4),
    delays=st.lists(st.integers(-4, 6), min_size=1, max_size=5),
    backend=st.sampled_from(["numpy", "torch"]),
)
def test_delays_stay_in_their_run(lengths: list[int], p: int, delays: list[int], backend: str) -> None:
    runs = np.repeat(np.arange(len(lengths)) % 2, lengths)
    borders = np.repeat(np.arange(len(lengths)), lengths)
    n = len(runs)
    x = np.arange(1, n * p + 1, dtype=np.float32).reshape(n, p)
    found = delay(x if backend == "numpy" else torch.from_numpy(x), delays, runs)
    if backend == "torch":
        assert isinstance(found, torch.Tensor)
    out = np.asarray(found)
    assert out.shape == (n, p * len(delays))
    assert out.dtype == np.float32
    for t in range(n):
        for i, d in enumerate(delays):
            inside = 0 <= t - d < n and borders[t - d] == borders[t]
            expected = x[t - d] if inside else np.zeros(p)
            assert out[t, i * p : (i + 1) * p].tolist() == expected.tolist()


def test_delay_defects() -> None:
    with pytest.raises(DataError, match="whole number"):
        delay(np.ones((3, 1)), [0.5])  # type: ignore[list-item]
    with pytest.raises(DataError, match="at least one"):
        delay(np.ones((3, 1)), [])
    with pytest.raises(DataError, match="each of 3 samples"):
        delay(np.ones((3, 1)), [1], runs=[0, 0])
    with pytest.raises(DataError, match="n_samples, n_features"):
        delay(np.ones((3, 1, 1)), [1])


def test_delay_of_odd_strides_equals_that_of_a_copy() -> None:
    x = np.arange(40.0).reshape(10, 4)[::-2, ::2]
    x.setflags(write=False)
    np.testing.assert_array_equal(delay(x, [0, 1, 2]), delay(x.copy(), [0, 1, 2]))
