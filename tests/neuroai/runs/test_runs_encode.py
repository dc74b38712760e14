"""The whole way: recording in, run directory out; numbers against independent computations."""

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import neuroai
from neuroai.encoders.features import FeatureMaps
from neuroai.errors import ConfigError, InterruptedRunError, MemoryBudgetError
from neuroai.runs import fitting
from neuroai.runs.directory import open_run
from neuroai.runs.encode import encode, plan
from neuroai.runs.reporting import report
from neuroai_datasets.store import open_tree

QUICK: dict[str, Any] = {"permutations": 50, "cv": 3, "alphas": "1e-3:1e3:7"}


def test_a_run_holds_what_the_design_says(trial_recording: Any, tmp_path: Path) -> None:
    run = neuroai.encode(trial_recording, features="pixels", out=tmp_path / "run", **QUICK)
    names = {path.name for path in run.path.iterdir()}
    files = {"config.toml", "result.json", "result.nc", "report.html", "manifest.json"}
    assert names == files | {"model", "figures"}
    wanted = {
        "median_r",
        "mean_r",
        "p95_r",
        "n_targets",
        "n_undefined",
        "alphas_at_edge",
        "seconds",
        "peak_mib",
    }
    assert wanted | {"median_r2_over_ceiling"} <= set(run.summary)
    assert run.summary["median_r"] > 0.8
    assert tomllib.loads((run.path / "config.toml").read_text())["readout"] == "ridge"
    assert {"versions", "seed", "files", "digest"} <= set(run.manifest)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    html = run.report.read_text()
    assert "Nobody (2000)" in html
    assert "CC0-1.0" in html
    assert all(str(tmp_path) not in path.read_text() for path in run.path.glob("*.json"))


def test_scores_are_those_of_the_joined_predictions(
    trial_recording: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Any] = []
    original = fitting.fit_folds
    monkeypatch.setattr(fitting, "fit_folds", lambda *a: kept.append((a[0], original(*a))) or kept[-1][1])
    run = encode(trial_recording, features="pixels", out=tmp_path / "run", **QUICK)
    ((inputs, predictions),) = kept
    tree = open_tree(run.path / "result.nc")
    expected = [stats.pearsonr(inputs.responses[:, v], predictions[:, v]).statistic for v in range(6)]
    np.testing.assert_allclose(tree["r"].values, expected, atol=1e-6)
    assert run.summary["median_r"] == pytest.approx(np.median(expected), abs=1e-6)
    assert np.isfinite(predictions).all()


def test_constant_target_is_counted_not_scored(constant_recording: Any, tmp_path: Path) -> None:
    run = encode(constant_recording, features="pixels", out=tmp_path / "run", **QUICK)
    assert run.summary["n_undefined"] == 1
    assert run.summary["median_r"] > 0.8
    assert "1 of 6 targets have no defined score" in run.report.read_text()


def test_series_leave_one_run_out(series_recording: Any, tmp_path: Path) -> None:
    run = encode(series_recording, out=tmp_path / "run", permutations=50)
    assert run.summary["features"].startswith("events-hrf")
    assert run.summary["folds"] == 4
    r = open_tree(run.path / "result.nc")["r"].values
    assert r[:2].min() > 0.5
    assert abs(r[3]) < 0.3
    config = run.config
    assert (config["detrend"], config["standardise"]) == ("linear", "run")
    assert (run.path / "figures" / "map.svg").is_file()


