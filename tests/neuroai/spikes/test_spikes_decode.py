"""`neuroai spikes decode` of a model that is left as it is: few labels, baselines, intervals, report."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from neuroai.cli import main
from neuroai.cli.app import app
from neuroai.errors import ConfigError, DataError
from neuroai.neuroformer import Modality, Neuroformer, NeuroformerConfig
from neuroai.runs.directory import Run
from neuroai.runs.spikes_decode import decode
from neuroai_datasets import Recording
from neuroai_datasets.readers.grouped import with_sample_coords
from neuroai_datasets.simulators import simulate_spikes

SIZES: dict[str, Any] = {"bin_width": 0.05, "window": 0.25, "width": 16, "heads": 2, "past_layers": 1}
METHODS = [
    "frozen model",
    "frozen model, tracked",
    "counts, same readout",
    "ridge on counts",
    "lasso on counts",
]


def model_for(recording: Recording, folder: Path, **options: Any) -> Path:
    """Save a model that was never trained: its features still tell what the counts tell."""
    config = NeuroformerConfig(sessions={recording.name: recording.n_targets}, **SIZES | options)
    Neuroformer(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def place() -> Recording:
    return simulate_spikes(12, 60.0, peak_rate=25, seed=1)


@pytest.fixture(scope="module")
def read(place: Recording, tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("frozen")
    model = model_for(place, root / "model", past=0.5)
    options: dict[str, Any] = {"behaviour": ["position"], "shares": [0.05, 1.0], "n_draws": 2}
    return decode(place, model=model, out=root / "run", **options)


def test_position_is_read_from_few_and_from_all_labels(read: Run) -> None:
    few = read.summary["few_labels"]["position"]
    assert list(few["methods"]) == METHODS
    assert few["measure"] == "median error"
    assert few["n_labels"][-1] < read.summary["n_train"] + 1
    score = {name: found["score"] for name, found in few["methods"].items()}
    for name in METHODS:
        assert score[name][1] < 0.5 * few["constant_guess"]
        assert score[name][1] < score[name][0]
        (low, high), middle = few["methods"][name]["interval"][1], score[name][1]
        assert low <= middle <= high
        assert np.shape(few["methods"][name]["draws"]) == (2, 2)
    assert read.summary["behaviour"]["position"]["r"][0] > 0.8


def test_the_run_holds_the_trace_and_the_report_its_figures(read: Run, place: Recording) -> None:
    import xarray as xr

    with xr.open_dataset(read.path / "result.nc") as tree:
        error = np.abs(tree["position_measured"].values - tree["position_decoded"].values)[:, 0]
        first_draw = read.summary["few_labels"]["position"]["methods"]["frozen model"]["draws"][1][0]
        assert np.median(error) == pytest.approx(first_draw)
        # Means of windows: between what was recorded at both ends.
        series = place.behaviour["position"]
        middle = np.interp(tree["time"].values - 0.125, series["time"].values, series.values)
        np.testing.assert_allclose(tree["position_measured"].values[:, 0], middle, atol=0.03)
    page = (read.path / "report.html").read_text()
    assert "Decoding from few labels" in page
    assert "time contrast" in page
    assert {"labels-0", "decoded-0"} <= {path.stem for path in (read.path / "figures").iterdir()}


def test_positions_in_the_plane_have_a_picture_and_naive_bayes(place: Recording, tmp_path: Path) -> None:
    line = place.behaviour["position"]
    plane = np.stack([line.values, 2 * line.values], axis=1)
    spikes = place.spikes
    assert spikes is not None
    trains = [spikes.unit(i) for i in range(spikes.n_units)]
    clock = line["time"].values
    recording = Recording.from_spikes(
        trains, name="plane", interval=spikes.span(), behaviour={"xy": (clock, plane)}
    )
    model = model_for(recording, tmp_path / "model", past=0.0)
    slow = float(np.quantile(np.linalg.norm(np.gradient(plane, clock, axis=0), axis=1), 0.25))
    options: dict[str, Any] = {"behaviour": ["xy"], "shares": [1.0], "n_draws": 1, "min_speed": slow}
    run = decode(recording, model=model, out=tmp_path / "run", **options)
    few = run.summary["few_labels"]["xy"]
    assert next(iter(few["methods"])) == "frozen model, tracked"
    assert few["methods"]["naive Bayes"]["score"][0] < 0.5 * few["constant_guess"]
    assert 10 < few["n_test"] < run.summary["n_test"]
    assert "positions-0" in {path.stem for path in (run.path / "figures").iterdir()}


def trials(seed: int = 0) -> Recording:
    """A hundred trials a class; the first unit fires twice as often in the second class."""
    rng = np.random.default_rng(seed)
    side = rng.permutation(np.repeat([0.0, 1.0], 100))
    rate = np.where(side[:, None] == 1, [1.2, 0.5, 0.5], [0.3, 0.5, 0.5])
    counts = rng.poisson(rate[:, None, :], (200, 6, 3)).reshape(-1, 3)
    recording = Recording.from_arrays(counts, name="trials", period=0.05, runs=np.repeat(np.arange(200), 6))
    label = np.repeat(np.where(np.arange(200) % 10 == 0, np.nan, side), 6)
    return with_sample_coords(recording, {"side": label, "drift": np.repeat(rng.random(200), 6)})


def test_classes_of_trials_have_a_confusion_matrix(tmp_path: Path) -> None:
    recording = trials()
    model = model_for(recording, tmp_path / "model", window=0.3, past=0.0)
    options: dict[str, Any] = {"behaviour": ["side"], "shares": [0.01, 1.0], "n_draws": 1}
    run = decode(recording, model=model, out=tmp_path / "run", **options)
    few = run.summary["few_labels"]["side"]
    assert few["measure"] == "accuracy"
    assert few["classes"] == ["0", "1"]
    assert few["n_labels"][0] == 10
    assert sum(map(sum, few["confusion"])) == few["n_test"]
    accuracy = np.trace(few["confusion"]) / few["n_test"]
    assert few["methods"]["frozen model"]["draws"][-1][0] == pytest.approx(accuracy)
    # Poisson counts of 7.2 and 1.8: the best threshold is right in 93 % of trials.
    assert few["methods"]["counts of whole windows"]["score"][-1] > 0.8
    assert few["methods"]["frozen model"]["score"][-1] > 0.7
    assert "confusion-0" in {path.stem for path in (run.path / "figures").iterdir()}
    with pytest.raises(DataError, match="no window follows another"):
        decode(recording, model=model, behaviour=["drift"], out=tmp_path / "drift")


def test_what_a_reader_must_know_is_noted(place: Recording, tmp_path: Path) -> None:
    position = Modality("position", role="target")
    model = model_for(place, tmp_path / "model", past=0.0, modalities=(position,))
    quick: dict[str, Any] = {"shares": [1.0], "n_draws": 1, "baselines": False}
    run = decode(place, model=model, out=tmp_path / "run", **quick)  # what it has heads for
    assert list(run.summary["few_labels"]["position"]["methods"]) == ["frozen model", "frozen model, tracked"]
    assert any("trained to decode position" in note for note in run.summary["notes"])


def test_a_split_that_the_model_was_not_trained_with_is_noted(place: Recording, tmp_path: Path) -> None:
    from neuroai.runs.spikes_train import train

    trained = train(
        place, window=0.25, bin_width=0.05, epochs=1, width=16, baselines=False, out=tmp_path / "m"
    )
    options: dict[str, Any] = {"behaviour": ["position"], "shares": [1.0], "n_draws": 1, "baselines": False}
    own = decode(place, model=trained.path, out=tmp_path / "own", **options)
    other = decode(place, model=trained.path, split="random", out=tmp_path / "other", **options)
    assert not any("own split" in note for note in own.summary["notes"])
    assert any("own split" in note for note in other.summary["notes"])
    # Windows scattered over time cannot be tracked.
    assert list(other.summary["few_labels"]["position"]["methods"]) == ["frozen model"]
    assert any("not tracked" in note for note in other.summary["notes"])


def test_long_recordings_are_thinned_and_told(
    place: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuroai.runs.spikes_readout._MOST_WINDOWS", 70)
    model = model_for(place, tmp_path / "model", past=0.0)
    options: dict[str, Any] = {"behaviour": ["position"], "shares": [1.0], "n_draws": 1, "baselines": False}
    run = decode(place, model=model, out=tmp_path / "run", **options)
    assert 50 <= run.summary["few_labels"]["position"]["n_labels"][0] <= 70
    assert any("every 3 windows" in note for note in run.summary["notes"])
    assert run.summary["behaviour"]["position"]["r"][0] > 0.6


def test_what_cannot_be_decoded_is_said(place: Recording, tmp_path: Path) -> None:
    model = model_for(place, tmp_path / "model", past=0.0)
    with pytest.raises(ConfigError, match="nothing to decode"):
        decode(place, model=model, out=tmp_path / "run")
    with pytest.raises(DataError, match="no behaviour 'speed'"):
        decode(place, model=model, behaviour=["speed"], out=tmp_path / "run")
    for options, told in (
        ({"how": "read"}, "how = 'read'"),
        ({"how": "heads", "behaviour": ["position"]}, "heads decode what they learned"),
        ({"shares": [0.0]}, "above 0"),
        ({"n_draws": 0}, "n_draws = 0"),
        ({"min_speed": -1.0}, "min_speed = -1"),
    ):
        with pytest.raises(ConfigError, match=told):
            decode(place, model=model, out=tmp_path / "run", **options)
    with pytest.raises(DataError, match="test windows"):
        decode(place, model=model, behaviour=["position"], min_speed=99.0, out=tmp_path / "run")
    reads = model_for(place, tmp_path / "reads", past=0.0, modalities=(Modality("position"),))
    with pytest.raises(ConfigError, match="reads position as an input"):
        decode(place, model=reads, behaviour=["position"], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_command_prints_a_table(place: Recording, tmp_path: Path) -> None:
    model, file = model_for(place, tmp_path / "model", past=0.0), place.save(tmp_path / "place.h5")
    words = ["spikes", "decode", str(file), "--model", str(model), "--behaviour", "position", "--quiet"]
    words += ["--shares", "0.1,1", "--n-draws", "1", "--out", str(tmp_path / "run")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shown = CliRunner().invoke(app, words, catch_exceptions=False).stdout.splitlines()
    head = next(line for line in shown if line.startswith("median error, position"))
    row = next(line for line in shown if line.startswith("frozen model"))
    few = json.loads((tmp_path / "run" / "result.json").read_text())["few_labels"]["position"]
    assert head.split()[3::2] == [str(n) for n in few["n_labels"]]
    np.testing.assert_allclose(
        [float(x) for x in row.split()[2:]], few["methods"]["frozen model"]["score"], rtol=1e-3
    )
    assert main([*words[:-3], "--shares", "few"]) == 2
