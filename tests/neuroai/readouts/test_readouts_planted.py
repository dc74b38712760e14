"""Planted truth: fields, masks and weights that are known must be found, up to the noise."""

from typing import Any

import numpy as np
import pytest

from neuroai.encoders.readouts import FactorisedReadout, GaussianReadout, PCARidgeReadout, RidgeReadout
from neuroai.encoders.readouts.spatial import Field, grid_positions
from neuroai.encoders.scores import r2_score

CHANNELS, SIDE, TARGETS, CEILING = 10, 8, 12, 0.8


def _smooth_maps(rng: Any, n: int) -> Any:
    """Maps whose neighbouring positions are alike, as those of a network are."""
    from scipy.ndimage import gaussian_filter

    maps = gaussian_filter(rng.standard_normal((n, CHANNELS, SIDE, SIDE)), sigma=(0, 0, 0.7, 0.7))
    return (maps / maps.std()).astype(np.float32)


@pytest.fixture(scope="module")
def planted() -> dict[str, Any]:
    """Gaussian fields and random channel weights; the noise makes the best possible r2 ``CEILING``."""
    rng = np.random.default_rng(0)
    centres = rng.uniform(-0.5, 0.5, (TARGETS, 2))
    positions = grid_positions(SIDE, SIDE)
    masks = np.stack([Field(x, y, 0.3, 0.0).profile(positions).numpy() for x, y in centres])
    weights = rng.standard_normal((TARGETS, CHANNELS))
    train, test = _smooth_maps(rng, 600), _smooth_maps(rng, 400)

    def signal(maps: Any) -> Any:
        return np.einsum("ncp,vp,vc->nv", maps.reshape(len(maps), CHANNELS, -1), masks, weights)

    scale = signal(train).std(0)
    noise = np.sqrt((1 - CEILING) / CEILING)
    responses = signal(train) / scale + noise * rng.standard_normal((600, TARGETS))
    return {
        "centres": centres,
        "masks": masks,
        "weights": weights / scale[:, None],
        "train": (train, responses.astype(np.float32)),
        "test": (test, (signal(test) / scale).astype(np.float32)),
    }


@pytest.fixture(scope="module")
def fitted(planted: dict[str, Any]) -> dict[str, Any]:
    readouts = [RidgeReadout(), PCARidgeReadout(), FactorisedReadout(), GaussianReadout()]
    return {readout.name: readout.fit(*planted["train"]) for readout in readouts}


def _share(readout: Any, planted: dict[str, Any]) -> float:
    """Median r2 with the noiseless signal: 1 is a perfect model."""
    maps, signal = planted["test"]
    return float(np.median(r2_score(signal, readout.predict(maps))))


def test_spatial_readouts_come_close_to_the_ceiling_and_beat_ridge(planted: Any, fitted: Any) -> None:
    shares = {name: _share(readout, planted) for name, readout in fitted.items()}
    assert shares["factorised"] > 0.97
    assert shares["gaussian"] > 0.93
    assert min(shares["factorised"], shares["gaussian"]) > max(shares["ridge"], shares["pca-ridge"]) + 0.07


def test_validation_correlation_is_near_the_ceiling(fitted: Any) -> None:
    for name in ("factorised", "gaussian"):
        assert np.median(fitted[name].validation_r_) == pytest.approx(np.sqrt(CEILING), abs=0.05)


def test_planted_places_are_found(planted: Any, fitted: Any) -> None:
    found = fitted["gaussian"].mean_
    error = np.linalg.norm(found - planted["centres"], axis=1)
    assert np.median(error) < 0.08
    assert error.max() < 0.2
    positions = grid_positions(SIDE, SIDE).numpy()
    # Noise of a free mask spreads over the map and pulls its centre of mass inwards.
    for name, tolerance in (("gaussian", 0.08), ("factorised", 0.13)):
        fields = fitted[name].receptive_fields_.reshape(TARGETS, -1)
        assert np.median(np.linalg.norm(fields @ positions - planted["centres"], axis=1)) < tolerance


