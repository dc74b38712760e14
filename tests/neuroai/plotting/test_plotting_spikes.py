"""Spike figures show what they are given."""

import numpy as np
import pytest

from neuroai.plotting.spikes import correlation_histogram, distribution_lines, raster, rate_bars


def test_raster_draws_the_spikes_of_its_window() -> None:
    trains = {"E": [[0.1, 0.6], [0.2]], "I": [[0.3, 0.4]], "silent": [[]]}
    ax = raster(trains, window=(0.0, 0.5))
    points = [np.asarray(group.get_offsets()) for group in ax.collections]
    np.testing.assert_allclose(points[0], [[0.1, 0.0], [0.2, -1.0]])
    np.testing.assert_allclose(points[1], [[0.3, -2.0], [0.4, -2.0]])
    assert len(points[2]) == 0
    assert [label.get_text() for label in ax.get_yticklabels()] == ["E", "I", "silent"]


def test_rate_bars_carry_the_reference_and_its_tolerance() -> None:
    ax = rate_bars({"E": 4.0, "I": 8.0}, reference={"I": 10.0}, tolerance={"I": 0.1}, reference_label="NEST")
    assert [bar.get_height() for bar in ax.patches] == [4.0, 8.0]
    error = ax.containers[1]
    ends = error.lines[2][0].get_segments()[0][:, 1]  # type: ignore[union-attr]
    np.testing.assert_allclose(ends, [9.0, 11.0])
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["this run", "NEST"]


@pytest.mark.parametrize("logarithmic", [False, True])
def test_densities_integrate_to_one(logarithmic: bool) -> None:
    values = np.random.default_rng(0).gamma(2.0, 0.05, 4000) + 1e-3
    ax = distribution_lines({"E": values}, x="ISI (s)", limits=(1e-3, 2.0), logarithmic=logarithmic)
    x, y = np.asarray(ax.lines[0].get_xydata()).T
    assert np.trapezoid(y, x) == pytest.approx(1.0, abs=0.01)


def test_cumulated_shares_pass_the_median_at_a_half() -> None:
    values = np.append(np.linspace(0.0, 10.0, 2001), np.nan)
    ax = distribution_lines({"E": values, "none": [np.nan]}, x="rate", cumulative=True)
    assert len(ax.lines) == 1
    x, y = np.asarray(ax.lines[0].get_xydata()).T
    assert np.interp(5.0, x, y) == pytest.approx(0.5, abs=0.005)


def test_groups_without_spread_or_values_are_drawn() -> None:
    assert len(distribution_lines({"E": [2.0, 2.0]}, x="rate").lines) == 1
    assert len(distribution_lines({"E": []}, x="rate").lines) == 0
    assert len(correlation_histogram({"E": []}).lines) == 1  # the line at 0
