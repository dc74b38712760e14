"""The cases of the speed benchmark: data, configurations, arithmetic, and the checks before any time."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from neuroai.datasets import ArrayStimulus, Recording
from neuroai.neuroformer import Neuroformer, NeuroformerConfig, Video, Windows
from neuroai.neuroformer.batch import Batch
from neuroai.neuroformer.filling import fill, room_for
from neuroai.neuroformer.rolling import roll_of
from neuroai.training.capture import CapturedStep

#: Units, spikes a second of each, video and contrastive alignment.
CASES = {"A": (386, 1.0, False), "B": (2023, 0.5, True)}


def poisson(n_units: int, rate: float, seconds: float, seed: int = 25) -> Recording:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rate * 0.01, (round(seconds / 0.01), n_units))
    return Recording.from_arrays(counts, name="poisson", period=0.01)


def frames(seconds: float) -> dict[str, Video]:
    n = round(seconds * 20)
    pictures = np.random.default_rng(0).integers(0, 255, (n, 30, 100), dtype=np.uint8)
    return {"video": Video(ArrayStimulus(pictures), np.arange(n) / 20)}


def configs(n_units: int, video: bool) -> dict[str, NeuroformerConfig]:
    published = NeuroformerConfig.compatibility(n_units, video)
    packed = replace(published, padded=False, max_spikes=None, max_past_spikes=None)
    return {"published": published, "packed": packed, "default readout": replace(packed, readout="intensity")}


def prepared(config: NeuroformerConfig, n_windows: int, device: str) -> tuple[Neuroformer, Windows]:
    n_units = next(iter(config.sessions.values()))
    rate = 0.5 if config.inputs else 1.0
    seconds = max(20.0, (n_windows + 12) * 0.05 * 1.2)
    model = Neuroformer(config).to(device).train()
    shown = frames(seconds) if config.inputs else None
    windows = model.windows(poisson(n_units, rate, seconds), video=shown)
    model.set_rates("session", windows.rates())
    return model, windows


def operations(config: NeuroformerConfig, batch: Batch) -> float:
    """Multiplications and additions of one packed training step, matrix products alone."""
    e, n, b = config.width, sum(config.sessions.values()), config.window_bins
    lengths = batch.current.layout.lengths().double()
    tokens = float(lengths.sum())

    def own(layers: int, sizes: Tensor, seen: float) -> float:
        return layers * (24 * e * e * float(sizes.sum()) + 4 * e * seen * float((sizes**2).sum()))

    def cross(layers: int, sources: Tensor) -> float:
        projected = 20 * e * e * tokens + 4 * e * e * float(sources.sum())
        return layers * (projected + 4 * e * float((lengths * sources).sum()))

    forward = own(config.encoder_layers + config.output_layers, lengths, 0.5)
    forward += cross(config.past_layers, batch.past.layout.lengths().double())
    for video in config.inputs:
        patches = torch.full((len(batch),), 1.0 + np.prod(video.n_patches), dtype=torch.float64)
        forward += own(video.encoder_layers, patches, 1.0) + cross(video.layers, patches)
        forward += 2 * e * float(np.prod(video.patch)) * float(patches.sum() - len(patches))
    head = 2 * e * (n + b) + (2 * e * e if config.readout == "intensity" else 0)
    return 3 * (forward + head * tokens)


def check(device: str) -> None:
    """Gate: what is timed is right."""
    assert Neuroformer(configs(386, False)["published"]).n_parameters == 14_698_240
    assert Neuroformer(configs(2023, True)["published"]).n_parameters == 25_105_152
    for case in CASES:
        for name, (model, windows) in small(case, device).items():
            with torch.no_grad():
                check_alone_and_cached(model.eval(), windows, device)
            if device == "cuda" and name != "published":
                check_half(model, windows)
                check_recorded(model, windows)
    print("checks passed: parameters, packed = single, cached = uncached" + ", recorded" * (device == "cuda"))


def small(case: str, device: str) -> dict[str, tuple[Neuroformer, Windows]]:
    """The three models of a case with few layers, and windows of 4 s."""
    n_units, rate, video = CASES[case]
    out = {}
    for name, config in configs(n_units, video).items():
        few = replace(config, width=64, heads=4, encoder_layers=2, past_layers=2, output_layers=2)
        model = Neuroformer(replace(few, dropout=0.0)).to(device)
        windows = model.windows(poisson(n_units, rate, 4.0), video=frames(4.0) if video else None)
        model.set_rates("session", windows.rates())
        out[name] = model, windows
    return out


def check_alone_and_cached(model: Neuroformer, windows: Windows, device: str) -> None:
    batch = windows[np.arange(2, 10)].to(device)
    features = model.encode(batch)
    layout = batch.current.layout
    grid = layout.pad(features.tokens)
    for i in range(8):
        alone = model.encode(windows[[2 + i]].to(device)).tokens
        torch.testing.assert_close(grid[i, : len(alone)], alone, rtol=0, atol=2e-5)
    kind = roll_of(model.config.padded, torch.device(device)).decoding
    decoder = kind(model, "session", features.sources, torch.arange(8, device=device))
    unit, bins = layout.pad(batch.current.unit), layout.pad(batch.current.bin)
    for i in range(int(layout.lengths().min())):
        decoder.reserve()
        made = decoder.step(unit[:, i], bins[:, i])
        torch.testing.assert_close(made, grid[:, i], rtol=0, atol=2e-5)


@torch.no_grad()
def check_half(model: Neuroformer, windows: Windows) -> None:
    batch = windows[np.arange(2, 10)].to("cuda")
    exact = model.encode(batch).tokens
    with torch.autocast("cuda", torch.bfloat16):
        error = (model.encode(batch).tokens.float() - exact).norm() / exact.norm()
    assert error < 2e-2, f"attention in bf16 is off by {error:.3g}"


def check_recorded(model: Neuroformer, windows: Windows) -> None:
    """Loss and gradients of a step filled up and replayed, against those of the packed batch."""

    def compute(batch: Batch) -> Tensor:
        loss: Tensor = model(batch)["loss"]
        loss.backward()
        return loss.detach()  # a loss keeps its graph, and that the stream it was made on

    def gradient() -> Tensor:
        found = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        model.zero_grad(set_to_none=True)
        return found

    batch, config = windows[np.arange(2, 18)], windows.config
    filled = fill(batch, room_for(windows, 16), windows.events.n_units, config.n_symbols)
    assert filled.recorded is not None
    recorded = CapturedStep(compute, list(model.parameters()), torch.Generator("cuda"))
    for _ in range(5):
        loss, found = recorded(filled.to("cuda")), gradient()
    expected, gradients = compute(batch.to("cuda")), gradient()
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)
    error = (found - gradients).norm() / gradients.norm()
    assert error < 1e-3, f"gradients of a replayed step are off by {error:.3g}"