def test_same_configuration_is_not_repeated_and_another_is_refused(
    trial_recording: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    first = encode(trial_recording, features="pixels", out=out, **QUICK)
    with monkeypatch.context() as patch:
        patch.setattr(fitting, "fit_folds", None)
        assert encode(trial_recording, features="pixels", out=out, **QUICK).summary == first.summary
    with pytest.raises(ConfigError, match="another configuration"):
        encode(trial_recording, features="pixels", out=out, **{**QUICK, "seed": 1})
    other = trial_recording.select(samples=slice(0, 50))
    with pytest.raises(ConfigError, match="another configuration"):
        encode(other, features="pixels", out=out, **QUICK)


def test_interrupted_run_goes_on_from_its_finished_folds(
    trial_recording: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = encode(trial_recording, features="pixels", out=tmp_path / "whole", **QUICK)
    fits: list[int] = []
    original = fitting._fitted

    def stopping(*arguments: Any) -> Any:
        if len(fits) == 2:
            raise KeyboardInterrupt
        fits.append(1)
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(fitting, "_fitted", stopping)
        with pytest.raises(InterruptedRunError):
            encode(trial_recording, features="pixels", out=tmp_path / "run", **QUICK)
    assert not (tmp_path / "run").exists()

    def counting(*arguments: Any) -> Any:
        fits.append(1)
        return original(*arguments)

    monkeypatch.setattr(fitting, "_fitted", counting)
    resumed = encode(trial_recording, features="pixels", out=tmp_path / "run", **QUICK)
    assert len(fits) == 2 + 1 + 1  # two before, the third fold, the model on all rows
    for name in ("r", "r2", "p"):
        expected = open_tree(whole.path / "result.nc")[name].values
        assert np.array_equal(open_tree(resumed.path / "result.nc")[name].values, expected)


def test_damaged_fold_is_fitted_again(
    trial_recording: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = fitting.fit_all
    monkeypatch.setattr(fitting, "fit_all", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(InterruptedRunError):
        encode(trial_recording, features="pixels", out=tmp_path / "run", **QUICK)
    fold = next((tmp_path / ".run.partial" / "folds").glob("0001.f32"))
    fold.write_bytes(fold.read_bytes()[:-4] + b"\0\0\0\0")
    monkeypatch.setattr(fitting, "fit_all", original)
    run = encode(trial_recording, features="pixels", out=tmp_path / "run", **QUICK)
    whole = encode(trial_recording, features="pixels", out=tmp_path / "whole", **QUICK)
    assert run.summary["median_r"] == whole.summary["median_r"]


def test_given_features_and_readout_options(trial_recording: Any, tmp_path: Path) -> None:
    maps = FeatureMaps(trial_recording.stimulus[:].reshape(60, 1, 4, 4).astype(np.float32), "mine")
    run = encode(trial_recording, features=maps, readout="ridge", out=tmp_path / "run", **QUICK)
    assert run.summary["features"] == "mine"
    assert run.summary["in_memory"] is True
    with pytest.raises(ConfigError, match="no option"):
        encode(trial_recording, features=maps, readout="ridge:nonsense=1", out=tmp_path / "b", **QUICK)


def test_plan_fits_nothing_and_budget_is_kept(trial_recording: Any, tmp_path: Path) -> None:
    planned = plan(trial_recording, features="pixels", out=tmp_path / "run", **QUICK)
    assert (planned.n_samples, planned.n_targets, planned.folds) == (60, 6, 3)
    assert planned.features == {"pixels": (1, 4, 4)}
    assert json.dumps(planned.to_dict())
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(MemoryBudgetError, match="--memory"):
        encode(trial_recording, features="pixels", out=tmp_path / "run", memory="1kB", **QUICK)
    assert list(tmp_path.iterdir()) == []


def test_report_is_drawn_again_from_the_directory(trial_recording: Any, tmp_path: Path) -> None:
    run = encode(trial_recording, features="pixels", out=tmp_path / "run", **QUICK)
    before = run.report.read_text()
    assert report(run.path) == run.report
    assert run.report.read_text() == before
    assert open_run(run.path).summary == run.summary


def test_model_predicts_after_loading(trial_recording: Any, tmp_path: Path) -> None:
    from neuroai.encoders.designs import design
    from neuroai.encoders.readouts import RidgeReadout

    run = encode(trial_recording, features="pixels", out=tmp_path / "run", **QUICK)
    model = RidgeReadout.load(run.path / "model")
    assert model.score(design(trial_recording, "pixels"), trial_recording.responses.values) > 0.8


@pytest.mark.parametrize("queries", ["roi", "vertex"])
@pytest.mark.parametrize("layers", [1, 2])
def test_attention_is_drawn_over_stimuli(
    trial_recording: Any, tmp_path: Path, queries: str, layers: int
) -> None:
    pictures = trial_recording.stimulus[:][:, None].astype(np.float32)
    given = [FeatureMaps(pictures, "fine"), FeatureMaps(pictures[:, :, ::2, ::2], "coarse")][:layers]
    readout = f"attention:queries={queries},epochs=1,n_members=1,d_model=8,n_heads=2"
    run = encode(trial_recording, features=given, readout=readout, out=tmp_path / "run", permutations=0, cv=2)
    attention = open_tree(run.path / "result.nc")["attention"].to_dataset()
    np.testing.assert_allclose(attention["maps"].sum(("row", "column")), 1, atol=1e-4)
    assert (run.path / "figures" / "attention.svg").is_file()
    assert str(tmp_path) not in (run.path / "model" / "readout.json").read_text()


def test_a_named_device_gives_the_same_scores(trial_recording: Any, tmp_path: Path) -> None:
    """``cpu:0`` takes the way of tensors on a device, which a machine without a GPU can follow too."""
    plain = encode(trial_recording, features="pixels", out=tmp_path / "a", **QUICK)
    placed = encode(trial_recording, features="pixels", out=tmp_path / "b", device="cpu:0", **QUICK)
    assert placed.summary["median_r"] == pytest.approx(plain.summary["median_r"], abs=1e-6)
