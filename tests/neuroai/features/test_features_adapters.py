"""Nodes of networks as maps: hooks, tokens, queries; random weights only."""

import numpy as np
import pytest
import torch
from torch import nn

from neuroai.encoders.features.adapters import NodeMaps, find_node
from neuroai.encoders.features.extraction import extract
from neuroai.encoders.features.spec import build_extractor
from neuroai.errors import ConfigError, DatasetUnavailableError, ShapeError

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
SD = np.array([0.229, 0.224, 0.225], np.float32)


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (3, 40, 30, 3), dtype=np.uint8)


def normalised(pictures):
    return torch.from_numpy(((pictures / np.float32(255) - MEAN) / SD).transpose(0, 3, 1, 2).copy())


class FusedBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        return x + self.proj(torch.softmax(q @ k.transpose(1, 2), -1) @ v)


class FusedTransformer(nn.Module):
    """One projection for q, k and v, and a CLS token, as in timm."""

    def __init__(self, width=8, patch=10):
        super().__init__()
        self.patchify = nn.Conv2d(3, width, patch, patch)
        self.cls = nn.Parameter(torch.randn(1, 1, width))
        self.blocks = nn.Sequential(*[FusedBlock(width) for _ in range(3)])

    def tokens(self, x):
        x = self.patchify(x).flatten(2).transpose(1, 2)
        return torch.cat([self.cls.expand(len(x), -1, -1), x], 1)

    def forward(self, x):
        return self.blocks(self.tokens(x)).mean(1)


def test_hook_gives_the_output_of_a_node(pictures):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))
    network(normalised(pictures))
    maps = extract(pictures, NodeMaps(network, "1", "net:1"), batch_size=2)
    expected = network[:2](normalised(pictures)).detach().numpy()
    np.testing.assert_allclose(maps.values, expected, rtol=1e-4, atol=1e-5)
    assert extract(pictures, NodeMaps(network, "3", "net:3")).shape == (3, 2, 1, 1)
    assert not any(module._forward_hooks for module in network.modules())


