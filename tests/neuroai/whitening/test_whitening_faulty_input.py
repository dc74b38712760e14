"""Inputs that go wrong, for every whitener: NaN, constant channels, few samples, another width."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from neuroai.errors import ConfigError, ShapeError
from neuroai.whitening import (
    ZCA,
    GainWhitener,
    LocalWhitener,
    MultiTimescaleWhitener,
    WhiteningLayer,
)

MAKERS: dict[str, Callable[[], Any]] = {
    "gain": GainWhitener,
    "gain-nonnegative": lambda: GainWhitener(nonnegative=True),
    "zca": ZCA,
    "pca": lambda: ZCA("pca"),
    "iterative": lambda: ZCA("iterative"),
    "local": lambda: LocalWhitener(2),
    "multi": lambda: MultiTimescaleWhitener(n_epochs=20),
}
STREAMS = ("gain", "gain-nonnegative", "zca", "local", "multi")


def samples(count: int, n: int = 5, seed: int = 0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, n)) @ (np.eye(n) + 0.3 * rng.standard_normal((n, n)))


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_missing_values_are_refused(name: str, bad: float) -> None:
    x = samples(50)
    x[7, 2] = bad
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        MAKERS[name]().fit(x)
    fitted = MAKERS[name]().fit(samples(50))
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        fitted.transform(x)


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_refuses_missing_values_and_another_width_and_stays_as_it_was(name: str) -> None:
    whitener = MAKERS[name]().partial_fit(samples(60))
    before = whitener.transform(samples(5))
    with pytest.raises(ValueError, match="5 features"):
        whitener.partial_fit(samples(10, 4))
    x = samples(10)
    x[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        whitener.partial_fit(x)
    np.testing.assert_array_equal(whitener.transform(samples(5)), before)


@pytest.mark.parametrize("name", ["gain", "zca", "pca"])
def test_constant_channels_and_few_samples_are_projected_out(name: str) -> None:
    """Directions without variance are not amplified: white where the input varies, zero elsewhere."""
    constant = samples(200)
    constant[:, 1] = 3
    for x, rank in ((constant, 4), (samples(4), 3)):
        white = MAKERS[name]().fit_transform(x)
        values = np.linalg.eigvalsh(np.cov(white.T, bias=True))
        np.testing.assert_allclose(np.sort(values)[-rank:], 1, atol=1e-6)
        np.testing.assert_allclose(np.sort(values)[:-rank], 0, atol=1e-6)


def test_local_whitening_names_a_constant_pixel() -> None:
    x = samples(60)
    x[:, 3] = 1
    with pytest.raises(ConfigError, match="neuron 3 of the grid never varies"):
        MAKERS["local"]().fit(x)


@pytest.mark.parametrize("name", MAKERS)
def test_one_sample_is_too_few(name: str) -> None:
    with pytest.raises(ValueError, match="1 sample"):
        MAKERS[name]().fit(samples(1))


def test_the_layer_refuses_missing_values_and_another_width_and_stays_as_it_was() -> None:
    layer = WhiteningLayer(5)
    x = torch.from_numpy(samples(20)).float()
    layer(x)
    matrix = layer.matrix.clone()
    with pytest.raises(ShapeError, match="b, 5"):
        layer(x[:, :4])
    x[3, 1] = torch.nan
    with pytest.raises(ConfigError, match="NaN or infinite"):
        layer(x)
    torch.testing.assert_close(layer.matrix, matrix)
