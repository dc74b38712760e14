"""Designs on real recordings reach the documented baselines with a textbook ridge."""

import numpy as np
import pytest

from neuroai.encoders.designs import design
from neuroai.encoders.preprocess import detrend, zscore
from neuroai.encoders.scores import pearson_r
from neuroai_datasets.loading import load


def fold_scores(x, y, splits, alpha):
    """Correlation in each fold of ridge regression with one penalty, in float64."""
    scores = []
    for train, test in splits:
        mean = x[train].mean(0)
        a, b = x[train] - mean, y[train] - y[train].mean(0)
        if a.shape[0] < a.shape[1]:
            weights = a.T @ np.linalg.solve(a @ a.T + alpha * np.eye(len(a)), b)
        else:
            weights = np.linalg.solve(a.T @ a + alpha * np.eye(a.shape[1]), a.T @ b)
        scores.append(pearson_r(y[test], (x[test] - mean) @ weights))
    return np.mean(scores, axis=0)


@pytest.mark.parametrize(
    ("spec", "median", "p95"), [("events-hrf", 0.065, 0.278), ("events-hrf:derivative", 0.10, 0.48)]
)
def test_haxby_categories(data_root, spec, median, p95):
    recording = load("haxby2001")
    runs = recording.responses.coords["run"].values
    y = zscore(detrend(recording.responses.values.astype(np.float64), "linear", runs=runs), runs=runs)
    x = design(recording, spec).flat.astype(np.float64)
    splits = [(np.flatnonzero(runs != run), np.flatnonzero(runs == run)) for run in np.unique(runs)]
    r = fold_scores(x, y, splits, 1.0)
    assert np.nanmedian(r) >= median
    assert np.nanpercentile(r, 95) >= p95


def test_finite_impulse_response_of_an_event_related_series(data_root):
    recording = load("fmri_timeseries")
    x = design(recording, "events-fir:15").flat.astype(np.float64)
    n = len(x)
    split = (np.arange(int(0.8 * n)), np.arange(int(0.8 * n), n))
    assert fold_scores(x, recording.responses.values, [split], 1e-6)[0] >= 0.437


def test_smoothed_frames_of_dense_noise(data_root):
    recording = load("rgc_dendrite")
    x = design(recording, "frames:1.5", delays=range(6)).flat.astype(np.float64)
    blocks = np.array_split(np.arange(len(x)), 5)
    splits = [(np.setdiff1d(np.arange(len(x)), test), test) for test in blocks]
    assert fold_scores(x, recording.responses.values.astype(np.float64), splits, 1e2).mean() >= 0.315
