"""Figures draw what they are given; the command measures on held-out samples and keeps what it fitted."""

from pathlib import Path

import numpy as np
import pytest

from neuroai.errors import ConfigError
from neuroai.plotting import whitening as plots
from neuroai.plotting.style import to_png
from neuroai.runs.whiten import METHODS, whiten
from neuroai.whitening import frames
from neuroai_datasets import Recording


def test_figures_show_what_they_are_given() -> None:
    ellipses = plots.covariance_ellipses(
        {"input": [[4.0, 0], [0, 1]], "response": np.eye(2)}, frame=frames.mercedes_benz()
    )
    assert np.abs(ellipses.lines[1].get_xydata()).max() == pytest.approx(2.0, abs=1e-3)
    assert len(ellipses.lines) == 1 + 2 + 3
    traces = plots.gain_traces(np.arange(6).reshape(3, 2), optimal=[4, 5])
    np.testing.assert_array_equal(traces.lines[0].get_ydata(), [0, 2, 4])
    np.testing.assert_array_equal(traces.lines[1].get_ydata(), [4, 4, 4])
    assert plots.error_curves({"a": [1.0, 0.0]}).lines[0].get_ydata()[1] == 1e-16
    same = plots.error_curves({"a": [1.0, 0.1], "b": [1.0, 0.2], "as a": [1.0, 0.1001]})
    wide, other, dashed = same.lines
    assert dashed.get_linestyle() == "--"
    assert wide.get_linewidth() > 2 * dashed.get_linewidth() == 2 * other.get_linewidth()
    by_distance = plots.correlation_by_distance({"a": [1, 0.5, 0.1]}, window=2)
    assert len(by_distance.patches) == 1
    basis = plots.basis_images(np.eye(6), (2, 3))
    assert basis.images[0].get_array().shape == (2 * 3 - 1, 3 * 4 - 1)
    maps = plots.correlation_maps({"before": [[1, 0.5], [0.5, 1]], "after": [[1, -0.1], [-0.1, 1]]})
    assert [axes.images[0].get_clim() for axes in maps.axes[:2]] == [(-0.5, 0.5)] * 2
    rows = plots.image_pairs({"input": np.eye(4)[None], "response": -np.eye(4)[None]})
    np.testing.assert_array_equal(rows.axes[1].images[0].get_array(), -np.eye(4))
    for axes in (ellipses, traces, by_distance, basis):
        assert to_png(axes.get_figure())[:4] == b"\x89PNG"


def recording(n: int = 6, samples: int = 400) -> Recording:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((samples, n)) @ rng.standard_normal((n, n)) + 2
    return Recording.from_arrays(np.column_stack([x, np.full(samples, 3.0)]), name="toy")


@pytest.mark.parametrize("method", ["gain", "local", "multi", "zca"])
def test_runs_whiten_held_out_samples(method: str, tmp_path: Path) -> None:
    run = whiten(recording(), method=method, window=6, out=tmp_path / "run")
    summary = run.summary
    assert summary["n_constant"] == 1
    assert summary["after"]["mean_correlation"] < 0.12 < summary["before"]["mean_correlation"]
    assert summary["after_on_fitted_samples"]["distance"] < 0.05
    assert (run.path / "model" / "parameters.safetensors").is_file()
    assert "<svg" in run.report.read_text()
    again = whiten(recording(), method=method, window=6, out=tmp_path / "run")
    assert again.manifest == run.manifest


def test_the_report_shows_gains_in_the_stream_and_correlations_in_the_window(tmp_path: Path) -> None:
    gain = whiten(recording(), out=tmp_path / "gain")
    assert {"correlations.svg", "spectrum.svg", "gains.svg"} == {
        path.name for path in (gain.path / "figures").glob("*.svg")
    }
    rng = np.random.default_rng(0)
    images = rng.standard_normal((600, 6, 6)).cumsum(1).cumsum(2)
    grid = Recording.from_arrays(images.reshape(600, -1), name="grid")
    local = whiten(grid, method="local", shape=(6, 6), window=2, out=tmp_path / "local")
    assert {"distance.svg", "images.svg"} <= {path.name for path in (local.path / "figures").glob("*.svg")}
    summary = local.summary
    assert summary["after"]["window_correlation"] < 0.1 < summary["before"]["window_correlation"]
    assert summary["after_on_fitted_samples"]["window_correlation"] < 2e-3


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"gain", "local", "multi", "zca"}))
def test_every_method_runs(method: str, tmp_path: Path) -> None:
    assert whiten(recording(), method=method, out=tmp_path / "run").summary["method"] == method


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there are: gain"):
        whiten(recording(), method="sphere", out=tmp_path / "run")
    with pytest.raises(ConfigError, match="window=0"):
        whiten(recording(), method="local", window=0, out=tmp_path / "run")
    with pytest.raises(ConfigError, match=r"shape=\(3, 3\): expected a grid of the \d+ targets"):
        whiten(recording(), method="local", shape=(3, 3), out=tmp_path / "run")
    noise = np.random.default_rng(0).standard_normal((20, 3))
    for scale in (1e200, 1e-200):
        with pytest.raises(ConfigError, match="too large or too small"):
            whiten(Recording.from_arrays(scale * noise, name="far"), out=tmp_path / "run")
    flat = Recording.from_arrays(np.ones((9, 2)), name="flat")
    with pytest.raises(ConfigError, match="too few to whiten"):
        whiten(flat, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
