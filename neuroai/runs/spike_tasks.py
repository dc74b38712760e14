"""Two recordings as prediction tasks with fixed inputs, splits and scores: one protocol for all models.

Every model is judged by a function of training and test indices, so that a linear baseline and a transformer
are compared on exactly the same samples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neuroai.errors import ConfigError
from neuroai.neuroformer.metrics import bits_per_spike
from neuroai_datasets.loading import load
from neuroai_datasets.splits import blocked, kfold

__all__ = ["ContrastTask", "PositionTask", "contrast_task", "position_task"]

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Fold = tuple[Indices, Indices]
#: ``model(train, test)``: fit on the samples ``train``, predict those of ``test``.
Model = Callable[[Indices, Indices], Array]
Splits = Literal["random", "blocked"]

SESSIONS = ("1", "2", "4")
_BIN, _SPEED, _SMOOTH = 0.25, 20.0, 15


@dataclass(frozen=True)
class ContrastTask:
    """Visual cortex over trials with gratings on both sides (``steinmetz_visual``).

    Parameters
    ----------
    counts : int array (n_trials, n_bins, n_units)
        10 ms bins from the onset of the gratings.
    period : float
        Seconds a bin.
    contrast_left, contrast_right : array (n_trials,)
        0 to 1.
    feedback : array (n_trials,)
        +1 reward, -1 penalty.
    folds : sequence of (train, test)
        Over all trials, for spike prediction.
    side_trials : int array (n_side,)
        Trials of unequal contrast.
    side : bool array (n_side,)
        Whether the right grating had the higher contrast.
    side_folds : sequence of (train, test)
        Numbers of *trials* (not positions within ``side_trials``), for decoding of the side.
    """

    counts: NDArray[np.int64]
    period: float
    contrast_left: Array
    contrast_right: Array
    feedback: Array
    folds: Sequence[Fold]
    side_trials: Indices
    side: NDArray[np.bool_]
    side_folds: Sequence[Fold]

    def null_rates(self, train: Indices) -> Array:
        """Mean count a bin of each unit over the trials ``train``, with one spike added to each.

        The added spike keeps a unit that is silent in training from having an infinitely unlikely spike.
        """
        rates: Array = (self.counts[train].sum(axis=(0, 1)) + 1.0) / (len(train) * self.counts.shape[1])
        return rates

    def bits_per_spike(self, model: Model) -> tuple[float, list[float]]:
        """Score predicted rates over all folds.

        Parameters
        ----------
        model : callable
            ``model(train, test)`` gives expected counts (len(test), n_bins, n_units).

        Returns
        -------
        joined : float
            Gain of all test spikes over :meth:`null_rates`, in bits a spike.
        by_fold : list of float
        """
        scores, weights = [], []
        for train, test in self.folds:
            null = self.null_rates(train)
            scores.append(bits_per_spike(self.counts[test], model(train, test), null_rates=null))
            weights.append(float(self.counts[test].sum()))
        return float(np.average(scores, weights=weights)), scores

    def side_accuracy(self, model: Model) -> tuple[float, list[float]]:
        """Score decoded sides: the mean of the folds' accuracies, and each fold's.

        Parameters
        ----------
        model : callable
            ``model(train, test)`` gives one number a test trial, above 0 (or True) for right.
        """
        truth = np.zeros(len(self.counts), dtype=np.bool_)
        truth[self.side_trials] = self.side
        scores = []
        for train, test in self.side_folds:
            said = np.asarray(model(train, test), dtype=np.float64) > 0
            scores.append(float((said == truth[test]).mean()))
        return float(np.mean(scores)), scores


@dataclass(frozen=True)
class PositionTask:
    """Place cells of a rat that runs on a track (``hippocampus_linear_track``).

    Parameters
    ----------
    counts : int array (n_bins, n_units)
        250 ms bins over all the time the animal was tracked, rest included: history reaches over gaps.
    period : float
        Seconds a bin.
    start : float
        Seconds of the first bin's opening edge.
    position : array (n_bins, 2)
        Pixels at the middle of each bin: frames joined over losses, smoothed by 15 frames.
    running : int array (n_running,)
        Bins with a speed above 20 pixels a second: those that are trained and tested on.
    folds : sequence of (train, test)
        Numbers of bins, all running.
    """

    counts: NDArray[np.int64]
    period: float
    start: float
    position: Array
    running: Indices
    folds: Sequence[Fold]

    def median_error(self, model: Model) -> tuple[float, list[float]]:
        """Score decoded positions.

        Parameters
        ----------
        model : callable
            ``model(train, test)`` gives positions (len(test), 2) in pixels.

        Returns
        -------
        joined : float
            Median distance over all test bins, pixels.
        by_fold : list of float
        """
        errors = [
            np.linalg.norm(model(train, test) - self.position[test], axis=1) for train, test in self.folds
        ]
        return float(np.median(np.concatenate(errors))), [float(np.median(part)) for part in errors]


def contrast_task(session: str = "1", *, splits: Splits = "random", seed: int = 0) -> ContrastTask:
    """Trials of one session, five folds.

    Parameters
    ----------
    session : str
        ``"1"``, ``"2"`` or ``"4"``.
    splits : {"random", "blocked"}
        Folds of trials at random (side folds keep the proportion of sides), or contiguous in time.
    seed : int
        Of the random folds.

    Returns
    -------
    ContrastTask

    Raises
    ------
    ConfigError
        For another session or kind of folds.

    Notes
    -----
    Random folds with seed 0 are scikit-learn's ``KFold`` and ``StratifiedKFold`` (shuffled, ``random_state``
    0), on which the side-decoding baselines of the data's description rest. No window crosses a trial, so
    random folds share no spikes; slow drifts of excitability reach both sides, which blocked folds show.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    if session not in SESSIONS:
        raise ConfigError(f"found session {session!r}; there are: {', '.join(SESSIONS)}")
    responses = load("steinmetz_visual", session=session, counts="bins").responses
    assert responses is not None  # the reader gives counts
    trial = np.asarray(responses["trial"].values)
    n_trials = int(trial[-1]) + 1
    counts = np.asarray(responses.values, dtype=np.int64).reshape(n_trials, len(trial) // n_trials, -1)
    first = slice(None, None, counts.shape[1])
    left, right, feedback = (
        np.asarray(responses[name].values[first], dtype=np.float64)
        for name in ("contrast_left", "contrast_right", "feedback")
    )
    chosen = np.flatnonzero(left != right)
    side = right[chosen] > left[chosen]
    if splits == "random":
        folds = list(KFold(5, shuffle=True, random_state=seed).split(counts))
        found = StratifiedKFold(5, shuffle=True, random_state=seed).split(chosen, side)
    elif splits == "blocked":
        folds, found = list(kfold(n_trials, 5)), kfold(len(chosen), 5)
    else:
        raise ConfigError(f"found splits={splits!r}; there are: random, blocked")
    side_folds = [(chosen[train], chosen[test]) for train, test in found]
    return ContrastTask(
        counts, float(responses.attrs["period"]), left, right, feedback, folds, chosen, side, side_folds
    )


def position_task(*, splits: Splits = "blocked", gap: int = 0, seed: int = 0) -> PositionTask:
    """Running bins, five folds.

    Parameters
    ----------
    splits : {"blocked", "random"}
        Contiguous test blocks, or bins at random (neighbouring bins of the same lap on both sides: a leak,
        offered to show its size).
    gap : int
        Running bins left out of training on both sides of a test block.
    seed : int
        Of the random folds.

    Returns
    -------
    PositionTask

    Raises
    ------
    ConfigError
        For another kind of folds.
    """
    from scipy.ndimage import gaussian_filter1d

    recording = load("hippocampus_linear_track")
    spikes, track = recording.spikes, recording.behaviour["position"]
    assert spikes is not None  # the reader gives spikes
    times, xy = np.asarray(track["time"].values), np.asarray(track.values, dtype=np.float64)
    seen = np.isfinite(xy[:, 0])
    joined = np.stack([np.interp(times, times[seen], xy[seen, axis]) for axis in range(2)], axis=1)
    smooth = gaussian_filter1d(joined, _SMOOTH, axis=0)
    start = float(times[0])
    counts = spikes.bin(_BIN, start, float(times[-1])).astype(np.int64)
    middle = start + _BIN * (np.arange(len(counts)) + 0.5)
    position = np.stack([np.interp(middle, times, smooth[:, axis]) for axis in range(2)], axis=1)
    speed = np.linalg.norm(np.gradient(position, _BIN, axis=0), axis=1)
    running = np.flatnonzero(speed > _SPEED)
    if splits == "blocked":
        found = blocked(len(running), 5, gap)
    elif splits == "random":
        found = kfold(len(running), 5, seed=seed)
    else:
        raise ConfigError(f"found splits={splits!r}; there are: blocked, random")
    folds = [(running[train], running[test]) for train, test in found]
    return PositionTask(counts, _BIN, start, position, running, folds)
