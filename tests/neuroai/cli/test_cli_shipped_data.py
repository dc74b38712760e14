"""One command on recordings that ship with the project: at the level of the published simple baselines."""

import json
import os
from pathlib import Path

import pytest

from neuroai.cli import main


@pytest.mark.parametrize(
    ("name", "least"),
    [("haxby2001", {"median_r": 0.065, "p95_r": 0.275}), ("fmri_timeseries", {"median_r": 0.435})],
)
def test_defaults_reach_the_baseline(
    name: str,
    least: dict[str, float],
    data_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NEUROAI_DATA", os.fspath(data_root))
    words = ["encode", name, "--out", str(tmp_path / "run"), "--json", "--quiet", "--permutations", "100"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    for key, value in least.items():
        assert found[key] >= value
    assert (tmp_path / "run" / "report.html").is_file()
