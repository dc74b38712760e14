"""Batches filled up to one shape: the losses and gradients of what was recorded, and nothing else."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from neuroai.datasets import ArrayStimulus, simulate_spikes
from neuroai.neuroformer import Modality, Neuroformer, NeuroformerConfig, Video, fit
from neuroai.neuroformer.filling import fill, room_for
from neuroai.neuroformer.training import Pool, Recipe
from neuroai.training.batch_tree import parts

SMALL = {"sessions": {"a": 20}, "width": 16, "heads": 2, "dropout": 0.0}
VIDEO = Modality("film", kind="video", samples=2, frame=(6, 8), patch=(2, 3, 4), stride=(2, 3, 4), layers=1)
CONFIGS = {
    "intensities and rates": NeuroformerConfig(**SMALL),
    "softmax": NeuroformerConfig(**SMALL, readout="categorical"),
    "behaviour": NeuroformerConfig(
        **SMALL, modalities=(Modality("position"), Modality("position", role="target"))
    ),
    "video aligned with spikes": NeuroformerConfig(**SMALL, modalities=(VIDEO,), contrastive=("film",)),
}


def make(name, seconds=20.0):
    config = CONFIGS[name]
    model = Neuroformer(config)
    film = np.random.default_rng(0).integers(0, 255, (round(seconds * 20), 6, 8), dtype=np.uint8)
    shown = {"film": Video(ArrayStimulus(film), np.arange(len(film)) / 20)} if config.contrastive else {}
    windows = model.windows(simulate_spikes(20, seconds), video=shown)
    model.set_rates("a", windows.rates())
    return model, windows


def gradients(model, batch):
    model.zero_grad()
    losses = model(batch)
    losses["loss"].backward()
    kept = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return {name: value.detach() for name, value in losses.items()}, kept


@pytest.mark.parametrize("name", CONFIGS)
def test_fillers_change_no_loss_and_no_gradient(name):
    model, windows = make(name)
    batch = windows[np.arange(3, 30)]
    filled = fill(batch, room_for(windows, 27), 20, windows.config.n_symbols)
    assert len(filled) > len(batch)
    assert filled.n_recorded == 27
    assert filled.n_tokens == len(batch.next_unit)
    expected, found = gradients(model, batch), gradients(model, filled)
    assert_close(found[0], expected[0], rtol=1e-5, atol=1e-6)
    for key, value in expected[1].items():
        assert_close(found[1][key], value, rtol=1e-4, atol=1e-6 * (1 + float(value.abs().max())))


def test_batches_of_random_windows_have_one_shape():
    _, windows = make("intensities and rates", 60.0)
    pool = Pool((windows, windows)).filled(32)
    rng = np.random.default_rng(0)
    shapes = set()
    for _ in range(40):
        index = torch.from_numpy(rng.choice(len(pool), 32, replace=False))
        batches = pool[index]
        assert sum(int(b.n_recorded) for b in batches) == 32
        shapes.add(tuple(x.shape if isinstance(x, torch.Tensor) else x for x in parts(batches)))
    assert len(shapes) == 1


def test_a_batch_without_room_stays_as_it_is():
    _, windows = make("intensities and rates")
    batch = windows[np.arange(40)]
    assert fill(batch, room_for(windows, 8), 20, windows.config.n_symbols) is batch


def test_fillers_cover_the_last_batch_of_an_epoch():
    _, windows = make("intensities and rates")
    room = room_for(windows, 64)
    filled = fill(windows[np.arange(5)], room, 20, windows.config.n_symbols)
    assert (len(filled), len(filled.current.unit)) == (room.windows, room.tokens)


def trained(steps_recorded, epochs=4, dropout=0.0):
    from dataclasses import replace

    from lightning_fabric import Fabric

    from neuroai.neuroformer import training

    config = replace(CONFIGS["intensities and rates"], dropout=dropout)
    model = Neuroformer(config)
    windows = model.windows(simulate_spikes(20, 30.0))
    with pytest.MonkeyPatch.context() as patch:
        if not steps_recorded:
            patch.setattr(training, "_recordable", lambda model, pool, fabric: False)
        recipe = Recipe(epochs=epochs, batch_size=40, learning_rate=3e-3)
        fabric = Fabric(accelerator="cuda", devices=1)
        result = fit(model, windows, recipe=recipe, fabric=fabric)
    return result.losses, [p.detach().clone() for p in model.parameters()]


@pytest.mark.gpu
def test_recorded_training_is_plain_training():
    """Without dropout the filled, recorded steps give the weights of plain packed steps, to rounding."""
    (plain, weights), (recorded, others) = trained(False), trained(True)
    np.testing.assert_allclose(recorded, plain, rtol=1e-4)
    for a, b in zip(weights, others, strict=True):
        assert_close(b, a, rtol=1e-2, atol=2e-4)


@pytest.mark.gpu
def test_recorded_training_is_reproducible_with_dropout():
    (losses, _), (again, _) = (trained(True, epochs=6, dropout=0.1) for _ in range(2))
    np.testing.assert_allclose(again, losses, rtol=1e-4)


@pytest.mark.gpu
def test_a_recorded_step_needs_no_host():
    """Loss and gradients of a filled batch in half precision, without one wait for the device."""
    model, windows = make("video aligned with spikes")
    model.cuda()
    filled = fill(windows[np.arange(3, 30)], room_for(windows, 27), 20, windows.config.n_symbols).to("cuda")
    with torch.autocast("cuda", torch.bfloat16):
        model(filled)["loss"].backward()
        torch.cuda.set_sync_debug_mode("error")
        try:
            model(filled)["loss"].backward()
        finally:
            torch.cuda.set_sync_debug_mode("default")
