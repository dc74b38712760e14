"""Which samples train and which test: from the name of a scheme to indices without leaks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuroai.errors import ConfigError
from neuroai_datasets.splits import Split, blocked, by_stimulus, check_leaks, kfold, leave_one_run_out

_FOLDS = 5
_HOLDOUT = 0.2
#: Contiguous blocks that stay together in the inner cross-validation of a single series.
_INNER_BLOCKS = 10


@dataclass(frozen=True)
class Folds:
    """Train and test rows of each fold.

    Parameters
    ----------
    splits : list of (train, test)
        Row indices.
    groups : int array of shape (n_samples,)
        Samples that stay together in the inner cross-validation as well.
    description : str
        One sentence for the methods section.
    """

    splits: list[Split]
    groups: NDArray[np.int64]
    description: str

    @property
    def tested(self) -> NDArray[np.int64]:
        """Rows that are predicted, in order."""
        return np.sort(np.concatenate([test for _, test in self.splits]))


def make_folds(
    cv: str,
    n_samples: int,
    *,
    stimulus: NDArray[np.int64] | None = None,
    runs: NDArray[np.int64] | None = None,
    gap: int = 0,
    seed: int = 0,
) -> Folds:
    """Make the folds of a scheme.

    Parameters
    ----------
    cv : str
        ``runs``, ``stimulus[:k]``, ``blocked[:k]``, ``random[:k]``, ``holdout[:fraction]``, a number k,
        or ``auto``: by stimulus for trials, leave one run out for several runs, blocked for one series.
    n_samples : int
        Number of samples.
    stimulus : int array of shape (n_samples,), optional
        Stimulus of each sample, for trials.
    runs : int array of shape (n_samples,), optional
        Run of each sample.
    gap : int
        Samples left out between training and test blocks of one series; random folds need 0.
    seed : int
        Shuffles stimuli and samples.

    Returns
    -------
    Folds

    Raises
    ------
    ConfigError
        If the recording has nothing to split by.
    DataError
        If there are fewer groups than folds, or random folds would part repeats of a stimulus.

    Examples
    --------
    >>> import numpy as np
    >>> make_folds("auto", 6, runs=np.array([0, 0, 1, 1, 2, 2])).description
    'leave one run out (3 runs)'
    """
    name, _, number = cv.partition(":")
    several = runs is not None and np.unique(runs).size > 1
    if name == "auto" or name.isdigit():
        number = name if name.isdigit() else ""
        name = "stimulus" if stimulus is not None else "runs" if several and not number else "blocked"
    k = int(number) if number.isdigit() else _FOLDS
    groups = _groups(n_samples, stimulus, runs if several else None)
    if name == "stimulus":
        if stimulus is None:
            raise ConfigError("cv = stimulus needs a recording of trials; use runs or blocked for a series")
        splits = list(by_stimulus(stimulus, k, seed))
        return Folds(
            splits, groups, f"{k}-fold over stimuli, shuffled with seed {seed}; repeats stay together"
        )
    if name == "runs":
        if runs is None or not several:
            raise ConfigError("cv = runs needs a recording of several runs; use blocked for one series")
        return Folds(
            list(leave_one_run_out(runs)), groups, f"leave one run out ({np.unique(runs).size} runs)"
        )
    if name == "random":
        if gap:
            raise ConfigError("cv = random would test on neighbours of training samples; use runs or blocked")
        splits = list(kfold(n_samples, k, seed=seed))
        if stimulus is not None:
            for train, test in splits:
                check_leaks(train, test, stimulus)
        return Folds(splits, groups, f"{k}-fold over samples, shuffled with seed {seed}")
    if name == "holdout":
        return _holdout(n_samples, float(number) if number else _HOLDOUT, groups, gap)
    told = f", {gap} samples left out on both sides" if gap else ""
    return Folds(list(blocked(n_samples, k, gap)), groups, f"{k} contiguous blocks{told}")


def _holdout(n_samples: int, fraction: float, groups: NDArray[np.int64], gap: int) -> Folds:
    start = n_samples - round(n_samples * fraction)
    if not gap < start < n_samples:
        raise ConfigError(
            f"a holdout of {fraction:g} leaves {max(start - gap, 0)} of {n_samples} samples for training"
        )
    rows = np.arange(n_samples)
    left = f", {gap} before them left out" if gap else ""
    told = f"the last {fraction:.0%} of the samples held out{left}"
    return Folds([(rows[: start - gap], rows[start:])], groups, told)


def _groups(
    n_samples: int, stimulus: NDArray[np.int64] | None, runs: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    if stimulus is not None:
        return stimulus
    if runs is not None:
        return runs
    return np.arange(n_samples) * _INNER_BLOCKS // n_samples
