"""Cross-validation splits that never let repeats or neighbouring samples leak.

Every function yields ``(train, test)``: sorted int64 indices, disjoint, with each sample in exactly one test
part.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from neuroai_datasets.errors import DataError, LeakError

Indices = npt.NDArray[np.int64]
Split = tuple[Indices, Indices]


def kfold(n: int, k: int, *, groups: npt.ArrayLike | None = None, seed: int | None = None) -> Iterator[Split]:
    """K folds of near-equal size, samples of one group always together.

    Parameters
    ----------
    n : int
        Number of samples, at least ``k``.
    k : int
        Number of folds, at least 2.
    groups : array-like (n,), optional
        Label of each sample; samples that share a label never part.
    seed : int, optional
        Shuffle with ``numpy.random.default_rng(seed)``; without it folds are contiguous in order of
        appearance.

    Yields
    ------
    train, test : ndarray of int64
        Sorted indices.

    Raises
    ------
    DataError
        If there are fewer samples (or groups) than folds.

    Notes
    -----
    O(n log n) time, O(n) memory. Groups go, largest first, to the smallest fold.

    Examples
    --------
    >>> [test.tolist() for _, test in kfold(4, 2, groups=[0, 1, 1, 0])]
    [[0, 3], [1, 2]]
    """
    labels = np.arange(n) if groups is None else _labels(groups, n, "groups")
    if k < 2:
        raise DataError(f"k = {k}: at least 2 folds are needed")
    _, first, member, sizes = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    n_groups = len(first)
    if n_groups < k:
        what = "samples" if groups is None else "groups"
        raise DataError(f"{n_groups} {what} cannot fill {k} folds: use k <= {n_groups}")
    order = np.argsort(first, kind="stable")
    if seed is not None:
        order = np.random.default_rng(seed).permutation(order)
    fold_of_group = np.empty(n_groups, dtype=np.int64)
    if np.all(sizes == sizes[0]):
        for fold, part in enumerate(np.array_split(order, k)):
            fold_of_group[part] = fold
    else:
        load = np.zeros(k, dtype=np.int64)
        for group in sorted(order, key=lambda g: -sizes[g]):
            fold = int(np.argmin(load))
            fold_of_group[group] = fold
            load[fold] += sizes[group]
    fold_of_sample = fold_of_group[member]
    for fold in range(k):
        yield np.flatnonzero(fold_of_sample != fold), np.flatnonzero(fold_of_sample == fold)


def blocked(n: int, k: int, gap: int) -> Iterator[Split]:
    """K contiguous test blocks; ``gap`` samples on both sides of each block are left out of training.

    Parameters
    ----------
    n, k : int
        Samples and folds.
    gap : int
        Samples dropped from training before and after the test block: at least the longest delay plus the
        response's correlation length, in samples.

    Yields
    ------
    train, test : ndarray of int64

    Raises
    ------
    DataError
        If a fold would be left without training samples.

    Examples
    --------
    >>> [(a.tolist(), b.tolist()) for a, b in blocked(6, 2, gap=1)]
    [([4, 5], [0, 1, 2]), ([0, 1], [3, 4, 5])]
    """
    if not 2 <= k <= n:
        raise DataError(f"k = {k}: expected 2 <= k <= n = {n}")
    if gap < 0:
        raise DataError(f"gap = {gap}: expected 0 or more samples")
    everything = np.arange(n)
    for test in np.array_split(everything, k):
        train = everything[(everything < test[0] - gap) | (everything > test[-1] + gap)]
        if train.size == 0:
            raise DataError(
                f"gap = {gap} leaves no training samples with n = {n}, k = {k}: use a smaller gap"
            )
        yield train, test


def leave_one_run_out(runs: npt.ArrayLike) -> Iterator[Split]:
    """Each run is the test part once.

    Parameters
    ----------
    runs : array-like (n,)
        Run label of each sample.

    Yields
    ------
    train, test : ndarray of int64
        In sorted order of the run labels.

    Raises
    ------
    DataError
        If there is only one run.

    Examples
    --------
    >>> [test.tolist() for _, test in leave_one_run_out([1, 1, 2])]
    [[0, 1], [2]]
    """
    labels = _labels(runs, None, "runs")
    names = np.unique(labels)
    if len(names) < 2:
        raise DataError(
            f"leave_one_run_out needs at least 2 runs, found {len(names)}: use blocked(n, k, gap)"
        )
    for name in names:
        yield np.flatnonzero(labels != name), np.flatnonzero(labels == name)


def by_stimulus(stimulus_index: npt.ArrayLike, k: int, seed: int | None = None) -> Iterator[Split]:
    """K folds over stimuli: all presentations of one stimulus are in the same part.

    Parameters
    ----------
    stimulus_index : array-like (n,) of int
        Stimulus shown at each sample; samples without one (-1) count as one group.
    k : int
        Number of folds.
    seed : int, optional
        Shuffles stimuli.

    Yields
    ------
    train, test : ndarray of int64

    Examples
    --------
    >>> [test.tolist() for _, test in by_stimulus([5, 7, 5, 9], 3)]
    [[0, 2], [1], [3]]
    """
    index = _labels(stimulus_index, None, "stimulus_index")
    return kfold(len(index), k, groups=index, seed=seed)


def check_leaks(train: npt.ArrayLike, test: npt.ArrayLike, groups: npt.ArrayLike) -> None:
    """Raise when a sample or a group (stimulus, run) is on both sides of a split.

    Parameters
    ----------
    train, test : array-like of int
        Sample indices.
    groups : array-like (n,)
        Label of every sample of the recording.

    Raises
    ------
    LeakError
        Naming how many labels are shared, and the first samples that share one.

    Examples
    --------
    >>> check_leaks([0, 1], [2], groups=[3, 4, 5])
    """
    left, right, labels = np.asarray(train), np.asarray(test), np.asarray(groups)
    same = np.intersect1d(left, right)
    if same.size:
        raise LeakError(
            f"{same.size} samples are in train and in test, first {int(same[0])}: make the parts disjoint"
        )
    shared = np.intersect1d(labels[left], labels[right])
    if shared.size:
        label = shared[0]
        a = int(left[np.flatnonzero(labels[left] == label)[0]])
        b = int(right[np.flatnonzero(labels[right] == label)[0]])
        raise LeakError(
            f"{shared.size} groups are in train and in test, first {label!r} (train sample {a}, test sample "
            f"{b}): "
            "split with groups= or by_stimulus so that repeats stay together"
        )


def _labels(values: npt.ArrayLike, n: int | None, what: str) -> npt.NDArray[np.generic]:
    labels = np.asarray(values)
    if labels.ndim != 1 or (n is not None and len(labels) != n):
        expected = "one label a sample" if n is None else f"({n},)"
        raise DataError(f"{what} has shape {labels.shape}: expected {expected}")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise DataError(f"{what} holds NaN or Inf at sample {int(np.flatnonzero(~np.isfinite(labels))[0])}")
    return labels
