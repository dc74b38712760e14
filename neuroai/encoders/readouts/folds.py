"""Inner folds of the training rows: groups stay together, however few there are."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neuroai.errors import ConfigError
from neuroai_datasets.splits import Split, kfold


def inner_folds(n: int, k: int, groups: npt.NDArray[Any] | None, seed: int | None = None) -> list[Split]:
    """At most ``k`` folds of ``n`` rows as (train, test); rows of one group stay together.

    Fewer groups than ``k`` give one fold a group. A single group cannot be held out: its rows are split into
    contiguous blocks instead, so that neighbours in time stay together.

    Raises
    ------
    ConfigError
        ``k`` is below 2, or there are fewer rows than that.

    Examples
    --------
    >>> [test.tolist() for _, test in inner_folds(4, 5, np.array([0, 0, 1, 1]))]
    [[0, 1], [2, 3]]
    """
    if k < 2 or n < 2:
        raise ConfigError(f"cv={k} with {n} training samples; expected at least 2 folds and 2 samples.")
    labels = None if groups is None else np.unique(groups, return_inverse=True)[1]
    if labels is None or labels.max() == 0:
        return list(kfold(n, min(k, n), seed=seed if labels is None else None))
    return list(kfold(n, min(k, int(labels.max()) + 1), groups=labels, seed=seed))


def held_out_groups(groups: npt.NDArray[Any] | None, device: torch.device) -> list[Tensor] | None:
    """Rows that are held out together, or None when each row is on its own.

    A single group is split into five contiguous blocks.
    """
    if groups is None:
        return None
    _, member = np.unique(groups, return_inverse=True)
    if member.max() == 0 and len(member) > 1:
        parts = [test for _, test in inner_folds(len(member), 5, None)]
    elif member.max() + 1 == len(member):
        return None
    else:
        order = np.argsort(member, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(member[order])) + 1)
    return [torch.from_numpy(np.asarray(rows)).to(device) for rows in parts]


def ridge_splits(cv: Any, n: int, groups: npt.NDArray[Any] | None) -> Any:
    """What :class:`neuroai.encoders.RidgeCV` takes as ``cv``: folds that keep groups together, or "loo".

    Raises
    ------
    ConfigError
        Leave-one-out while several rows share a group: their repeats would stay in training.
    """
    if cv != "loo":
        return inner_folds(n, int(cv), groups)
    if groups is not None and len(np.unique(groups)) < n:
        raise ConfigError(
            f"cv='loo' leaves single rows out, but {n} rows share {len(np.unique(groups))} groups; use "
            "folds, such as cv=5."
        )
    return "loo"
