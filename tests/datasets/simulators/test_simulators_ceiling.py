"""The closed-form ceiling against Monte Carlo, and against the published estimator on simulated data."""

import numpy as np
import pytest

from neuroai_datasets.errors import DataError
from neuroai_datasets.simulators import known_ceiling, simulate_visual_cortex

SIGNAL_SD = np.array([0.2, 0.4, 0.6, 0.8])
"""Total variance 1, three repeats: squared correlations found with 20,000 images were .116 .356 .629 .847."""


def test_closed_form_equals_monte_carlo() -> None:
    rng = np.random.default_rng(0)
    signal = SIGNAL_SD * rng.standard_normal((20_000, 4))
    noise = np.sqrt(1 - SIGNAL_SD**2)
    repeats = signal + noise * rng.standard_normal((3, 20_000, 4))
    mean = repeats.mean(axis=0)
    squared = [np.corrcoef(signal[:, v], mean[:, v])[0, 1] ** 2 for v in range(4)]
    ceiling = known_ceiling(SIGNAL_SD**2, noise**2, 3)
    np.testing.assert_allclose(squared, ceiling, atol=0.012)
    np.testing.assert_allclose(squared, [0.116, 0.356, 0.629, 0.847], atol=0.015)


def test_published_estimator_finds_the_closed_form() -> None:
    rng = np.random.default_rng(1)
    signal = SIGNAL_SD * rng.standard_normal((20_000, 4))
    repeats = signal + np.sqrt(1 - SIGNAL_SD**2) * rng.standard_normal((3, 20_000, 4))
    z = (repeats - repeats.mean(axis=(0, 1))) / repeats.std(axis=(0, 1))
    noise = z.var(axis=0, ddof=1).mean(axis=0)
    ncsnr2 = np.maximum(0, 1 - noise) / noise
    estimate = ncsnr2 / (ncsnr2 + 1 / 3)
    np.testing.assert_allclose(estimate, known_ceiling(SIGNAL_SD**2, 1 - SIGNAL_SD**2, 3), atol=0.02)
    np.testing.assert_allclose(estimate, [0.130, 0.359, 0.629, 0.842], atol=0.03)


@pytest.mark.parametrize("routing", ["static", "content"])
@pytest.mark.parametrize("n_repeats", [1, 3])
def test_simulated_cortex_reaches_its_ceiling_and_no_more(routing: str, n_repeats: int) -> None:
    noise = np.geomspace(0.3, 3, 40)
    recording = simulate_visual_cortex(1500, 40, routing=routing, n_repeats=n_repeats, noise=noise, seed=5)
    truth = recording.tree["truth"]
    y, s = recording.responses.values.astype(float), truth["signal"].values
    squared = np.array([np.corrcoef(y[:, v], s[:, v])[0, 1] ** 2 for v in range(40)])
    ceiling = recording.responses["ceiling"].values
    np.testing.assert_allclose(ceiling, 1 / (1 + noise**2 / n_repeats))
    np.testing.assert_allclose(squared, ceiling, atol=0.08)
    assert abs((squared - ceiling).mean()) < 0.015


def test_limits() -> None:
    assert known_ceiling(1.0, 0.0, 1) == 1
    assert known_ceiling(0.0, 1.0, 5) == 0
    assert np.isnan(known_ceiling(0.0, 0.0, 1))
    for bad in ((-1, 1, 1), (1, np.nan, 1), (1, 1, 0)):
        with pytest.raises(DataError):
            known_ceiling(*bad)
