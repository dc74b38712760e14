"""Cross-validation splits as index sets."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import KFold, LeaveOneOut, check_cv
from torch import Tensor

Rows = Tensor | slice


@dataclass(frozen=True)
class Fold:
    """One split.

    Attributes
    ----------
    train, test : Tensor of int64 or slice
        Row indices; slices where they are contiguous (views instead of copies).
    removed : Tensor of int64 or slice
        Rows that are not in ``train``.
    n_train, n_test, n_removed : int
        Their sizes.
    """

    train: Rows
    test: Rows
    removed: Rows
    n_train: int
    n_test: int
    n_removed: int


def as_rows(index: NDArray[np.int64], device: torch.device) -> Rows:
    """A slice if the indices are consecutive, else a tensor."""
    if len(index) and np.array_equal(index, np.arange(index[0], index[0] + len(index))):
        return slice(int(index[0]), int(index[0]) + len(index))
    return torch.as_tensor(index, device=device)


def resolve(
    cv: int | str | Any, n_samples: int, groups: Any, device: torch.device
) -> list[Fold] | Literal["loo"]:
    """Turn ``cv`` into folds, or "loo" for exact leave-one-out.

    Parameters
    ----------
    cv : int, "loo", splitter, or iterable of (train, test)
        An int is that many contiguous folds (``KFold`` without shuffling).
    n_samples : int
    groups : array (n_samples,), optional
        Given to the splitter (leave-one-run-out: ``LeaveOneGroupOut``).
    device : torch.device
        Where index tensors live.

    Raises
    ------
    ValueError
        For an unknown name, an empty train or test set, an index out of range, or a row in both.
    """
    if isinstance(cv, str):
        if cv != "loo":
            raise ValueError(f"cv={cv!r}: expected an int, 'loo', a splitter or (train, test) pairs")
        return "loo"
    if isinstance(cv, LeaveOneOut):
        return "loo"
    if isinstance(cv, int | np.integer) and not 2 <= cv <= n_samples:
        raise ValueError(
            f"cv={cv} folds for n_samples={n_samples}: expected between 2 and n_samples = {n_samples}"
        )
    splitter = KFold(int(cv)) if isinstance(cv, int | np.integer) else check_cv(cv)
    pairs: Iterable[tuple[Any, Any]] = splitter.split(np.zeros((n_samples, 1)), None, groups)
    folds = [_fold(number, train, test, n_samples, device) for number, (train, test) in enumerate(pairs)]
    if not folds:
        raise ValueError("cv yields no split: expected at least one (train, test) pair")
    return folds


def _fold(number: int, train: Any, test: Any, n_samples: int, device: torch.device) -> Fold:
    train_rows = _indices(train, n_samples, number)
    test_rows = _indices(test, n_samples, number)
    if not len(train_rows) or not len(test_rows):
        raise ValueError(
            f"cv split {number} has {len(train_rows)} training and {len(test_rows)} test rows: "
            "expected both > 0"
        )
    trained = np.zeros(n_samples, dtype=bool)
    trained[train_rows] = True
    if trained[test_rows].any():
        raise ValueError(f"cv split {number} has rows in both train and test: expected disjoint sets")
    removed = np.flatnonzero(~trained)
    return Fold(
        as_rows(train_rows, device),
        as_rows(test_rows, device),
        as_rows(removed, device),
        len(train_rows),
        len(test_rows),
        len(removed),
    )


def _indices(given: Any, n_samples: int, number: int) -> NDArray[np.int64]:
    index = np.asarray(given)
    index = np.flatnonzero(index) if index.dtype == bool else index.astype(np.int64).ravel()
    if len(index) and (index.min() < 0 or index.max() >= n_samples):
        worst = index.min() if index.min() < 0 else index.max()
        raise ValueError(f"cv split {number} refers to row {worst}: expected 0..{n_samples - 1}")
    chosen = np.zeros(n_samples, dtype=bool)
    chosen[index] = True
    return np.flatnonzero(chosen)


def is_partition(folds: list[Fold], n_samples: int) -> bool:
    """Whether the removed rows of all folds are disjoint and cover every row."""
    count = torch.zeros(n_samples, dtype=torch.int64)
    for fold in folds:
        index = fold.removed
        count[index if isinstance(index, slice) else index.cpu()] += 1
    return bool((count == 1).all())
