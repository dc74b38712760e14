"""Designs: haemodynamic against nilearn, lags that stay within runs, rows that match responses."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from neuroai.encoders import double_gamma
from neuroai.encoders.designs import design
from neuroai.encoders.features import extract
from neuroai.encoders.preprocess import detrend, drift_basis, zscore
from neuroai.errors import ConfigError, DataError, ShapeError
from neuroai_datasets import ArrayStimulus, Recording


def series(n_per_run=(60, 60), period=2.5, events=None, **options):
    runs = np.repeat(np.arange(len(n_per_run)), n_per_run)
    y = np.random.default_rng(0).standard_normal((len(runs), 3)).astype(np.float32)
    return Recording.from_arrays(y, name="toy", period=period, runs=runs, events=events, **options)


EVENTS = {
    "onset": [10.0, 50.0, 90.0, 5.0, 61.25],
    "duration": [20.0, 20.0, 20.0, 10.0, 20.0],
    "trial_type": ["face", "house", "face", "house", "face"],
    "run": [0, 0, 0, 1, 1],
}


@pytest.mark.parametrize("basis", ["canonical", "derivative"])
def test_response_equals_nilearn(basis):
    hemodynamic = pytest.importorskip("nilearn.glm.first_level.hemodynamic_models")
    ours = double_gamma(0.25, basis)
    # nilearn shifts its response by one fine step and its undershoot ratio is 0.167.
    theirs = hemodynamic.spm_hrf(0.25, oversampling=100)[::100]
    assert np.corrcoef(ours[0], theirs)[0, 1] > 0.9999
    if basis == "derivative":
        slope = hemodynamic.spm_time_derivative(0.25, oversampling=100)[::100]
        assert np.corrcoef(ours[1], slope)[0, 1] > 0.998
        assert np.linalg.norm(ours[1]) == pytest.approx(np.linalg.norm(ours[0]))


def test_derivative_is_the_slope():
    h, slope = double_gamma(0.01, "derivative")
    numerical = np.gradient(h)
    numerical *= np.linalg.norm(h) / np.linalg.norm(numerical)
    np.testing.assert_allclose(slope, numerical, atol=1e-5)


def test_hrf_regressors_equal_nilearn():
    pytest.importorskip("nilearn")
    import pandas as pd
    from nilearn.glm.first_level import make_first_level_design_matrix

    maps = design(series(events=EVENTS), "events-hrf:derivative")
    assert maps.shape == (120, 4, 1, 1)
    assert maps.channels == ("face", "house", "face'", "house'")
    table = pd.DataFrame({k: v for k, v in EVENTS.items() if k != "run"})
    for run in (0, 1):
        mine = table[np.array(EVENTS["run"]) == run]
        expected = make_first_level_design_matrix(
            np.arange(60) * 2.5, mine, hrf_model="spm + derivative", drift_model=None
        )
        ours = maps.flat[60 * run : 60 * run + 60]
        for column, name in enumerate(["face", "house", "face_derivative", "house_derivative"]):
            assert np.corrcoef(ours[:, column], expected[name])[0, 1] > 0.995


def test_a_long_block_reaches_one():
    events = {"onset": [0.0], "duration": [100.0], "trial_type": ["a"]}
    maps = design(series((60,), events=events), "events-hrf")
    assert maps.flat[36, 0] == pytest.approx(1.0, abs=1e-4)


def test_events_of_one_run_never_reach_the_next():
    events = {"onset": [148.0], "duration": [2.0], "trial_type": ["a"], "run": [0]}
    recording = series(events=events)
    assert not design(recording, "events-hrf").values[60:].any()
    fir = design(recording, "events-fir:5").flat
    assert fir[59].tolist() == [1, 0, 0, 0, 0]
    assert not fir[60:].any()


def test_fir_is_one_onset_a_lag():
    fir = design(series(events=EVENTS), "events-fir:4")
    assert fir.channels[:3] == ("face@0", "house@0", "face@1")
    rows, columns = np.nonzero(fir.flat)
    expected = {(t // 2.5 + 60 * r + lag, (k == "house") + 2 * lag)
                for t, k, r in zip(EVENTS["onset"], EVENTS["trial_type"], EVENTS["run"], strict=True)
                for lag in range(4)}  # fmt: skip
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == expected
    assert design(series(events=EVENTS, period=2.0), "events-fir").shape[1] == 2 * 15
    np.testing.assert_array_equal(
        design(series(events=EVENTS), "events-fir", delays=(1, 3)).flat, fir.flat[:, [2, 3, 6, 7]]
    )


@pytest.mark.parametrize("onset", [-1.0, 15_000.0])
def test_misaligned_events_are_named(onset):
    events = {"onset": [10.0, onset], "duration": [1.0, 1.0], "trial_type": ["a", "a"], "run": [0, 1]}
    with pytest.raises(DataError, match=r"event|onset"):
        design(series(events=events), "events-hrf")


def test_specs_that_do_not_suit():
    with pytest.raises(ConfigError, match="no events"):
        design(series(), "events-hrf")
    with pytest.raises(ConfigError, match="no stimulus"):
        design(series(), "pixels")
    with pytest.raises(ConfigError, match="number of lags"):
        design(series(events=EVENTS), "events-fir:x")
    with pytest.raises(ConfigError, match="leave one out"):
        design(series(events=EVENTS), "events-fir:4", delays=[1])
    with pytest.raises(ConfigError, match="canonical or derivative"):
        design(series(events=EVENTS), "events-hrf:gamma")
    with pytest.raises(ConfigError, match="width"):
        design(frames_recording()[0], "frames:wide")


def frames_recording():
    frames = np.random.default_rng(1).random((40, 6, 5)).astype(np.float32)
    y = np.zeros((40, 2)) + np.arange(40)[:, None]
    runs = np.repeat([0, 1], 20)
    return Recording.from_arrays(y, name="f", period=0.2, runs=runs, stimulus=ArrayStimulus(frames)), frames


def test_frames_with_lags_and_smoothing():
    recording, frames = frames_recording()
    maps = design(recording, "frames:1.5", delays=(0, 2))
    assert maps.shape == (40, 2, 6, 5)
    smoothed = np.stack([gaussian_filter(f, 1.5) for f in frames])
    centred = smoothed - smoothed.mean(0)
    np.testing.assert_allclose(maps.values[:, 0], centred, atol=1e-6)
    np.testing.assert_allclose(maps.values[2:20, 1], centred[:18], atol=1e-6)
    assert not maps.values[20:22, 1].any()
    np.testing.assert_allclose(design(recording, "frames", smooth=1.5).values[:, 0], smoothed, rtol=1e-5)


def test_series_rows_without_a_frame_are_zero():
    frames = np.ones((3, 4, 4), np.float32)
    recording = Recording.from_arrays(
        np.arange(8.0).reshape(4, 2), name="g", period=1.0, stimulus=ArrayStimulus(frames),
        stimulus_index=[-1, 2, 0, -1],
    )  # fmt: skip
    assert design(recording, "frames").values[:, 0, 0, 0].tolist() == [0, 1, 1, 0]


def test_trials_gather_the_maps_of_their_picture(tmp_path):
    pictures = np.random.default_rng(2).integers(0, 256, (5, 12, 12, 3), dtype=np.uint8)
    stimulus = ArrayStimulus(pictures)
    index = np.array([4, 0, 0, 3, 2, 1, 4])
    recording = Recording.from_arrays(
        np.arange(14.0).reshape(7, 2), name="t", stimulus=stimulus, stimulus_index=index
    )
    np.testing.assert_array_equal(
        design(recording, "pixels", cache=tmp_path).values, extract(stimulus, "pixels").values[index]
    )
    with pytest.raises(ConfigError, match="need a series"):
        design(recording, "pixels", delays=[1])
    in_order = Recording.from_arrays(np.arange(10.0).reshape(5, 2), name="t", stimulus=stimulus)
    assert isinstance(design(in_order, "pixels", cache=tmp_path).values, np.memmap)
    blank = Recording.from_arrays(np.eye(2), name="t", stimulus=stimulus, stimulus_index=[0, -1])
    with pytest.raises(DataError, match="first is 1"):
        design(blank, "pixels")


@pytest.mark.parametrize("kind", ["constant", "linear", "polynomial:3", "cosine"])
def test_detrending_removes_its_drifts_run_by_run(kind):
    runs = np.repeat([0, 1], [50, 40])
    rng = np.random.default_rng(3)
    clean = detrend(rng.standard_normal((90, 4)), kind, runs=runs, period=2.0, cutoff=40)
    drift = np.zeros((90, 4))
    for start, stop in ((0, 50), (50, 90)):
        basis = drift_basis(stop - start, kind, period=2.0, cutoff=40)
        np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-12)
        assert np.linalg.matrix_rank(np.c_[basis, np.ones(stop - start)]) == basis.shape[1]
        drift[start:stop] = basis @ rng.standard_normal((basis.shape[1], 4)) * 100
    np.testing.assert_allclose(
        detrend(clean + drift, kind, runs=runs, period=2.0, cutoff=40), clean, atol=1e-9
    )


def test_cosine_drifts_equal_nilearn():
    first_level = pytest.importorskip("nilearn.glm.first_level")
    expected = first_level.make_first_level_design_matrix(
        np.arange(121) * 2.5, drift_model="cosine", high_pass=1 / 128
    ).to_numpy()
    basis = drift_basis(121, "cosine", period=2.5)
    projector = expected @ np.linalg.pinv(expected)
    np.testing.assert_allclose(basis @ basis.T, projector, atol=1e-8)


def test_zscore_by_run_and_constants():
    runs = np.repeat([0, 1], [30, 20])
    y = np.random.default_rng(4).standard_normal((50, 3)).astype(np.float32) * 7 + 3
    y[:30, 1] = 0.1
    z = zscore(y, runs=runs)
    assert z.dtype == np.float32
    np.testing.assert_allclose(z[30:].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(z[30:].std(0), 1, atol=1e-5)
    assert not z[:30, 1].any()


def test_bad_preprocessing():
    with pytest.raises(ConfigError, match="polynomial:ORDER"):
        detrend(np.zeros((9, 1)), "quadratic")
    with pytest.raises(ConfigError, match="period"):
        detrend(np.zeros((9, 1)), "cosine")
    with pytest.raises(ShapeError, match="too short"):
        detrend(np.zeros((3, 1)), "polynomial:3")
    with pytest.raises(ShapeError, match="n_samples, n_columns"):
        zscore(np.zeros(3))