def test_query_third_and_block_tokens_of_a_fused_transformer(pictures):
    torch.manual_seed(1)
    network = FusedTransformer()
    x = network.tokens(normalised(pictures))
    block1 = network.blocks[:2](x)
    queries = (block1 @ network.blocks[2].qkv.weight[:8].T + network.blocks[2].qkv.bias[:8])[:, 1:]
    for node, expected in (("q-1", queries), ("q2", queries), ("block1", block1[:, 1:])):
        maps = NodeMaps(network, node, "net", patch=10)(pictures)
        assert maps.shape == (3, 8, 4, 3)
        tokens = maps.reshape(3, 8, 12).transpose(0, 2, 1)
        np.testing.assert_allclose(tokens, expected.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_unknown_nodes_are_named(pictures):
    network = FusedTransformer()
    assert find_node(network, "block-1") == ("blocks.2", False)
    assert find_node(network, "q0") == ("blocks.0.qkv", True)
    with pytest.raises(ConfigError, match="patchify"):
        find_node(network, "layer9")
    with pytest.raises(ConfigError, match="3 attention blocks"):
        find_node(network, "q3")
    with pytest.raises(ShapeError, match="patch size"):
        NodeMaps(network, "block0", "net")(pictures)


def test_fingerprint_follows_the_weights():
    network = FusedTransformer()
    before = NodeMaps(network, "q-1", "net", patch=10).fingerprint
    assert before == NodeMaps(network, "q-1", "net", patch=10).fingerprint
    with torch.no_grad():
        network.cls[0, 0, 0] += 1
    assert before != NodeMaps(network, "q-1", "net", patch=10).fingerprint


@pytest.fixture
def dinov2():
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch.manual_seed(2)
    configuration = transformers.Dinov2Config(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=28,
        patch_size=14,
        mlp_ratio=2,
        attn_implementation="eager",
    )
    return transformers.Dinov2Model(configuration).eval()


def test_query_maps_of_dinov2(dinov2, pictures):
    maps = NodeMaps(dinov2, "q-1", "dino:q-1", patch=14)(pictures)
    # Independently: pad by hand, take the tokens before the last block, normalise, project.
    x = torch.zeros(3, 3, 42, 42)
    x[:, :, :40, :30] = normalised(pictures)
    with torch.no_grad():
        before = dinov2(x, output_hidden_states=True).hidden_states[-2]
        state = dinov2.state_dict()
        last = "encoder.layer.3."
        mean, var = before.mean(-1, keepdim=True), before.var(-1, keepdim=True, unbiased=False)
        z = (before - mean) / torch.sqrt(var + dinov2.config.layer_norm_eps)
        z = z * state[last + "norm1.weight"] + state[last + "norm1.bias"]
        projection = {
            name.rpartition(".")[2]: value
            for name, value in state.items()
            if name.startswith(last) and name.rsplit(".", 2)[1] in ("q_proj", "query")
        }
        queries = (z @ projection["weight"].T + projection["bias"])[:, 1:]
    assert maps.shape == (3, 32, 3, 3)
    tokens = maps.reshape(3, 32, 9).transpose(0, 2, 1)
    np.testing.assert_allclose(tokens, queries.numpy(), rtol=1e-3, atol=1e-5)


def test_block_tokens_of_dinov2_are_its_hidden_states(dinov2, pictures):
    maps = NodeMaps(dinov2, "block-3", "dino:block-3", patch=14)(pictures)
    x = torch.zeros(3, 3, 42, 42)
    x[:, :, :40, :30] = normalised(pictures)
    with torch.no_grad():
        hidden = dinov2(x, output_hidden_states=True).hidden_states[2]
    np.testing.assert_allclose(
        maps.reshape(3, 32, 9).transpose(0, 2, 1), hidden[:, 1:].numpy(), rtol=1e-4, atol=1e-5
    )


def test_saved_transformers_model_is_found_by_name(dinov2, pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROAI_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    dinov2.save_pretrained(tmp_path / "local" / "dino")
    (tmp_path / "local" / "dino" / "preprocessor_config.json").write_text(
        '{"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}'
    )
    maps = extract(pictures, "hf/local/dino:q-1")
    expected = NodeMaps(dinov2, "q-1", "dino:q-1", patch=14)(pictures)
    np.testing.assert_allclose(maps.values, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(DatasetUnavailableError, match="could not be had"):
        build_extractor("hf/nobody/nothing:q-1")


def test_torchvision_nodes(pictures):
    reason = "torchvision is not installed, or not for this torch"
    models = pytest.importorskip("torchvision.models", reason=reason, exc_type=Exception)
    network = models.resnet18(weights=None)
    assert NodeMaps(network, "layer3", "resnet18")(pictures).shape == (3, 256, 3, 2)


class ChannelsLast(nn.Module):
    """As the stages of Swin networks: (n, h, w, C)."""

    def forward(self, x):
        return x[:, :, ::5, ::5].repeat(1, 16, 1, 1).permute(0, 2, 3, 1)


def test_channels_last_are_turned_round(pictures):
    network = nn.Sequential(ChannelsLast(), nn.Identity())
    maps = NodeMaps(network, "1", "last")(pictures)
    np.testing.assert_array_equal(maps, normalised(pictures)[:, :, ::5, ::5].repeat(1, 16, 1, 1).numpy())
    wide = NodeMaps(nn.Sequential(nn.Conv2d(3, 30, 1), nn.Identity()), "1", "first")(pictures)
    assert wide.shape == (3, 30, 40, 30)


REAL = {
    "torchvision/vit_b_32:encoder.layers.encoder_layer_1": (2, 768, 7, 7),
    "torchvision/swin_t:features.3": (2, 192, 28, 28),
    "timm/vit_tiny_patch16_224:blocks.2": (2, 192, 14, 14),
    "timm/vit_tiny_patch16_224:q-1": (2, 192, 14, 14),
    "timm/convnext_atto:stages.2": (2, 160, 14, 14),
    "timm/swin_tiny_patch4_window7_224:layers.2": (2, 384, 14, 14),
}


@pytest.mark.parametrize("spec", REAL)
def test_real_packages_with_random_weights(spec, monkeypatch):
    package = spec.partition("/")[0]
    found = pytest.importorskip(package, reason=f"{package} is not installed", exc_type=Exception)
    holder, name = (found.models, "get_model") if package == "torchvision" else (found, "create_model")
    build, without = getattr(holder, name), {"torchvision": "weights", "timm": "pretrained"}[package]
    random = {without: None if package == "torchvision" else False}
    monkeypatch.setattr(holder, name, lambda network, **_: build(network, **random))
    pictures = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    assert build_extractor(spec)(pictures).shape == REAL[spec]


@pytest.mark.parametrize("package", ["torchvision", "timm"])
def test_a_missing_package_says_how_to_install_it(package):
    try:
        __import__(package)
    except (ImportError, RuntimeError):
        with pytest.raises(DatasetUnavailableError, match=f"pip install {package}"):
            build_extractor(f"{package}/resnet18:layer1")
    else:
        pytest.skip(f"{package} is installed")
