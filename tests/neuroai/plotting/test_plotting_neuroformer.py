"""Figures of a spiking transformer draw what they are given, also at the edges."""

import numpy as np
import pytest
from scipy.stats import ks_2samp

from neuroai.plotting import to_png
from neuroai.plotting.neuroformer import (
    connectivity_matrix,
    cumulative_lines,
    decoding_traces,
    latent_plane,
    learning_curves,
    psth_lines,
    score_bars,
    unit_scatter,
)


def test_learning_curves_mark_the_kept_epoch() -> None:
    axes = learning_curves([3.0, 2.0, 1.0], [3.0, 2.5, 2.6], best=1)
    assert axes.lines[-1].get_xdata()[0] == 2  # epochs count from 1 on paper
    assert axes.lines[0].get_ydata().tolist() == [3.0, 2.0, 1.0]


def test_psths_are_in_spikes_a_second() -> None:
    axes = psth_lines(np.full((10, 5), 0.2), {"generated": np.full((10, 5), 0.3)}, period=0.01)
    panels = axes.figure.axes
    assert len(panels) == 5
    assert panels[0].lines[0].get_ydata()[0] == pytest.approx(30.0)
    assert panels[-1].get_xlabel() == "time (s)"


def test_traces_keep_gaps_and_stay_readable() -> None:
    true = np.ones((2000, 1))
    true[5] = np.nan
    axes = decoding_traces(true, np.zeros((2000, 1)))
    assert len(axes.lines[0].get_ydata()) == 800
    assert np.isnan(axes.lines[0].get_ydata()[5])
    axes.get_figure().canvas.draw()  # places the legend: above the traces, not on them
    assert axes.get_legend().get_window_extent().y0 >= axes.get_window_extent().y1 - 1


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_matrices_leave_the_diagonal_out_and_show_sign(sign: float) -> None:
    strength = sign * np.arange(16.0).reshape(4, 4)
    axes = connectivity_matrix(strength, edges=np.eye(4, k=1))
    shown = np.ma.filled(axes.images[0].get_array(), np.nan)
    assert np.isnan(np.diag(shown)).all()
    low, high = axes.images[0].get_clim()
    assert (low == 0.0) if sign > 0 else (low == -high)
    assert len(axes.collections[0].get_offsets()) == 3


def test_bars_show_folds_and_chance() -> None:
    axes = score_bars({"a": 0.5, "b": 0.7}, y="bits", chance=0.1, spreads={"a": [0.4, 0.6]})
    assert len(axes.collections[0].get_offsets()) == 2
    assert axes.lines[0].get_ydata()[0] == 0.1


def test_missing_values_are_left_out_of_scatters() -> None:
    axes = unit_scatter([1.0, np.nan, 3.0], [1.0, 2.0, np.nan], what="rate")
    assert len(axes.collections[0].get_offsets()) == 1
    empty = unit_scatter([np.nan], [1.0], what="rate")
    assert to_png(empty.figure).startswith(b"\x89PNG")  # type: ignore[arg-type]
    assert latent_plane(np.ones((3, 2))).get_xlabel() == "component 1"


def test_the_gap_between_cumulated_lines_is_the_ks_distance() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(50), rng.random(60) ** 2
    axes = cumulative_lines({"a": a, "b": b}, x="x")
    grid = np.linspace(0, 1, 4001)
    lines = [line for line in axes.lines if len(line.get_xdata()) > 1]
    heights = [
        np.concatenate([[0.0], line.get_ydata()])[np.searchsorted(line.get_xdata(), grid, side="right")]
        for line in lines
    ]
    assert np.abs(heights[0] - heights[1]).max() == pytest.approx(ks_2samp(a, b).statistic, abs=0.02)
    assert not cumulative_lines({"a": [-1.0, np.nan]}, x="x", logarithmic=True).lines
