"""Decoding with shapes that stay: the same features as step by step, while rooms grow and rows leave."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from neuroai.datasets import simulate_spikes
from neuroai.neuroformer import Modality, Neuroformer, NeuroformerConfig
from neuroai.neuroformer.cache import Decoder
from neuroai.neuroformer.graphed import StaticDecoder
from neuroai.neuroformer.rolling import GraphedRoll, Roll, roll_of
from neuroai.neuroformer.sampling import Sampling


def model_and_batch(device):
    inputs = (Modality("position", samples=3),)
    config = NeuroformerConfig(sessions={"a": 20}, width=16, heads=2, window=2.0, past=0.5, modalities=inputs)
    model = Neuroformer(config).eval().to(device)
    windows = model.windows(simulate_spikes(20, 20.0))
    model.set_rates("a", windows.rates())
    return model, windows[np.arange(2, 6)].to(device)


def compare(device, tolerance):
    model, batch = model_and_batch(device)
    layout = batch.current.layout
    rows = torch.tensor([0, 0, 1, 2, 2, 3], device=device)
    unit, bins = (layout.pad(x)[rows] for x in (batch.current.unit, batch.current.bin))
    n = int(layout.lengths().min())
    assert n > 70  # rooms of 32 tokens grow twice
    with torch.inference_mode():
        one, other = (k(model, "a", model.sources(batch), rows) for k in (Decoder, StaticDecoder))
        for i in range(n):
            if i in (n // 3, n // 2):
                kept = torch.tensor([0, 2, 3, 5] if i == n // 3 else [1, 2], device=device)
                unit, bins = unit[kept], bins[kept]
                one.keep(kept)
                other.keep(kept)
            expected = one.step(unit[:, i], bins[:, i])
            other.reserve()
            assert_close(other.step(unit[:, i], bins[:, i]), expected, rtol=0, atol=tolerance)


def test_rooms_and_ranges_change_nothing():
    compare("cpu", 2e-6)


def test_graphs_are_for_gpus_and_unpadded_models():
    assert roll_of(False, torch.device("cpu")) is Roll
    assert roll_of(True, torch.device("cuda")) is Roll
    assert roll_of(False, torch.device("cuda")) is GraphedRoll


def test_static_rows_draw_what_others_draw():
    class Static(Roll):
        decoding = StaticDecoder

    model, batch = model_and_batch("cpu")
    rows = torch.arange(4).repeat_interleave(3)
    how = Sampling(refractory=0.02)
    with torch.inference_mode():
        one, other = (k(model, batch, rows, how, torch.Generator().manual_seed(0)) for k in (Roll, Static))
        for i in range(40):
            if i == 20:
                one.keep(torch.arange(0, 12, 2))
                other.keep(torch.arange(0, 12, 2))
            for a, b in zip(one.step(), other.step(), strict=True):
                assert_close(a, b, rtol=0, atol=0)


@pytest.mark.gpu
def test_static_decoding_on_a_gpu():
    compare("cuda", 1e-5)


OPTIONS = {
    "plain": {},
    "refractory": {"refractory": 0.02},
    "filtered": {"top_p": 0.9, "temperature": 0.8, "top_k": 50},
}


@pytest.mark.gpu
@pytest.mark.parametrize("readout", ["intensity", "categorical"])
@pytest.mark.parametrize("name", OPTIONS)
def test_a_recorded_roll_is_a_plain_one(readout, name):
    """Draw by draw: the same generator gives the same spikes with and without a graph."""
    config = NeuroformerConfig(sessions={"a": 20}, width=16, heads=2, readout=readout)
    model = Neuroformer(config).eval().cuda()
    windows = model.windows(simulate_spikes(20, 10.0))
    model.set_rates("a", windows.rates())
    batch = windows[np.arange(8)].to("cuda")
    rows = torch.arange(8, device="cuda").repeat_interleave(4)

    class Static(Roll):
        decoding = StaticDecoder

    how = Sampling(**OPTIONS[name])
    with torch.inference_mode():
        one, other = (
            k(model, batch, rows, how, torch.Generator("cuda").manual_seed(0)) for k in (Static, GraphedRoll)
        )
        for i in range(40):
            if i == 10:
                one.keep(torch.arange(0, 32, 2, device="cuda"))
                other.keep(torch.arange(0, 32, 2, device="cuda"))
            for a, b in zip(one.step(), other.step(), strict=True):
                assert_close(a, b, rtol=0, atol=0)


@pytest.mark.gpu
def test_generation_through_a_graph_is_reproducible():
    model = Neuroformer(NeuroformerConfig(sessions={"a": 20}, width=16, heads=2)).eval().cuda()
    recording = simulate_spikes(20, 10.0)
    one, two = (model.generate(recording, n_samples=3, seed=5) for _ in range(2))
    for name in ("sample", "window", "unit", "bin"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
