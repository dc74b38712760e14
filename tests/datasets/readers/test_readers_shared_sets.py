"""Every set that ships with the project opens by name; facts are those its README states."""

from pathlib import Path

import numpy as np
import pytest

from neuroai_datasets.errors import CardError, DatasetUnavailableError
from neuroai_datasets.loading import load

pytestmark = pytest.mark.usefixtures("data_root")

V4_SHAPES = {
    "190923": (1200, 33),
    "190925": (1200, 36),
    "190929": (1200, 33),
    "210224": (800, 67),
    "210225": (1200, 55),
    "210322": (1200, 59),
    "210325": (640, 50),
}


@pytest.mark.parametrize(("session", "shape"), V4_SHAPES.items())
def test_v4_session(session: str, shape: tuple[int, int], data_root: Path) -> None:
    recording = load("v4_images", session=session)
    assert recording.sampling == "trial"
    assert recording.responses.shape == shape
    assert recording.stimulus.shape == (shape[0], 112, 112, 3)
    raw = np.load(data_root / "v4_images" / "responses_avg" / f"responses_{session}.npy")
    np.testing.assert_allclose(recording.responses.values, raw.T, rtol=1e-6)
    shown = recording.responses["stimulus"].values
    assert len(np.unique(shown)) == (900 if session == "190925" else shape[0])


def test_v4_pictures_are_in_the_order_of_their_numbers() -> None:
    ids = load("v4_images", session="190925").stimulus.ids
    assert ids == [f"image{i:04d}" for i in range(1, 1201)]


def test_v4_repeats_average_to_the_responses() -> None:
    recording = load("v4_images", session=210325)
    assert recording.repeats.shape == (10, 640, 50)
    mean = np.nanmean(recording.repeats.values.astype(np.float64), axis=0)
    np.testing.assert_allclose(mean, recording.responses.values, rtol=1e-5, atol=1e-6)
    counts = np.isfinite(recording.repeats.values).any(axis=2).sum(axis=0)
    assert (counts.min(), counts.max()) == (6, 10)


def test_v4_repeated_images_share_an_index_and_give_a_test_retest() -> None:
    everything = load("v4_images", session="190925")
    shown = everything.responses["stimulus"].values
    np.testing.assert_array_equal(shown[900:], np.arange(300))
    assert load("v4_images", session="190925", images="first900").responses.shape == (900, 36)
    averaged = load("v4_images", session="190925", images="averaged")
    assert averaged.repeats.shape == (2, 900, 36)
    first, second = averaged.repeats.values[:, :300]
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(first.T, second.T, strict=True)]
    assert (round(float(np.median(r)), 2), round(min(r), 2), round(max(r), 2)) == (0.80, 0.58, 0.91)


def test_haxby_slice() -> None:
    recording = load("haxby2001")
    assert recording.responses.shape == (968, 530)
    assert recording.period == 2.5
    assert recording.runs.sizes["run"] == 8
    assert recording.events.sizes["event"] == 64
    assert set(recording.events["duration"].values) == {22.5}
    kinds, counts = np.unique(recording.events["trial_type"].values, return_counts=True)
    assert set(counts) == {8}
    assert "scrambledpix" in kinds
    assert recording.mask.shape == (40, 20, 1)
    assert recording.attrs["repairs"] == []


def test_haxby_25mm() -> None:
    recording = load("haxby2001", image="25mm")
    assert recording.responses.shape == (968, 28)
    assert load("haxby2001", image="25mm", mask="vt").n_targets == 1
    assert dict(zip(recording.rois["roi"].values, recording.rois.values.sum(1), strict=True))["brain"] == 28


def test_haxby_values_are_the_file_s(data_root: Path) -> None:
    nib = pytest.importorskip("nibabel")
    folder = data_root / "haxby2001" / "sub001"
    mask = nib.load(folder / "masks" / "slice_brain.nii.gz").get_fdata() > 0
    third = nib.load(folder / "BOLD" / "task001_run003" / "bold_1slice.nii.gz").get_fdata()
    responses = load("haxby2001").responses
    np.testing.assert_array_equal(responses.values[responses["run"].values == 2], third[mask].T)


def test_event_related_series() -> None:
    recording = load("fmri_timeseries")
    assert recording.responses.shape == (3360, 1)
    assert recording.period == 2.0
    kinds, counts = np.unique(recording.events["trial_type"].values, return_counts=True)
    assert kinds.tolist() == list("123456")
    assert set(counts) == {96}


