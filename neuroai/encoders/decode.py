"""Which category was shown: a linear decoder of block responses, one run left out at a time."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroai.encoders.preprocess import detrend, zscore
from neuroai.encoders.scores import Float
from neuroai.errors import ConfigError, DataError
from neuroai_datasets.splits import leave_one_run_out

if TYPE_CHECKING:
    from neuroai_datasets.recording import Recording


@dataclass(frozen=True)
class Decoding:
    """Outcome of :func:`decode_blocks`.

    Parameters
    ----------
    accuracy
        Share of blocks decoded correctly, in [0, 1].
    chance
        1 / number of categories.
    accuracy_per_run
        (n_runs,) in the order of ``runs``.
    runs
        Labels of the runs left out.
    categories
        Names, sorted.
    confusion
        (n_categories, n_categories) counts: row shown, column decoded.
    """

    accuracy: float
    chance: float
    accuracy_per_run: Float
    runs: NDArray[np.int64]
    categories: tuple[str, ...]
    confusion: NDArray[np.int64]


def decode_blocks(
    recording: "Recording", *, lag: float = 5.0, tail: float = 0.0, c: float = 0.01, seed: int = 0
) -> Decoding:
    """Decode the category of each block with a linear support vector machine, leaving one run out.

    Responses are linearly detrended and z-scored within each run, averaged over the samples from
    ``lag`` seconds after a block's onset to ``tail`` seconds after its end, and the mean over the
    blocks of a run is taken away.

    Parameters
    ----------
    recording
        A series with events: blocks with a ``trial_type``, in two runs or more.
    lag, tail
        Seconds that the haemodynamic response needs to rise and outlasts the block.
    c
        Inverse strength of the penalty, > 0.
    seed
        Of the solver.

    Returns
    -------
    Decoding

    Raises
    ------
    ConfigError
        If the recording is no series with events and two runs.
    DataError
        If a block holds no sample.

    Notes
    -----
    No statistic crosses runs, so the run left out is never seen. Time of a linear SVM a run.

    References
    ----------
    Haxby et al. (2001); Norman, Polyn, Detre & Haxby (2006).

    Examples
    --------
    >>> import numpy as np
    >>> from neuroai_datasets import Recording
    >>> y, runs = np.random.default_rng(0).standard_normal((40, 3)), np.repeat([0, 1], 20)
    >>> y[4:12, 0] += 9; y[32:40, 0] += 9
    >>> events = {"onset": [0.0, 20.0] * 2, "duration": [18.0] * 4, "run": [0, 0, 1, 1],
    ...           "trial_type": ["face", "house", "house", "face"]}
    >>> decode_blocks(Recording.from_arrays(y, name="toy", period=2.0, runs=runs, events=events)).accuracy
    1.0
    """
    from sklearn.svm import LinearSVC

    patterns, labels, groups = _blocks(recording, lag, tail)
    categories, shown = np.unique(labels, return_inverse=True)
    decoded = np.empty_like(shown)
    for train, test in leave_one_run_out(groups):
        # The primal solver is deterministic; the dual one stops early on few samples.
        machine = LinearSVC(C=c, dual=False, random_state=seed).fit(patterns[train], shown[train])
        decoded[test] = machine.predict(patterns[test])
    confusion = np.zeros((len(categories),) * 2, np.int64)
    np.add.at(confusion, (shown, decoded), 1)
    runs = np.unique(groups)
    return Decoding(
        accuracy=float(np.mean(shown == decoded)),
        chance=1 / len(categories),
        accuracy_per_run=np.array([np.mean((shown == decoded)[groups == run]) for run in runs]),
        runs=runs,
        categories=tuple(str(name) for name in categories),
        confusion=confusion,
    )


def _blocks(recording: "Recording", lag: float, tail: float) -> tuple[Float, NDArray[Any], NDArray[np.int64]]:
    """Block patterns (n_blocks, n_targets), their categories and runs."""
    responses, events = recording.responses, recording.events
    if responses is None or events is None or recording.period is None or "run" not in responses.coords:
        raise ConfigError(f"decoding blocks needs a series with runs and events; {recording.name!r} is none")
    runs, times = responses.coords["run"].values, responses.coords["time"].values
    if len(np.unique(runs)) < 2:
        raise ConfigError(f"{recording.name!r} has one run: leaving one out needs two or more")
    y = zscore(detrend(responses.values, "linear", runs=runs), runs=runs)
    patterns = np.empty((events.sizes["event"], y.shape[1]))
    onset, stop = events["onset"].values, events["onset"].values + events["duration"].values
    for i, run in enumerate(events["run"].values):
        rows = (runs == run) & (times >= onset[i] + lag) & (times < stop[i] + tail)
        if not rows.any():
            raise DataError(
                f"block {i} of {recording.name!r} (run {run}, onset {onset[i]:g} s) holds no sample "
                f"{lag:g} s after its onset: lower lag, or check the onsets"
            )
        patterns[i] = y[rows].mean(0)
    groups = np.asarray(events["run"].values, np.int64)
    for run in np.unique(groups):
        patterns[groups == run] -= patterns[groups == run].mean(0)
    return patterns, events["trial_type"].values.astype(str), groups
