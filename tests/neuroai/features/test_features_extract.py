"""Maps, spec grammar, pixels, Gabor energies, streaming and the cache."""

import json
import multiprocessing

import numpy as np
import pytest
import torch

from neuroai.encoders.features import FeatureCache, FeatureMaps, FeatureSpec, build_extractor, extract
from neuroai.encoders.features.extractor import Extractor, as_planes
from neuroai.encoders.features.gabor import GaborPyramid, gabor_bank
from neuroai.errors import ConfigError, DataError, ShapeError
from neuroai_datasets.stimulus import ArrayStimulus


class Mean(Extractor):
    """Mean colour, times a factor; counts its calls."""

    spec = "mean"

    def __init__(self, factor=1.0):
        self.factor, self.calls = factor, 0

    @property
    def fingerprint(self):
        return f"mean {self.factor}"

    def __call__(self, pictures):
        self.calls += 1
        return as_planes(pictures).mean((2, 3), keepdims=True) * np.float32(self.factor)


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (7, 16, 12, 3), dtype=np.uint8)


def test_maps_views():
    values = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    maps = FeatureMaps(values, "m")
    assert maps.tokens[1, 7, 2] == values[1, 2, 1, 2]
    assert maps.flat[1, 0] == values[1, 0, 0, 0]
    assert FeatureMaps(np.zeros((4, 6))).shape == (4, 6, 1, 1)
    np.testing.assert_array_equal(maps[[1, 1]].values, values[[1, 1]])
    np.testing.assert_array_equal(np.asarray(maps), values)
    with pytest.raises(ShapeError, match="n, C, H, W"):
        FeatureMaps(np.zeros((4, 6, 2)))
    with pytest.raises(ShapeError, match="2 channel names"):
        FeatureMaps(np.zeros((4, 6)), channels=("a", "b"))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("pixels", ("pixels", None, None)),
        ("efficientnet-lite0:7", ("efficientnet-lite0", "7", None)),
        ("efficientnet-lite0@224:7", ("efficientnet-lite0", "7", 224)),
        ("torchvision/resnet18:layer3.0.conv1", ("torchvision/resnet18", "layer3.0.conv1", None)),
        ("hf/facebook/dinov2-base@434:block-7", ("hf/facebook/dinov2-base", "block-7", 434)),
    ],
)
def test_spec_grammar(text, parts):
    spec = FeatureSpec.parse(text)
    assert (spec.name, spec.layer, spec.size) == parts
    assert str(spec) == text


@pytest.mark.parametrize("text", ["", ":7", "pixels:", "pixels@x", "a b", "pixels@8@9", "../x"])
def test_bad_specs(text):
    with pytest.raises(ConfigError, match=r"NAME|called"):
        build_extractor(text)


@pytest.mark.parametrize("text", ["vgg", "pixels:3", "gabor:3", "nobody/model:1"])
def test_unknown_features(text):
    with pytest.raises(ConfigError):
        build_extractor(text)


def test_planes_follow_the_dtype():
    grey = np.full((2, 3, 4), 51, np.uint8)
    np.testing.assert_allclose(as_planes(grey), 0.2)
    assert as_planes(grey, channels=3).shape == (2, 3, 3, 4)
    floats = np.linspace(-5, 5, 24).reshape(2, 3, 4)
    np.testing.assert_allclose(as_planes(floats)[:, 0], floats, rtol=1e-6)
    colour = np.zeros((1, 1, 1, 4))
    colour[..., 1] = 2.0
    assert as_planes(colour, channels=1)[0, 0, 0, 0] == pytest.approx(2 * 0.587)
    with pytest.raises(ShapeError, match="pictures have shape"):
        as_planes(np.zeros((2, 3)))
    floats[1, 2, 3] = np.nan
    with pytest.raises(DataError, match="picture 1"):
        as_planes(floats)


def test_small_stimuli_are_kept_as_pixels():
    frames = np.random.default_rng(1).random((5, 20, 15)).astype(np.float32)
    np.testing.assert_array_equal(extract(frames, "pixels").values[:, 0], frames)


def test_gabor_filters_are_quadrature_pairs():
    bank = gabor_bank(8).squeeze(1).double()
    assert bank.sum((1, 2)).abs().max() < 1e-6
    torch.testing.assert_close((bank**2).sum((1, 2)), torch.ones(16, dtype=torch.float64), atol=1e-6, rtol=0)
    even, odd = bank[:8].reshape(8, -1), bank[8:].reshape(8, -1)
    assert (even * odd).sum(1).abs().max() < 1e-6