def test_region_series() -> None:
    recording = load("fmri_timeseries", part="rois")
    assert recording.responses.shape == (250, 28)
    assert recording.period == 1.89
    r = np.corrcoef(recording.responses.values.T)
    assert round(float(np.mean(np.diag(r[:14, 14:]))), 3) == 0.517
    assert round(float(r[np.triu_indices(28, 1)].mean()), 3) == 0.088
    assert list(recording.tree["nuisance"].data_vars) == ["WM", "Vent", "Brain"]


def test_volume_series() -> None:
    recording = load("fmri_timeseries", part="volumes")
    assert recording.responses.shape == (40, 1800)
    assert recording.period == pytest.approx(1.35)


def test_rgc_dendrite() -> None:
    recording = load("rgc_dendrite")
    assert recording.responses.shape == (1500, 19)
    assert recording.stimulus.shape == (1500, 20, 15)
    assert set(np.unique(recording.stimulus[:50])) == {0.0, 1.0}
    r = np.corrcoef(recording.responses.values.T)
    assert round(float(r[np.triu_indices(19, 1)].mean()), 2) == 0.48


def test_hippocampus() -> None:
    recording = load("hippocampus_linear_track")
    spikes = recording.spikes
    assert (spikes.n_units, spikes.n_spikes) == (31, 28_829)
    times = np.concatenate([spikes.unit(i) for i in range(31)])
    assert (round(times.min(), 1), round(times.max(), 1)) == (4397.0, 6365.1)
    position = recording.behaviour["position"]
    assert position.shape == (118_965, 2)
    assert np.median(np.diff(position["time"].values)) == pytest.approx(1 / 60, rel=0.01)


STEINMETZ = {
    "1": (214, 178, 63_049, "Cori 2016-12-14"),
    "2": (251, 533, 178_062, "Cori 2016-12-17"),
    "4": (249, 120, 25_282, "Forssmann 2017-11-01"),
}


@pytest.mark.parametrize(("session", "facts"), STEINMETZ.items())
def test_steinmetz(session: str, facts: tuple[int, int, int, str]) -> None:
    n_trials, n_units, n_spikes, label = facts
    series = load("steinmetz_visual", session=session)
    trials = load("steinmetz_visual", session=session, counts="trials")
    assert series.responses.shape == (n_trials * 39, n_units)
    assert series.period == 0.01
    assert trials.responses.shape == (n_trials, n_units)
    assert trials.sampling == "trial"
    assert int(series.responses.values.sum()) == int(trials.responses.values.sum()) == n_spikes
    assert series.attrs["session"] == label
    folded = series.responses.values.reshape(n_trials, 39, n_units).sum(1)
    np.testing.assert_array_equal(folded, trials.responses.values)
    assert set(trials.responses["contrast_left"].values) <= {0.0, 0.25, 0.5, 1.0}
    assert set(trials.responses["feedback"].values) == {-1, 1}
    names = ("contrast_left", "contrast_right", "side")
    left, right, side = (trials.responses[name].values for name in names)
    np.testing.assert_array_equal(side[left != right], (right > left)[left != right])
    assert np.isnan(side[left == right]).all()


@pytest.mark.parametrize(("block", "mean"), [("before", 2.02), ("after", 1.90)])
def test_m1_bci(block: str, mean: float) -> None:
    recording = load("m1_bci", block=block)
    assert recording.responses.shape == (552, 86)
    assert round(float(recording.responses.values.mean()), 2) == mean
    directions, counts = np.unique(recording.responses["direction"].values, return_counts=True)
    assert directions.tolist() == list(range(0, 360, 45))
    assert set(counts) == {69}
    assert recording.tree["decoders"]["M2"].shape == (2, 2, 86)


def test_grasshopper() -> None:
    recording = load("grasshopper")
    times = recording.spikes.unit(0)
    assert len(times) == 929
    assert np.diff(times).min() == pytest.approx(3.2e-3, abs=5e-5)
    sound = recording.behaviour["sound"]
    assert len(sound) == 200_000
    assert np.diff(sound["time"].values[:100]) == pytest.approx(50e-6)


def test_nwb_units() -> None:
    recording = load("nwb_units")
    assert recording.spikes.counts.tolist() == [11020, 15710 - 11020, 21354 - 15710]
    assert recording.events["onset"].values.tolist() == [0.0]
    assert recording.events["duration"].values.round(1).tolist() == [1087.5]
    assert recording.attrs["session_start"].startswith("2022-04-05T03:07:59")


def test_objects92() -> None:
    recording = load("objects92")
    assert recording.responses is None
    assert recording.stimulus.shape == (92, 175, 175, 3)
    upper = np.triu_indices(92, 1)
    for area, (low, high) in {"EVC": (0.247, 0.399), "IT": (0.459, 0.549)}.items():
        rdm = recording.tree["rdm"][area].values
        assert rdm.shape == (15, 92, 92)
        assert noise_ceiling(rdm[:, *upper]) == pytest.approx((low, high), abs=6e-4)


