"""`neuroai dendrites`: what the commands compute, print and write."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from neuroai.cli import main
from neuroai.dendrites import theory
from neuroai.errors import ConfigError
from neuroai.runs.dendrites import dendrites_design, dendrites_theory
from neuroai.runs.dendrites_learning import dendrites_continual, dendrites_sequence


def test_theory_gives_every_combination(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["dendrites", "theory", "--n", "1000,100000", "--a", "40,100", "--s", "20", "--theta", "8,10"]
    assert main([*words, "--noise", "0.5", "--out", str(tmp_path / "run"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [(one["n"], one["a"], one["threshold"]) for one in summary["settings"]] == [
        (n, a, theta) for n in (1000, 100_000) for a in (40, 100) for theta in (8, 10)
    ]
    for one in summary["settings"]:
        expected = theory.false_match_probability(one["n"], one["a"], 20, one["threshold"])
        assert one["false_match"] == pytest.approx(float(expected), rel=1e-9)
        assert one["miss"] == float(theory.miss_probability(20, one["threshold"], 0.5, active=one["a"]))
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
    with xr.open_datatree(tmp_path / "run" / "result.nc") as tree:
        np.testing.assert_array_equal(
            tree["log10_false_match"], [s["log10_false_match"] for s in summary["settings"]]
        )


def test_probabilities_too_small_for_a_float_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--n", "1000000", "--a", "200", "--s", "150", "--theta", "150"]
    assert main(["dendrites", "theory", *words, "--out", str(tmp_path / "run")]) == 0
    printed = capsys.readouterr().out
    whole = int(np.floor(float(theory.log10_false_match_probability(1_000_000, 200, 150, 150))))
    assert whole < -300
    assert f"e{whole:d}" in printed


def test_unions_and_lists_of_patterns(tmp_path: Path) -> None:
    run = dendrites_theory(n=20_000, a=200, s=20, theta=10, patterns=[1, 5, 10], out=tmp_path / "run")
    found = [one["false_match"] for one in run.summary["settings"]]
    # Exact values of the union's size distribution.
    assert found == pytest.approx([1.35079751494e-15, 6.21189894631e-8, 3.33257247831e-5], rel=1e-8)


def test_design_meets_its_bounds_and_is_the_smallest(tmp_path: Path) -> None:
    summary = dendrites_design(
        n=4000, a=80, false_match=1e-10, miss=1e-4, noise=0.2, out=tmp_path / "run"
    ).summary
    s, theta = summary["synapses"], summary["threshold"]
    assert summary["false_match"] <= 1e-10
    assert summary["miss"] <= 1e-4
    levels = np.arange(1, s)
    false = theory.false_match_probability(4000, 80, s - 1, levels)
    miss = theory.miss_probability(s - 1, levels, 0.2, active=80)
    assert not ((false <= 1e-10) & (miss <= 1e-4)).any()
    assert theta <= s
    assert json.loads((tmp_path / "run" / "result.json").read_text())["asked"] == {
        "false_match": 1e-10,
        "miss": 1e-4,
    }


def test_sequence_shows_context_at_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["dendrites", "sequence", "--elements", "1500", "--switch", "1000", "--quiet"]
    assert main([*words, "--out", str(tmp_path / "run"), "--json"]) == 0
    memories = json.loads(capsys.readouterr().out)["memories"]
    with_context, first_order = memories["32 cells a column"], memories["1 cell a column (first order)"]
    assert with_context["before"] > first_order["before"] + 0.08
    assert with_context["after_switch"] < with_context["before"] - 0.1
    with xr.open_datatree(tmp_path / "run" / "result.nc") as tree:
        steps = tree["accuracy"].sel(memory="32 cells a column").values
    assert steps[500:1000].mean() == pytest.approx(with_context["before"])


def test_continual_writes_accuracies_intervals_and_gaps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["dendrites", "continual", "--tasks", "2", "--methods", "mlp,kwinners", "--seeds", "2"]
    assert main([*words, "--epochs", "2", "--hidden", "32", "--out", str(tmp_path / "run"), "--json"]) == 0
    printed = capsys.readouterr()
    summary = json.loads(printed.out.splitlines()[-1])
    assert "mlp" in printed.err  # progress
    for one in summary["methods"].values():
        assert one["mean"] == pytest.approx(np.mean(one["final"]))
        assert one["low"] < one["mean"] < one["high"]
        assert one["published"] is None
    (gap,) = summary["gaps"]
    final = {name: np.array(one["final"]) for name, one in summary["methods"].items()}
    assert gap["mean"] == pytest.approx((final[gap["better"]] - final[gap["worse"]]).mean())
    page = (tmp_path / "run" / "report.html").read_text()
    cells = re.findall(r"<td[^>]*>\s*(.*?)\s*</td>", page, re.S)
    assert cells.count("k-winners only") == cells.count("MLP") == 2  # one name a method, in both tables
    with xr.open_datatree(tmp_path / "run" / "result.nc") as tree:
        accuracy = tree["accuracy"].sel(network="mlp").values
    np.testing.assert_allclose(accuracy[:, 1].mean(1), final["mlp"])
    # The same options again: the run that is there, at once.
    assert main([*words, "--epochs", "2", "--hidden", "32", "--out", str(tmp_path / "run"), "--quiet"]) == 0
    assert "MLP" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["theory", "--theta", "30"], "theta must be at most s"),
        (["theory", "--a", "20000"], "a=20000"),
        (["theory", "--noise", "some"], "expected numbers"),
        (["design", "--noise", "0.9", "--miss", "1e-9"], "meets both bounds"),
        (["sequence", "--elements", "100"], "expected 500 <= switch"),
        (["sequence", "--cells", "0"], "cells a column"),
        (["continual", "--images", "cifar"], "no images 'cifar'"),
        (["continual", "--methods", "transformer"], "there are: dendrites"),
        (["continual", "--tasks", "1"], "at least 2 tasks"),
        (["continual", "--device", "tpu"], "expected cpu or cuda"),
    ],
)
def test_impossible_requests_say_what_to_do_and_write_nothing(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dendrites", *words, "--out", str(tmp_path / "run")]) == 2
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_functions_refuse_what_makes_no_sense(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="n is empty"):
        dendrites_theory(n=[], out=tmp_path / "run")
    with pytest.raises(ConfigError, match="combinations"):
        dendrites_theory(n=list(range(1000, 2000)), a=list(range(1, 200)), out=tmp_path / "run")
    with pytest.raises(ConfigError, match="all different"):
        dendrites_sequence(cells=[4, 4], out=tmp_path / "run")
    with pytest.raises(ConfigError, match="at least one"):
        dendrites_continual(methods=[], out=tmp_path / "run")
    with pytest.raises(ConfigError, match="epochs=0"):
        dendrites_continual(epochs=0, out=tmp_path / "run")


@pytest.mark.slow
def test_demo_ends_in_a_report_and_shows_the_claim(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "dendrites", "--out", str(tmp_path / "run"), "--quiet"]) == 0
    assert capsys.readouterr().out.strip().endswith("report.html")
    methods = json.loads((tmp_path / "run" / "result.json").read_text())["methods"]
    assert methods["dendrites"]["low"] > max(methods["kwinners"]["high"], methods["mlp"]["high"])
