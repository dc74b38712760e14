"""Agreement with rsatoolbox, where it is installed, and with the textbook form of what it does not return."""

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray

from neuroai import geometry

RNG = np.random.default_rng(0)
COUNTS = RNG.poisson(3.0, (4, 6, 9)).astype(float)


def test_crossvalidated_poisson_is_the_mean_over_runs() -> None:
    found = geometry.poisson_crossvalidated(COUNTS)
    terms = []
    for run in range(4):
        train = (np.delete(COUNTS, run, axis=0).mean(axis=0) + 0.1) / 1.1
        test = np.log((COUNTS[run] + 0.1) / 1.1)
        terms.append(
            [(train[a] - train[b]) @ (test[a] - test[b]) / 9 for a in range(6) for b in range(a + 1, 6)]
        )
    np.testing.assert_allclose(found, np.mean(terms, axis=0), atol=1e-12)
    many = [geometry.poisson_crossvalidated(RNG.poisson(4.0, (3, 2, 30)))[0] for _ in range(300)]
    assert abs(np.mean(many)) < 4 * np.std(many) / np.sqrt(300)


@pytest.fixture(name="peer")
def _peer() -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("rsatoolbox", reason="rsatoolbox, the oracle, is not installed")


@pytest.mark.parametrize("method", ["euclidean", "correlation", "poisson"])
def test_dissimilarities_are_those_of_the_peer(peer: object, method: str) -> None:
    found = peer.rdm.calc_rdm(peer.data.Dataset(COUNTS[0]), method=method).dissimilarities[0]  # type: ignore[attr-defined]
    np.testing.assert_allclose(geometry.rdm(COUNTS[0], method), found, atol=1e-8)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@pytest.mark.parametrize("method", ["crossnobis", "poisson_cv"])
def test_crossvalidated_dissimilarities_are_those_of_the_peer(peer: object, method: str) -> None:
    runs = COUNTS[:2]
    labels = {"condition": np.tile(np.arange(6), 2), "run": np.repeat([0, 1], 6)}
    dataset = peer.data.Dataset(runs.reshape(12, 9), obs_descriptors=labels)  # type: ignore[attr-defined]
    found = peer.rdm.calc_rdm(dataset, method=method, descriptor="condition", cv_descriptor="run")  # type: ignore[attr-defined]
    if method == "crossnobis":
        expected = geometry.crossnobis(runs)
    else:
        # The peer keeps the term of the last run only; the mean of both orders of two runs holds it.
        expected = 2 * geometry.poisson_crossvalidated(runs) - _first_term(runs)
    np.testing.assert_allclose(found.dissimilarities[0], expected, atol=1e-8)


def _first_term(runs: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array(_divergence((runs[1] + 0.1) / 1.1, np.log((runs[0] + 0.1) / 1.1)))


def _divergence(rates: NDArray[np.float64], logs: NDArray[np.float64]) -> list[float]:
    pairs = [(a, b) for a in range(6) for b in range(a + 1, 6)]
    return [float((rates[a] - rates[b]) @ (logs[a] - logs[b])) / 9 for a, b in pairs]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("pearson", "corr"),
        ("spearman", "spearman"),
        ("rho-a", "rho-a"),
        ("tau-a", "tau-a"),
        ("cosine", "cosine"),
        ("whitened-cosine", "cosine_cov"),
        ("whitened-correlation", "corr_cov"),
    ],
)
def test_comparisons_are_those_of_the_peer(peer: object, ours: str, theirs: str) -> None:
    a, b = (np.round(geometry.rdm(one), 1) for one in COUNTS[:2])
    rdms = [peer.rdm.RDMs(one[None]) for one in (a, b)]  # type: ignore[attr-defined]
    found = peer.rdm.compare(*rdms, method=theirs)[0, 0]  # type: ignore[attr-defined]
    assert geometry.compare(a, b, ours) == pytest.approx(found, abs=1e-8)  # type: ignore[arg-type]
