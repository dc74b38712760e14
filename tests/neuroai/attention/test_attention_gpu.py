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


def test_captured_training_equals_plain_training(tmp_path):
    """Odd last batches, dropout, seeds of each step, and a resume in the middle: the same weights."""
    from dataclasses import replace

    from neuroai.encoders.attention.fitting import _fabric
    from neuroai.training import Plan, train

    maps = torch.randn(70, 6, 4, 4, device="cuda", generator=torch.Generator("cuda").manual_seed(0))
    truth = maps.mean((2, 3)).repeat(1, 5)

    class Rows:
        def __len__(self):
            return len(maps)

        def __getitem__(self, index):
            return maps[index.cuda()], truth[index.cuda()]

    def loss(model, batch, stream):
        keep = torch.empty_like(batch[0]).bernoulli_(0.8, generator=stream)
        return (model(batch[0] * keep, stream) - batch[1]).square().mean()

    def trained(capture, folder=None, epochs=6):
        shape = DecoderShape(16, 4, 32, dropout=0.1)
        encoder = AttentionEncoder(query_layout("roi", 30), 6, 4, 4, shape).cuda()
        encoder.reset_parameters(torch.Generator("cuda").manual_seed(1))
        optimizer = torch.optim.AdamW(encoder.parameters(), 1e-2, fused=True)
        plan = replace(Plan(epochs, 16, 3, 1.0), capture=capture)
        train(encoder, optimizer, Rows(), loss, plan, folder=folder, fabric=_fabric(maps.device))
        return [p.detach().clone() for p in encoder.parameters()]

    plain, captured = trained(False), trained(True)
    trained(True, tmp_path, epochs=4)
    resumed = trained(True, tmp_path)
    for a, b, c in zip(plain, captured, resumed, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(c, b, rtol=1e-4, atol=1e-5)
