"""The command: models against regions, from pictures to a report."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from neuroai.cli.app import app
from neuroai.errors import ConfigError
from neuroai.geometry import compare, noise_ceiling, rdm
from neuroai.runs.geometry import geometry
from neuroai_datasets import Recording
from neuroai_datasets.loading import load
from neuroai_datasets.stimulus import ArrayStimulus


def toy() -> Recording:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (12, 8, 8), dtype=np.uint8)
    index = np.tile(np.arange(12), 2)
    responses = pictures.reshape(12, -1)[index] @ rng.standard_normal((64, 30)) / 100
    responses += rng.standard_normal(responses.shape)
    return Recording.from_arrays(
        responses, name="toy", stimulus=ArrayStimulus(pictures), stimulus_index=index
    )


def test_scores_are_those_of_the_library_and_the_page_is_whole(tmp_path: Path) -> None:
    recording = toy()
    run = geometry(recording, features="pixels", draws=50, out=tmp_path / "run")
    means = recording.responses.values.reshape(2, 12, -1).mean(axis=0)  # type: ignore[union-attr]
    pictures = np.asarray(recording.stimulus[:], dtype=float).reshape(12, -1)  # type: ignore[index]
    found = run.summary["regions"]["all targets"]
    assert found["scores"]["pixels"]["score"] == pytest.approx(compare(rdm(pictures), rdm(means)), abs=1e-6)
    assert found["ceiling"] is None
    low, high = found["scores"]["pixels"]["interval"]
    assert low < found["scores"]["pixels"]["score"] < high
    assert found["scores"]["pixels"]["p"] == pytest.approx(1 / 51)
    assert "all targets" in run.report.read_text()
    again = geometry(recording, features="pixels", draws=50, out=tmp_path / "run")
    assert again.summary == run.summary
    with pytest.raises(ConfigError, match="another configuration"):
        geometry(recording, features="pixels", draws=51, out=tmp_path / "run")
    with pytest.raises(ConfigError, match="choose one of"):
        geometry(recording, measure="tau")


def test_human_and_monkey_from_the_command(data_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = [
        "geometry",
        str(data_root / "objects92_kriegeskorte"),
        "--features",
        "pixels",
        "--measure",
        "pearson",
    ]
    result = CliRunner().invoke(app, [*words, "--draws", "20", "--out", str(out), "--json", "--quiet"])
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout.splitlines()[-1])
    assert summary["between"]["human_IT - monkey_IT"] == pytest.approx(0.4912, abs=5e-5)
    assert summary["regions"]["judgement"]["n_subjects"] == 16
    assert (out / "figures" / "scores.svg").is_file()


def test_ceilings_from_the_command(data_root: Path, tmp_path: Path) -> None:
    path = data_root / "objects92"
    run = geometry(path, features="pixels", draws=20, out=tmp_path / "run")
    area = load(path).tree["rdm"].to_dataset()["IT"].values
    assert run.summary["regions"]["IT"]["ceiling"] == pytest.approx(list(noise_ceiling(area)))
    assert run.summary["regions"]["IT"]["n_subjects"] == 15