def test_covariance_is_that_of_the_mixture_of_fields(fitted: Any) -> None:
    readout = fitted["gaussian"]
    fields, weights = readout.fields_, readout.field_weights_
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
    rng = np.random.default_rng(1)
    which = rng.choice(len(fields), size=200_000, p=weights[0].astype(float) / weights[0].astype(float).sum())
    sample = fields[which, :2] + fields[which, 2:3] * rng.standard_normal((200_000, 2))
    np.testing.assert_allclose(readout.mean_[0], sample.mean(0), atol=0.01)
    np.testing.assert_allclose(readout.covariance_[0], np.cov(sample.T), atol=0.01)


def test_factorised_weights_are_found_up_to_scale(planted: Any, fitted: Any) -> None:
    readout = fitted["factorised"]
    np.testing.assert_allclose(np.abs(readout.mask_).sum((1, 2)), 1, rtol=1e-5)
    mask = readout.mask_.reshape(TARGETS, -1)

    def cosines(a: Any, b: Any) -> Any:
        return np.sum(a * b, 1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)

    assert np.median(cosines(mask, planted["masks"])) > 0.95
    assert np.median(cosines(readout.weights_, planted["weights"])) > 0.97
    full = np.einsum("vp,vc->vcp", mask, readout.weights_).reshape(TARGETS, -1)
    truth = np.einsum("vp,vc->vcp", planted["masks"], planted["weights"]).reshape(TARGETS, -1)
    slope = np.sum(full * truth, 1) / np.sum(truth * truth, 1)
    assert np.median(slope) == pytest.approx(1, abs=0.08)
    assert readout.n_parameters == TARGETS * (SIDE * SIDE + CHANNELS + 1)


def test_ridge_finds_the_place_of_noiseless_fields(planted: Any) -> None:
    maps, signal = planted["test"]
    fields = RidgeReadout().fit(maps, signal).receptive_fields_.reshape(TARGETS, -1)
    peaks = grid_positions(SIDE, SIDE).numpy()[fields.argmax(1)]
    assert np.median(np.linalg.norm(peaks - planted["centres"], axis=1)) < 0.25


def test_the_dual_form_of_ridge_predicts_and_maps_like_coefficients(planted: Any) -> None:
    """More targets than samples: the smaller dual form is kept."""
    maps, signal = planted["test"]
    maps, signal = maps[:40].astype(np.float64), signal[:40].astype(np.float64)
    many = np.tile(signal, (1, 10))
    wide, narrow = RidgeReadout().fit(maps, many), RidgeReadout().fit(maps, signal)
    assert wide.coef_ is None
    assert narrow.coef_ is not None
    np.testing.assert_allclose(wide.predict(maps)[:, :TARGETS], narrow.predict(maps), atol=1e-9)
    np.testing.assert_allclose(wide.receptive_fields_[:TARGETS], narrow.receptive_fields_, atol=1e-9)


def test_fields_and_penalties_may_be_chosen_on_fewer_samples(planted: Any, fitted: Any) -> None:
    fewer = GaussianReadout(max_selection=300).fit(*planted["train"])
    assert _share(fewer, planted) > _share(fitted["gaussian"], planted) - 0.03


def test_large_maps_are_averaged_to_the_grid(planted: Any) -> None:
    maps, responses = (part[:150] for part in planted["train"])
    large = np.repeat(np.repeat(maps, 2, axis=2), 2, axis=3)
    small = GaussianReadout(coherences=(0.4,)).fit(maps, responses)
    averaged = GaussianReadout(coherences=(0.4,), grid=SIDE).fit(large, responses)
    np.testing.assert_allclose(averaged.predict(large), small.predict(maps), atol=1e-4)
    assert averaged.coef_.shape == (TARGETS, CHANNELS, SIDE, SIDE)
    assert averaged.receptive_fields_.shape == (TARGETS, 2 * SIDE, 2 * SIDE)


def test_blocks_of_targets_do_not_change_the_factorised_fit(planted: Any, fitted: Any) -> None:
    maps, responses = planted["train"]
    whole = FactorisedReadout(coherences=(0.3,), max_iterations=2).fit(maps, responses)
    blocks = FactorisedReadout(coherences=(0.3,), max_iterations=2, memory="1MiB").fit(maps, responses)
    np.testing.assert_allclose(blocks.predict(maps), whole.predict(maps), atol=1e-4)