def noise_ceiling(rows: np.ndarray) -> tuple[float, float]:
    """Return the mean correlation of subjects' ranks with the mean ranks of the others, and of all."""
    ranks = pytest.importorskip("scipy.stats").rankdata(rows, axis=1)
    low = [np.corrcoef(row, np.delete(ranks, i, axis=0).mean(0))[0, 1] for i, row in enumerate(ranks)]
    high = [np.corrcoef(row, ranks.mean(0))[0, 1] for row in ranks]
    return float(np.mean(low)), float(np.mean(high))


def test_objects92_kriegeskorte() -> None:
    recording = load("objects92_kriegeskorte")
    rdm = recording.tree["rdm"]
    upper = np.triu_indices(92, 1)
    monkey, human = rdm["monkey_IT"].values[upper], rdm["human_IT"].values[upper]
    assert np.corrcoef(monkey, human)[0, 1] == pytest.approx(0.4912, abs=5e-5)
    assert (int(rdm["animal"].sum()), int(rdm["face"].sum())) == (48, 24)
    sessions = rdm["human_IT_sessions"].values[:, :, *upper]
    within = [round(float(np.corrcoef(*pair)[0, 1]), 3) for pair in sessions]
    assert within == [0.291, 0.098, 0.398, 0.118]
    assert rdm["judgement"].shape == (16, 92, 92)
    assert recording.stimulus.shape == (92, 175, 175, 3)


def test_the_two_objects92_sets_are_in_the_same_order() -> None:
    stats = pytest.importorskip("scipy.stats")
    upper = np.triu_indices(92, 1)
    mean = load("objects92").tree["rdm"]["IT"].values.mean(0)[upper]
    human = load("objects92_kriegeskorte").tree["rdm"]["human_IT"].values[upper]
    assert stats.spearmanr(mean, human).statistic == pytest.approx(0.557, abs=5e-4)


def test_mnist_t10k() -> None:
    recording = load("mnist_t10k")
    assert recording.stimulus.shape == (10_000, 28, 28)
    assert recording.tree["labels"]["label"].values[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


NAMES = [
    "fmri_timeseries", "grasshopper", "haxby2001", "hippocampus_linear_track", "m1_bci", "mnist_t10k",
    "nwb_units", "objects92", "objects92_kriegeskorte", "rgc_dendrite", "steinmetz_visual", "v4_images",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_set_says_whose_it_is_and_prints(name: str) -> None:
    recording = load(name)
    assert recording.name == name
    assert recording.attrs["title"]
    assert recording.attrs["citation"]
    assert recording.attrs["licence"]
    assert name in repr(recording)
    assert recording._repr_html_()


@pytest.mark.parametrize("name", NAMES)
def test_clean_sets_raise_no_alarm(name: str) -> None:
    assert load(name).attrs["repairs"] == []


@pytest.mark.parametrize(
    "name", ["haxby2001", "nwb_units", "m1_bci", "steinmetz_visual", "objects92", "v4_images"]
)
def test_saved_recordings_open_with_the_same_call(name: str, tmp_path: Path) -> None:
    recording = load(name)
    reopened = load(recording.save(tmp_path / "copy.h5"))
    assert {*recording.tree.children} <= {*reopened.tree.children}
    for group in recording.tree.children:
        assert reopened.tree[group].to_dataset().equals(recording.tree[group].to_dataset())
    if recording.responses is not None:
        np.testing.assert_array_equal(reopened.responses.values, recording.responses.values)


def test_wrong_selections_list_the_choices() -> None:
    with pytest.raises(
        CardError, match=r"session='210326' does not exist \(did you mean '210325'\?\); choices: 190923"
    ):
        load("v4_images", session="210326")
    with pytest.raises(
        CardError, match=r"no selection 'sesion' \(did you mean 'session'\?\); selections: session"
    ):
        load("v4_images", sesion="210325")
    with pytest.raises(CardError, match="exists only with session"):
        load("v4_images", session="210224", images="averaged")
    with pytest.raises(CardError, match="does not fit this image"):
        load("haxby2001", mask="vt")


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(DatasetUnavailableError, match="did you mean 'haxby2001'"):
        load("haxby201")


def test_sets_that_are_not_here_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NEUROAI_DATA", str(tmp_path))
    monkeypatch.setenv("NEUROAI_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DatasetUnavailableError, match="not on this machine"):
        load("rgc_dendrite")
