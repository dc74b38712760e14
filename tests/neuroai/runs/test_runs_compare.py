"""Comparisons: closed-form intervals, refusals, a page."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import neuroai
from neuroai.errors import ConfigError, DataError
from neuroai.runs.compare import paired_difference

QUICK: dict[str, Any] = {"features": "pixels", "permutations": 0, "cv": 3, "alphas": "1e-3:1e3:7"}


def test_paired_difference_agrees_with_the_t_test() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(0.3, 0.1, 400)
    second = first + rng.normal(0.01, 0.08, 400)
    found = paired_difference(first, second)
    test = stats.ttest_rel(second, first)
    interval = test.confidence_interval(0.95)
    assert found["low"] == pytest.approx(interval.low, abs=2e-3)
    assert found["high"] == pytest.approx(interval.high, abs=2e-3)
    assert found["p"] == pytest.approx(test.pvalue, abs=0.02)


def test_undefined_targets_drop_out_of_pairs() -> None:
    found = paired_difference(np.array([0.1, np.nan, 0.3]), np.array([0.2, 0.2, np.nan]))
    assert found["n"] == 1
    assert paired_difference(np.array([np.nan]), np.array([0.1]))["n"] == 0


def test_null_p_values_are_uniform() -> None:
    rng = np.random.default_rng(1)
    p = [paired_difference(np.zeros(30), rng.standard_normal(30), seed=seed)["p"] for seed in range(60)]
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_compare_writes_a_page(trial_recording: Any, tmp_path: Path) -> None:
    a = neuroai.encode(trial_recording, readout="ridge", out=tmp_path / "a", **QUICK)
    b = neuroai.encode(trial_recording, readout="pca-ridge", out=tmp_path / "b", **QUICK)
    found = neuroai.compare(a.path, b.path, out=tmp_path / "both")
    assert [entry["name"] for entry in found.summary["runs"]] == ["ridge", "pca-ridge"]
    assert found.summary["runs"][0]["median_r"] == pytest.approx(a.summary["median_r"])
    assert "pca-ridge" in found.report.read_text()
    assert neuroai.compare(a.path, b.path, out=tmp_path / "both").manifest == found.manifest
    with pytest.raises(ConfigError, match="two or more"):
        neuroai.compare(a.path)
    part = trial_recording.select(targets=slice(0, 3))
    c = neuroai.encode(part, readout="ridge", out=tmp_path / "c", **QUICK)
    with pytest.raises(DataError, match="same targets"):
        neuroai.compare(a.path, c.path, out=tmp_path / "x")


def test_a_run_given_twice_is_refused_and_an_equal_one_is_compared(
    trial_recording: Any, tmp_path: Path
) -> None:
    a = neuroai.encode(trial_recording, readout="ridge", out=tmp_path / "a", **QUICK)
    again = neuroai.encode(trial_recording, readout="ridge", out=tmp_path / "again", **QUICK)
    with pytest.raises(ConfigError, match=r"are the same run.*give each run directory once"):
        neuroai.compare(a.path, again.path, tmp_path / "again" / ".." / "a", out=tmp_path / "both")
    assert not (tmp_path / "both").exists()
    pair = neuroai.compare(a.path, again.path, out=tmp_path / "both").summary["pairs"][0]
    assert (pair["difference"], pair["p"]) == (0, 1)


def test_runs_of_other_commands_are_named(trial_recording: Any, tmp_path: Path) -> None:
    a = neuroai.encode(trial_recording, readout="ridge", out=tmp_path / "a", **QUICK)
    b = neuroai.encode(trial_recording, readout="pca-ridge", out=tmp_path / "b", **QUICK)
    both = neuroai.compare(a.path, b.path, out=tmp_path / "both")
    with pytest.raises(ConfigError, match="is a run of `neuroai compare`, expected one of `neuroai encode`"):
        neuroai.compare(a.path, both.path)
    with pytest.raises(ConfigError, match=r"its own report is .*both/report\.html"):
        neuroai.runs.report(both.path)
    assert neuroai.runs.report(a.path) == a.report
