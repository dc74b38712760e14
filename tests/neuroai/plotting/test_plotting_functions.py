"""Every figure function returns axes, draws into the given ones, and touches no global state."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from neuroai import plotting

RNG = np.random.default_rng(0)
R = np.where(RNG.random(60) < 0.1, np.nan, RNG.normal(0.2, 0.1, 60))
MASK = np.zeros((5, 4, 3), bool)
MASK[:] = True
CASES: dict[str, Callable[..., Axes]] = {
    "score_histogram": lambda ax: plotting.score_histogram(R, significant=R > 0.2, title="a$b$^", ax=ax),
    "alpha_histogram": lambda ax: plotting.alpha_histogram(10.0 ** RNG.integers(-2, 3, 60), ax=ax),
    "ceiling_scatter": lambda ax: plotting.ceiling_scatter(R**2, R**2 + 0.1, ax=ax),
    "comparison_histogram": lambda ax: plotting.comparison_histogram(R, R + 0.1, ax=ax),
    "comparison_histogram_many": lambda ax: plotting.comparison_histogram(
        RNG.normal(size=900), RNG.normal(size=900), ax=ax
    ),
    "model_bars": lambda ax: plotting.model_bars(
        ["a", "b"], [0.1, 0.2], [[0, 0.2], [0.1, 0.3]], ceiling=0.5, ax=ax
    ),
    "attention_over_image": lambda ax: plotting.attention_over_image(
        RNG.random((8, 8, 3)), RNG.random((2, 2)), ax=ax
    ),
    "receptive_field": lambda ax: plotting.receptive_field(RNG.normal(size=(4, 4)), ax=ax),
    "volume_map": lambda ax: plotting.volume_map(R, MASK, ax=ax),
    "target_bars": lambda ax: plotting.target_bars(R, ceiling=R + 0.1, ax=ax),
    "position_map": lambda ax: plotting.position_map(R, R, np.arange(60), ax=ax),
    "roi_bars": lambda ax: plotting.roi_bars(R, {"a": R > 0.2, "none": R > 9}, ceiling=R + 0.1, ax=ax),
    "predicted_scatter": lambda ax: plotting.predicted_scatter(R, R, ax=ax),
    "predicted_trace": lambda ax: plotting.predicted_trace(R, R, times=np.arange(60) * 2.0, ax=ax),
}


@pytest.mark.parametrize("name", CASES)
def test_draws_alone_and_into_given_axes(name: str) -> None:
    alone = CASES[name](None)
    assert isinstance(alone, Axes)
    given = plotting.new_figure().add_subplot()
    assert CASES[name](given) is given
    assert len(plotting.to_png(alone.get_figure(), dpi=40)) > 200  # type: ignore[arg-type]
    assert "<svg" in plotting.to_svg(alone.get_figure())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["score_histogram", "alpha_histogram", "target_bars", "comparison_histogram"]
)
def test_nothing_defined_is_said_not_drawn(name: str) -> None:
    nothing = np.full(4, np.nan)
    arguments = (nothing, nothing) if name == "comparison_histogram" else (nothing,)
    axes = getattr(plotting, name)(*arguments)
    assert any(text.get_text().startswith("no ") for text in axes.texts)


def test_empty_regions_stay_on_the_axis() -> None:
    axes = plotting.roi_bars(
        [0.1, np.nan], {"empty": [False, False], "undefined": [False, True], "a": [True, False]}
    )
    assert [text.get_text() for text in axes.get_xticklabels()] == ["empty (0)", "undefined (0)", "a (1)"]
    assert axes.get_xlim() == pytest.approx((-0.6, 2.6))


def test_volume_map_places_every_voxel() -> None:
    """The multiset of drawn values equals the input's, whatever the arrangement."""
    mask = RNG.random((6, 5, 7)) < 0.5
    values = RNG.random(int(mask.sum()))
    drawn = np.ma.filled(plotting.volume_map(values, mask).images[0].get_array(), np.nan)
    assert np.array_equal(np.sort(drawn[np.isfinite(drawn)]), np.sort(values))
    with pytest.raises(ValueError, match="voxels"):
        plotting.volume_map(values[1:], mask)


def test_same_figure_same_bytes_and_names_stay_text() -> None:
    def draw() -> Any:
        return plotting.roi_bars([0.1, 0.2], {"<b>$x_{": [True, True]}).get_figure()

    first, second = plotting.to_svg(draw()), plotting.to_svg(draw())
    assert first == second
    assert "&lt;b&gt;$x_{" in first
    assert "<b>" not in first


def test_no_figure_survives_in_pyplot_and_import_is_lazy() -> None:
    code = (
        "import sys, neuroai.plotting as p; assert 'matplotlib' not in sys.modules\n"
        "p.score_histogram([0.1, 0.2]); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_figures_of_many_targets_stay_small() -> None:
    r = RNG.random(50_000)
    half = np.where(r > 0.5, np.nan, r)
    names = [str(index) for index in range(r.size)]
    for axes in (
        plotting.target_bars(half, names=names, ceiling=r),
        plotting.position_map(half, r, r[::-1]),
        plotting.ceiling_scatter(half, r),
    ):
        assert len(plotting.to_svg(axes.get_figure())) < 400_000  # type: ignore[arg-type]
