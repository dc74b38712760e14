"""Curves by labels, positions in the plane, and traces that break where windows are missing."""

from typing import Any

import numpy as np

from neuroai.plotting import to_png
from neuroai.plotting.decoding import decoded_positions, label_curves
from neuroai.plotting.neuroformer import decoding_traces


def test_curves_hold_scores_intervals_and_draws() -> None:
    shares, middle = [0.01, 0.1, 1.0], np.array([9.0, 5.0, 3.0])
    curves = {name: (middle + k, middle + k - 1, middle + k + 2) for k, name in enumerate("ab")}
    axes: Any = label_curves(
        shares, curves, y="error", chance=12.0, draws={"a": np.ones((3, 2))}, title="place"
    )
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_array_equal(lines["b"].get_ydata(), middle + 1)
    np.testing.assert_allclose(lines["a"].get_xdata(), [1, 10, 100], rtol=0.05)
    ends = np.array(axes.collections[0].get_segments())[:, :, 1]
    np.testing.assert_array_equal(ends, np.stack([middle - 1, middle + 2], axis=1))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b", "constant guess"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "10", "100"]
    assert to_png(axes.get_figure())


def test_positions_are_coloured_by_error() -> None:
    true = np.random.default_rng(0).random((4000, 2))
    axes: Any = decoded_positions(true, true + np.array([0.3, 0.4]), unit="cm")
    measured, decoded = axes.collections
    assert len(measured.get_offsets()) <= 1500
    np.testing.assert_allclose(decoded.get_array(), 0.5)
    assert axes.get_xlabel() == "x (cm)"


def test_traces_break_where_windows_are_missing() -> None:
    times = np.array([0.0, 0.25, 0.5, 4.0, 4.25])
    axes: Any = decoding_traces(np.arange(5.0)[:, None], np.ones((5, 1)), times=times)
    line = axes.lines[0]
    np.testing.assert_array_equal(line.get_ydata(), [0, 1, 2, np.nan, 3, 4])
    assert np.isnan(line.get_xdata()[3])
