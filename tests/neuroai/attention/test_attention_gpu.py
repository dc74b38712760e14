"""The attention encoder on a GPU equals itself on a CPU."""

import numpy as np
import pytest
import torch

from neuroai.encoders.attention import AttentionEncoder, DecoderShape, query_layout

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("kind", ["roi", "vertex"])
@pytest.mark.parametrize("width", [16, 48], ids=["keys", "folded"])
def test_values_and_gradients_equal_the_cpu(kind, width):
    rois = {"a": np.arange(40) < 15, "b": np.arange(40) % 3 == 0}
    encoder = AttentionEncoder(query_layout(kind, 40, rois=rois), 10, 5, 7, DecoderShape(width, 4, 32))
    encoder.reset_parameters(torch.Generator().manual_seed(0))
    encoder.eval()
    maps = torch.randn(6, 10, 5, 7)
    results = {}
    for device in ("cpu", "cuda"):
        encoder.to(device).zero_grad()
        output = encoder(maps.to(device))
        output.square().mean().backward()
        gradients = [p.grad.cpu().clone() for p in encoder.parameters()]  # .to() moves .grad in place
        results[device] = [
            output.detach().cpu(),
            encoder.attention(maps.to(device)).detach().cpu(),
            *gradients,
        ]
    for found, expected in zip(results["cuda"], results["cpu"], strict=True):
        error = (found - expected).square().mean().sqrt()
        assert error <= 1e-4 * expected.square().mean().sqrt() + 1e-7


def test_bfloat16_autocast_is_near():
    encoder = AttentionEncoder(query_layout("roi", 40), 64, 7, 7, DecoderShape(64, 4, 128)).cuda().eval()
    encoder.reset_parameters(torch.Generator("cuda").manual_seed(0))
    maps = torch.randn(16, 64, 7, 7, device="cuda")
    exact = encoder(maps)
    with torch.autocast("cuda", torch.bfloat16):
        near = encoder(maps)
    near.square().mean().backward()
    assert (near.float() - exact).square().mean().sqrt() <= 2e-2 * exact.square().mean().sqrt()


def test_readout_fits_on_the_device_of_its_input():
    from neuroai.encoders.readouts.attention import AttentionReadout

    generator = torch.Generator("cuda").manual_seed(0)
    maps = torch.randn(120, 6, 4, 4, device="cuda", generator=generator)
    responses = maps.mean((2, 3)) @ torch.randn(6, 8, device="cuda", generator=generator)
    readout = AttentionReadout(epochs=10, n_members=1, n_heads=2)
    again = AttentionReadout(epochs=10, n_members=1, n_heads=2)
    prediction = readout.fit(maps, responses).predict(maps)
    assert prediction.device.type == "cuda"
    torch.testing.assert_close(again.fit(maps, responses).predict(maps), prediction, rtol=1e-3, atol=1e-3)
    assert readout.score(maps, responses) > 0.2
