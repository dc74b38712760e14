"""Block decoding and the table of scores."""

import numpy as np
import pytest

from neuroai.encoders.decode import decode_blocks
from neuroai.encoders.result import EncodingResult
from neuroai.errors import ConfigError, DataError, ShapeError
from neuroai_datasets import Recording


def blocks(signal, n_runs=4, seed=0):
    """Four categories a run in random order, 20 s each, TR 2 s; the response is delayed by 4 s."""
    rng = np.random.default_rng(seed)
    y = rng.standard_normal((n_runs * 50, 30))
    patterns = rng.standard_normal((4, 30)) * signal
    events = {"onset": [], "duration": [], "trial_type": [], "run": []}
    for run in range(n_runs):
        for slot, kind in enumerate(rng.permutation(4)):
            onset = 4.0 + 24 * slot
            events["onset"].append(onset)
            events["duration"].append(20.0)
            events["trial_type"].append("abcd"[kind])
            events["run"].append(run)
            first = run * 50 + int(onset / 2) + 2
            y[first : min(first + 10, (run + 1) * 50)] += patterns[kind]
        y[run * 50 : run * 50 + 50] += np.linspace(0, 20, 50)[:, None] + 100 * run
    return Recording.from_arrays(y, name="b", period=2.0, runs=np.repeat(range(n_runs), 50), events=events)


def test_planted_categories_are_decoded_despite_drifts():
    decoding = decode_blocks(blocks(1.0))
    assert decoding.accuracy == 1.0
    assert decoding.chance == 0.25
    assert decoding.confusion.tolist() == (4 * np.eye(4, dtype=int)).tolist()


def test_nothing_is_decoded_from_noise():
    accuracies = [decode_blocks(blocks(0.0, seed=s)).accuracy for s in range(20)]
    # 320 blocks of chance 0.25: a standard error of 0.024.
    assert np.mean(accuracies) == pytest.approx(0.25, abs=0.08)


def test_decoding_errors():
    with pytest.raises(DataError, match="lower lag"):
        decode_blocks(blocks(1.0), lag=30)
    with pytest.raises(ConfigError, match="one run"):
        decode_blocks(blocks(1.0, n_runs=1))
    with pytest.raises(ConfigError, match="runs and events"):
        decode_blocks(Recording.from_arrays(np.eye(3), name="t"))


def test_haxby_blocks(data_root):
    load = pytest.importorskip("neuroai_datasets.loading").load
    recording = load("haxby2001")
    decoding = decode_blocks(recording)
    assert len(decoding.categories) == 8
    assert decoding.accuracy >= 0.641
    # The window moved as a whole, as in the published baseline.
    assert decode_blocks(recording, tail=5.0).accuracy == pytest.approx(0.641, abs=0.02)


def test_summary_counts_what_is_undefined():
    r = np.array([0.2, 0.4, np.nan, 0.8])
    result = EncodingResult.from_scores(
        r,
        r**2,
        ceiling=[0.5, 0.0, 0.5, 0.64],
        p=[0.01] * 4,
        q=[0.02, 0.2, np.nan, 0.05],
        alpha=[1.0, 10.0, 1.0, 100.0],
        alphas=[1.0, 10.0, 100.0],
        coords={"roi": ["V1", "V2", "V2", "hV4"]},
        attrs={"subject": "s1"},
    )
    summary = result.summary()
    assert summary["median_r"] == pytest.approx(0.4)
    assert summary["mean_r"] == pytest.approx(1.4 / 3)
    assert summary["p95_r"] == pytest.approx(np.percentile([0.2, 0.4, 0.8], 95))
    assert (summary["n_targets"], summary["n_undefined"]) == (4, 1)
    assert summary["alphas_at_edge"] == pytest.approx(2 / 3)
    assert summary["median_r2_over_ceiling"] == pytest.approx(np.median([0.08, 1.0]))
    assert summary["n_significant"] == 2
    assert result.dataset.sel(target=0).roi == "V1"
    assert result.dataset.attrs["subject"] == "s1"


def test_summary_of_nothing_is_none():
    summary = EncodingResult.from_scores([np.nan, np.nan]).summary()
    assert summary["median_r"] is None
    assert summary["alphas_at_edge"] is None
    with pytest.raises(ShapeError, match="one value a target"):
        EncodingResult.from_scores([0.1, 0.2], [0.1])


def test_detrending_leaves_nothing_of_a_constant() -> None:
    from neuroai.encoders.preprocess import detrend, zscore

    y = np.full((50, 1), 1000.1, np.float32)
    runs = np.repeat([0, 1], 25)
    assert (detrend(y, runs=runs) == 0).all()
    assert (zscore(detrend(y, runs=runs), runs=runs) == 0).all()
