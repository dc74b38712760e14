"""All pairs of networks at once: the distances of single pairs, resumed, on threads, by products alone."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from neuroai import geometry
from neuroai.errors import DataError, ShapeError
from neuroai.geometry.nuclear import nuclear_norms, stacked


def networks(count: int = 6, m: int = 15) -> list[NDArray[np.float64]]:
    rng = np.random.default_rng(0)
    made = [rng.standard_normal((m, 3 + 4 * k)) + k for k in range(count - 1)]
    return [*made, 2 * made[0][:, ::-1]]


@pytest.mark.parametrize(("alpha", "metric"), [(1.0, "angular"), (1.0, "euclidean"), (0.5, "angular")])
@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
def test_every_pair_is_its_shape_distance(alpha: float, metric: str, device: str) -> None:
    """The device "cpu:0" takes the path of a GPU."""
    shapes = networks()
    matrix = geometry.pairwise_distances(shapes, alpha=alpha, metric=metric, device=device, n_jobs=2)  # type: ignore[arg-type]
    np.testing.assert_array_equal(matrix, matrix.T)
    for i, a in enumerate(shapes):
        for j, b in enumerate(shapes[:i]):
            expected = geometry.shape_distance(a, b, alpha=alpha, metric=metric)  # type: ignore[arg-type]
            assert matrix[i, j] == pytest.approx(expected, abs=1e-9)


def test_a_stopped_job_goes_on(tmp_path: Path) -> None:
    file, seen = tmp_path / "distances.npz", []

    def stop(stage: str, done: int, total: int) -> None:
        seen.append(done)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        geometry.pairwise_distances(networks(), checkpoint=file, progress=stop)
    rest: list[int] = []
    resumed = geometry.pairwise_distances(
        networks(), checkpoint=file, progress=lambda stage, done, total: rest.append(done)
    )
    assert rest == [4, 5, 6]
    np.testing.assert_array_equal(resumed, geometry.pairwise_distances(networks()))
    with pytest.raises(DataError, match="other networks"):
        geometry.pairwise_distances(networks(5), checkpoint=file)


def test_nuclear_norms_by_products_of_ill_conditioned_and_deficient_matrices() -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((40, 12)) * np.logspace(0, -6, 12)
    others = [rng.standard_normal((40, 9)), x @ rng.standard_normal((12, 12)), x[:, :1] @ np.ones((1, 4))]
    expected = [np.linalg.svd(x.T @ y, compute_uv=False).sum() for y in others]
    together = stacked([x, *others], "cpu")
    np.testing.assert_allclose(nuclear_norms(together[0], together[1:]), expected, rtol=1e-11)


def test_errors() -> None:
    with pytest.raises(ShapeError, match="conditions"):
        geometry.pairwise_distances([np.eye(4), np.eye(5)])
    with pytest.raises(DataError, match="network 1 is the same"):
        geometry.pairwise_distances([np.eye(4), np.ones((4, 2))])
