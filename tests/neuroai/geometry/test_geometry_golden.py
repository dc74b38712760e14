"""Every measure against worked values."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

from neuroai import geometry
from neuroai.errors import DataError
from neuroai.geometry.compare import bures_distance, bures_similarity
from neuroai.geometry.stochastic import bures_squared

GOLDEN = tomllib.loads((Path(__file__).parents[2] / "golden" / "geometry.toml").read_text())
ROW, COLUMN = np.arange(8)[:, None], np.arange(3)
X = np.sin(1 + 1.3 * ROW + 0.7 * COLUMN) + 0.5 * np.cos(0.6 * ROW * (COLUMN + 1))
Y = np.cos(0.5 + 0.9 * ROW + 0.4 * COLUMN**2) + 0.5 * np.sin(0.8 * ROW * (COLUMN + 1) + 0.2)


@pytest.mark.parametrize("alpha", [0, 0.5, 1])
@pytest.mark.parametrize("center", [True, False])
def test_shape_distances(alpha: float, center: bool) -> None:
    angular, euclidean = GOLDEN["shape"][f"alpha {alpha} {'centred' if center else 'uncentred'}"]
    assert geometry.shape_distance(X, Y, alpha=alpha, center=center) == pytest.approx(angular, abs=2e-10)
    found = geometry.shape_distance(X, Y, alpha=alpha, center=center, metric="euclidean")
    assert found == pytest.approx(euclidean, abs=2e-10)


def test_permutation_distance() -> None:
    angular, euclidean = GOLDEN["shape"]["permutation"]
    assert geometry.shape_distance(X, Y, group="permutation") == pytest.approx(angular, abs=2e-10)
    found = geometry.shape_distance(X, Y, group="permutation", metric="euclidean")
    assert found == pytest.approx(euclidean, abs=2e-10)


def test_canonical_correlations_and_alignment() -> None:
    golden = GOLDEN["alignment"]
    correlations = geometry.canonical_correlations(X, Y)
    np.testing.assert_allclose(correlations, golden["canonical"], atol=1e-8)
    assert geometry.shape_distance(X, Y, alpha=0) == pytest.approx(np.arccos(correlations.mean()))
    assert geometry.cka(X, Y) == pytest.approx(golden["cka"], abs=1e-10)
    assert geometry.cka(X, Y, debiased=True) == pytest.approx(golden["debiased"], abs=1e-10)
    assert geometry.kernel_cka(X @ X.T, Y @ Y.T) == pytest.approx(golden["cka"], abs=1e-10)


@pytest.mark.parametrize("method", ["euclidean", "correlation", "cosine"])
def test_comparisons(method: str) -> None:
    a, b = geometry.rdm(X, method), geometry.rdm(Y, method)  # type: ignore[arg-type]
    for measure, expected in GOLDEN["compare"][method].items():
        assert geometry.compare(a, b, measure) == pytest.approx(expected, abs=1e-10)


def test_dissimilarities() -> None:
    np.testing.assert_allclose(3 * geometry.rdm(X, "euclidean")[:2], [4.70934008, 16.94879725], atol=1e-8)
    np.testing.assert_allclose(geometry.rdm(X, "correlation")[:2], [0.44032895, 0.87402557], atol=1e-8)


def test_whitened_cosine_of_euclidean_rdms_is_cka() -> None:
    a, b = geometry.rdm(X, "euclidean"), geometry.rdm(Y, "euclidean")
    assert geometry.compare(a, b, "whitened-cosine") == pytest.approx(geometry.cka(X, Y), abs=1e-12)


def test_bures() -> None:
    """rsatoolbox prints 0.6651582224 (its root loses half the digits) and the *square* of the metric."""
    a, b = geometry.rdm(X, "euclidean"), geometry.rdm(Y, "euclidean")
    x, y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    exact = np.linalg.svd(x.T @ y, compute_uv=False).sum() / np.linalg.norm(x) / np.linalg.norm(y)
    assert bures_similarity(a, b) == pytest.approx(exact, abs=1e-10)
    assert bures_similarity(a, b) == pytest.approx(0.6651582224, abs=1e-8)
    assert bures_distance(a, b) ** 2 == pytest.approx(4.0181543618, abs=1e-7)
    s, t = [[2, 0.5], [0.5, 1]], [[1, -0.3], [-0.3, 3]]
    assert bures_squared(s, t) == pytest.approx(0.9293118550, abs=1e-10)


def test_rank_deficient_representations() -> None:
    """Sinusoids of rank 2 in three neurons: an arbitrary third direction must not count."""
    i, j = np.arange(6)[:, None], np.arange(3)
    x, y = np.sin(1 + 1.3 * i + 0.7 * j), np.cos(0.5 + 0.9 * i + 0.4 * j**2)
    assert geometry.shape_distance(x, y) == pytest.approx(0.5130417738, abs=1e-10)
    assert geometry.shape_distance(x, y, metric="euclidean") == pytest.approx(1.5032877566, abs=1e-10)
    assert geometry.cka(x, y) == pytest.approx(0.8029152217, abs=1e-10)
    assert geometry.cka(x, y, debiased=True) == pytest.approx(0.7534537853, abs=1e-10)
    assert geometry.canonical_correlations(x, y).shape == (2,)
    with pytest.warns(RuntimeWarning, match="rank 2"):
        whitened = geometry.shape_distance(x, y, alpha=0)
    assert whitened == pytest.approx(np.arccos(geometry.canonical_correlations(x, y).mean()))


MEANS_A = [[1, 0], [0, 1], [-1, -0.5]]
MEANS_B = [[0.2, 1], [-1.1, 0.3], [0.6, -0.9]]
COVS_A = [[[1, 0.3], [0.3, 0.5]], [[0.6, -0.2], [-0.2, 0.9]], [[0.4, 0.1], [0.1, 1.2]]]
COVS_B = [[[0.7, -0.1], [-0.1, 1.1]], [[1.3, 0.4], [0.4, 0.6]], [[0.5, 0], [0, 0.8]]]


@pytest.mark.parametrize(("alpha", "expected"), list(zip(*GOLDEN["stochastic"].values(), strict=True)))
def test_stochastic_distances_reach_the_global_minimum(alpha: float, expected: float) -> None:
    found = geometry.stochastic_shape_distance(MEANS_A, COVS_A, MEANS_B, COVS_B, alpha)
    assert found == pytest.approx(expected, abs=1e-8)


def test_human_and_monkey_inferior_temporal_cortex(data_root: Path) -> None:
    """The published correlation is 0.49 (Kriegeskorte et al. 2008)."""
    path = data_root / "objects92_kriegeskorte" / "Kriegeskorte_Neuron2008_supplementalData.mat"
    monkey, human = loadmat(path, squeeze_me=True, struct_as_record=False)["RDMs_mIT_hIT_fig1"]
    assert geometry.compare(monkey.RDM, human.RDM, "pearson") == pytest.approx(0.4912, abs=5e-5)
    assert geometry.compare(monkey.RDM, human.RDM, "spearman") == pytest.approx(0.4389, abs=5e-5)


def test_undefined_measures_are_errors() -> None:
    flat = np.ones((5, 3))
    with pytest.raises(DataError, match="no shape"):
        geometry.shape_distance(flat, X[:5])
    with pytest.raises(DataError, match="CKA is undefined"):
        geometry.cka(flat, X[:5])
    with pytest.raises(DataError, match="condition 0"):
        geometry.rdm(flat)
    with pytest.raises(DataError, match="condition 2, neuron 1"):
        geometry.shape_distance(np.where((ROW == 2) & (COLUMN == 1), np.nan, X), Y)
    with pytest.raises(DataError, match="more conditions than neurons"):
        geometry.canonical_correlations(X[:3], Y[:3])
