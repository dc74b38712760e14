"""Searchlights against the dissimilarities of each sphere taken by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from neuroai import geometry
from neuroai.errors import ConfigError, DataError, MemoryBudgetError, ShapeError
from neuroai.geometry.neighbourhoods import as_volume
from neuroai.geometry.searchlight import _shrunk_factor

RNG = np.random.default_rng(0)
MASK = RNG.random((6, 7, 5)) < 0.7
VOXELS = np.argwhere(MASK)
PATTERNS = RNG.standard_normal((3, 4, len(VOXELS)))
RESIDUALS = RNG.standard_normal((60, len(VOXELS))) @ (
    np.eye(len(VOXELS)) + 0.2 * RNG.random((len(VOXELS), len(VOXELS))) / 10
)
SIZE = (2.0, 2.0, 3.0)


def members(centre: int, radius: float) -> NDArray[np.int64]:
    distance = np.linalg.norm((VOXELS - VOXELS[centre]) * SIZE, axis=1)
    return np.flatnonzero(distance <= radius + 1e-9)


@pytest.mark.parametrize("noise", ["identity", "diagonal", "shrunk"])
@pytest.mark.parametrize("memory", ["4GiB", "3MiB"])
def test_every_centre_is_the_crossnobis_of_its_sphere(noise: str, memory: str) -> None:
    residuals = None if noise == "identity" else RESIDUALS
    found = geometry.searchlight(
        PATTERNS, MASK, radius=4.2, voxel_size=SIZE, noise=noise, residuals=residuals, n_jobs=2, memory=memory
    )  # type: ignore[arg-type]
    for centre in range(0, len(VOXELS), 7):
        inside = members(centre, 4.2)
        precision = None
        if noise == "diagonal":
            precision = 1 / RESIDUALS[:, inside].var(axis=0)
        elif noise == "shrunk":
            factor = _shrunk_factor(RESIDUALS[:, inside])
            precision = np.linalg.inv(factor @ factor.T)
        expected = geometry.crossnobis(PATTERNS[:, :, inside], precision)
        np.testing.assert_allclose(found[centre], expected, rtol=2e-5, atol=1e-6)


def test_shrinkage_is_that_of_schaefer_and_strimmer() -> None:
    """Their intensity in its textbook form: summed variances of the correlations over summed squares."""
    data = np.random.default_rng(1).standard_normal((40, 12))
    data[:, 1] += data[:, 0]
    factor = _shrunk_factor(data)
    unit = (data - data.mean(axis=0)) / data.std(axis=0)
    products = unit[:, :, None] * unit[:, None, :]
    mean = products.mean(axis=0)
    variance = products.var(axis=0) / len(data)
    off = ~np.eye(12, dtype=bool)
    shrink = variance[off].sum() / (mean[off] ** 2).sum()
    expected = np.cov(data.T, bias=True)
    expected[off] *= 1 - shrink
    np.testing.assert_allclose(factor @ factor.T, expected, atol=1e-8)


def test_information_is_found_where_it_was_planted() -> None:
    mask = np.ones((9, 9, 9), dtype=bool)
    rng = np.random.default_rng(2)
    signal = np.zeros((4, 9, 9, 9))
    signal[:, 2:5, 2:5, 2:5] = rng.standard_normal((4, 3, 3, 3))
    patterns = signal.reshape(4, -1) + 0.5 * rng.standard_normal((6, 4, 729))
    found = as_volume(geometry.searchlight(patterns, mask, radius=1.8).mean(axis=1), mask)
    assert np.abs(np.array(np.unravel_index(found.argmax(), found.shape)) - 3).max() <= 1
    assert abs(found[6:, 6:, 6:].mean()) < 0.05


def test_plan_and_budget() -> None:
    plan = geometry.plan_searchlight(PATTERNS, MASK, radius=4.2, voxel_size=SIZE, memory="1GiB")
    assert (plan.centres, plan.pairs) == (len(VOXELS), 6)
    assert plan.peak_bytes < 2**30
    assert plan.neighbours == pytest.approx(
        np.mean([len(members(c, 4.2)) for c in range(len(VOXELS))]), rel=1e-9
    )
    with pytest.raises(MemoryBudgetError, match="too few"):
        geometry.searchlight(PATTERNS, MASK, radius=4, memory=1000)


def test_errors() -> None:
    with pytest.raises(ShapeError, match="voxels of the mask"):
        geometry.searchlight(PATTERNS[:, :, 1:], MASK, radius=2)
    with pytest.raises(ConfigError, match="residuals go with"):
        geometry.searchlight(PATTERNS, MASK, radius=2, noise="diagonal")
    with pytest.raises(ConfigError, match="such as '4GiB'"):
        geometry.searchlight(PATTERNS, MASK, radius=2, memory="plenty")
    flat = RESIDUALS.copy()
    flat[:, 5] = 1
    with pytest.raises(DataError, match="first is voxel 5"):
        geometry.searchlight(PATTERNS, MASK, radius=2, noise="diagonal", residuals=flat)
