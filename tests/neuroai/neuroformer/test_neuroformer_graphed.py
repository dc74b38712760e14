"""Decoding through a recorded graph: the same features as step by step, while rooms grow and rows leave."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from neuroai.datasets import simulate_spikes
from neuroai.neuroformer import Neuroformer, NeuroformerConfig
from neuroai.neuroformer.cache import Decoder
from neuroai.neuroformer.graphed import GraphedDecoder, decoder_class


class Plain(GraphedDecoder):
    """The rooms and masks of a graph, without the graph."""

    def step(self, unit, bins):
        if self.length == self.room:
            self._grow()
        self.place.fill_(self.length)
        return Decoder.step(self, unit, bins)


def compare(kind, device, tolerance):
    config = NeuroformerConfig(sessions={"a": 20}, width=16, heads=2, window=2.0, past=0.5)
    model = Neuroformer(config).eval().to(device)
    batch = model.windows(simulate_spikes(20, 20.0))[np.arange(2, 6)].to(device)
    layout, rows = batch.current.layout, torch.arange(4, device=device)
    unit, bins = layout.pad(batch.current.unit), layout.pad(batch.current.bin)
    n = int(layout.lengths().min())
    assert n > 70  # rooms of 32 tokens grow twice
    with torch.inference_mode():
        one, other = (k(model, "a", model.sources(batch), rows) for k in (Decoder, kind))
        for i in range(n):
            if i == n // 2:
                kept = torch.tensor([0, 2, 3], device=device)
                unit, bins = unit[kept], bins[kept]
                one.keep(kept)
                other.keep(kept)
            expected = one.step(unit[:, i], bins[:, i])
            assert_close(other.step(unit[:, i], bins[:, i]), expected, rtol=0, atol=tolerance)


def test_rooms_and_masks_change_nothing():
    compare(Plain, "cpu", 1e-6)


def test_graphs_are_for_gpus_and_unpadded_models():
    assert decoder_class(False, torch.device("cpu")) is Decoder
    assert decoder_class(True, torch.device("cuda")) is Decoder
    assert decoder_class(False, torch.device("cuda")) is GraphedDecoder


@pytest.mark.gpu
def test_a_graph_gives_the_same_features():
    compare(GraphedDecoder, "cuda", 1e-5)


@pytest.mark.gpu
def test_generation_through_a_graph_is_reproducible():
    model = Neuroformer(NeuroformerConfig(sessions={"a": 20}, width=16, heads=2)).eval().cuda()
    recording = simulate_spikes(20, 10.0)
    one, two = (model.generate(recording, n_samples=3, seed=5) for _ in range(2))
    for name in ("sample", "window", "unit", "bin"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