@pytest.mark.parametrize(("wavelength", "level"), [(4, 0), (8, 1), (16, 2), (32, 3)])
@pytest.mark.parametrize("orientation", [0, 2, 5])
def test_gabor_prefers_its_grating_whatever_the_phase(wavelength, level, orientation):
    y, x = np.mgrid[0:128, 0:128]
    angle = np.pi * orientation / 8
    phases = [np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / wavelength + p) for p in (0, 1, 2)]
    energy = GaborPyramid()(np.stack(phases)).reshape(3, 4, 8, 14, 14)[..., 4:10, 4:10].mean((3, 4))
    assert np.unravel_index(energy[0].argmax(), (4, 8)) == (level, orientation)
    np.testing.assert_allclose(energy[:, level, orientation], energy[0, level, orientation], rtol=0.05)


def test_extraction_streams_in_batches(pictures):
    class Watched(ArrayStimulus):
        largest = 0

        def _read(self, indices):
            Watched.largest = max(Watched.largest, len(indices))
            return super()._read(indices)

    calls = []
    maps = extract(Watched(pictures), Mean(), batch_size=3, progress=lambda *c: calls.append(c))
    np.testing.assert_allclose(maps.flat, pictures.mean((1, 2)) / 255, rtol=1e-5)
    assert Watched.largest == 3
    assert calls == [("features", 3, 7), ("features", 6, 7), ("features", 7, 7)]


def test_half_precision(pictures):
    maps = extract(pictures, Mean(), dtype="float16")
    assert maps.dtype == np.float16
    with pytest.raises(DataError, match="picture 0 are not finite as float16; use dtype float32"):
        extract(pictures, Mean(1e6), dtype="float16")
    with pytest.raises(ConfigError, match="float64"):
        extract(pictures, Mean(), dtype="float64")


def test_empty_stimulus_and_bad_batch(pictures):
    with pytest.raises(DataError, match="no pictures"):
        extract(pictures[:0], "pixels")
    with pytest.raises(ConfigError, match="batch_size"):
        extract(pictures, "pixels", batch_size=0)


def test_cache_hits_by_content(pictures, tmp_path):
    extractor = Mean()
    first = extract(pictures, extractor, cache=tmp_path)
    calls = extractor.calls
    again = extract(ArrayStimulus(pictures.copy()), extractor, cache=tmp_path)
    extract(ArrayStimulus(pictures), extractor, cache=tmp_path)
    assert isinstance(first.values, np.memmap)
    assert again.attrs["fingerprint"] == "mean 1.0"
    np.testing.assert_array_equal(first.values, again.values)
    assert extractor.calls <= 2 * calls  # an array and a Stimulus may hash apart, but no more than once each

    for change in (
        lambda: extract(pictures + np.uint8(1), extractor, cache=tmp_path),
        lambda: extract(pictures, extractor, cache=tmp_path, dtype="float16"),
        lambda: extract(pictures, Mean(2.0), cache=tmp_path),
    ):
        entries = len(list(tmp_path.glob("*/features.json")))
        change()
        assert len(list(tmp_path.glob("*/features.json"))) == entries + 1


@pytest.mark.parametrize("damage", ["bit", "short", "json", "missing"])
def test_damaged_cache_is_noticed_and_made_anew(pictures, tmp_path, damage):
    expected = np.array(extract(pictures, Mean(), cache=tmp_path).values)
    (values,) = tmp_path.glob("*/values.bin")
    description = values.with_name("features.json")
    if damage == "bit":
        content = bytearray(values.read_bytes())
        content[17] ^= 1
        values.write_bytes(content)
    elif damage == "short":
        values.write_bytes(values.read_bytes()[:-4])
    elif damage == "json":
        description.write_text(json.dumps({"shape": [1]}))
    else:
        values.unlink()
    with pytest.warns(RuntimeWarning, match="computed again"):
        again = extract(pictures, Mean(), cache=tmp_path)
    np.testing.assert_array_equal(again.values, expected)


def test_failure_leaves_nothing_behind(pictures, tmp_path):
    class Fails(Mean):
        def __call__(self, pictures):
            if self.calls:
                raise DataError("picture cannot be read")
            return super().__call__(pictures)

    with pytest.raises(DataError, match="cannot be read"):
        extract(pictures, Fails(), cache=tmp_path, batch_size=2)
    assert [p.suffix for p in tmp_path.iterdir()] == [".lock"]


def _worker(folder, seed):
    pictures = np.random.default_rng(0).integers(0, 256, (7, 16, 12, 3), dtype=np.uint8)
    return float(extract(pictures, "pixels", cache=folder).values.sum())


def test_two_processes_share_a_cache(tmp_path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        sums = pool.starmap(_worker, [(tmp_path, i) for i in range(4)])
    assert len(set(sums)) == 1
    assert len(list(tmp_path.glob("*/features.json"))) == 1
    assert not list(tmp_path.glob("*.partial"))


def test_creating_twice_replaces(tmp_path):
    cache = FeatureCache(tmp_path)
    for value in (1, 2):
        with cache.create("k", (2, 1, 1, 1), "float32", "m", {}) as values:
            values[:] = value
    assert cache.open("k").values.ravel().tolist() == [2, 2]
    assert cache.open("absent") is None
