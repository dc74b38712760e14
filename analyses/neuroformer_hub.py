# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # Who drives whom: a transformer's attention, its responses, and a lagged covariance
#
# A circuit with a known answer: 6 hubs drive 294 followers one way, 10 to 30 ms later. A Neuroformer learns
# to predict each spike from the five bins before it; then its connectivity is read in two ways. Attention
# says where the model looks; the response says how an added spike of one unit changes the predicted rate of
# another. Both are judged by how they rank the 294 edges among all 89,700 ordered pairs (area under the ROC
# curve, and average precision, 0.0033 by chance), beside statistics that need no model.
#
# What comes out (60,000 bins, 12 passes, three seeds on a GPU): attention 1.000, 1.000, 0.999 / 1.00, 0.92,
# 0.89 (the figure: the first seed on a CPU, 0.999 / 0.91; each panel on its own scale, bright is strong),
# response 1.000 / 1.000 for each, and so a covariance at lags 1 to 3, which needs no model and a second to
# compute. Correlations without lag are below chance: followers of one hub go together. Attention finds the
# hubs, and is spread over all their targets, as it is spent before the target is known; the response tells
# targets apart.

# %% Settings
import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric

from neuroai.neuroformer import Neuroformer, NeuroformerConfig, connectivity, fit
from neuroai.neuroformer.lagged import (
    edge_scores,
    lagged_covariance,
    partial_correlation,
    pearson_correlation,
)
from neuroai.neuroformer.training import Recipe
from neuroai_datasets.simulators.hub import simulate_hub

HERE = Path(__file__).resolve().parent.parent if "__file__" in globals() else Path.cwd()
SMALL = os.environ.get("NEUROAI_SMALL") == "1"
FIGURES = Path(os.environ.get("NEUROAI_FIGURES", HERE / "analyses" / "figures"))
parser = argparse.ArgumentParser(description="Connectivity of a hub circuit, read from a Neuroformer.")
parser.add_argument("--device", default="cpu")
parser.add_argument("--seeds", type=int, default=1 if SMALL else 3)
parser.add_argument("--bins", type=int, default=3_000 if SMALL else 60_000)
parser.add_argument("--units", type=int, default=30 if SMALL else 300)
parser.add_argument("--epochs", type=int, default=15 if SMALL else 12)
parser.add_argument("--results", type=Path, default=HERE / "benchmarks" / "results" / "neuroformer_hub.json")
parser.add_argument("--figure", type=Path, default=FIGURES / "neuroformer_hub.png")
options = parser.parse_args([] if "ipykernel" in sys.modules else None)


# %% [markdown]
# ## Train and read
# A window is one bin, so that all causes lie in the past window. Without the readout of rates, which sees
# past spikes directly: attention has to carry everything.


# %% One seed
def read(seed: int) -> dict[str, np.ndarray]:
    """Matrices (target, source) by method, and the truth."""
    recording = simulate_hub(options.bins, n_units=options.units, seed=seed)
    config = NeuroformerConfig(
        sessions={"hub": options.units},
        window=0.01,
        past=0.05,
        width=32 if SMALL else 64,
        heads=4,
        encoder_layers=1,
        past_layers=2,
        output_layers=1,
        dropout=0.0,
        rate_weight=0.0,
    )
    model = Neuroformer(config, seed=seed)
    windows = model.windows(recording)
    recipe = Recipe(options.epochs, 64 if SMALL else 512, 3e-3, weight_decay=0.01, seed=seed)
    fabric = Fabric(accelerator=options.device, devices=1)
    began = time.perf_counter()
    result = fit(model, windows, recipe=recipe, fabric=fabric)
    seconds = time.perf_counter() - began
    print(f"seed {seed}: loss {result.losses[0]:.4f} to {result.losses[-1]:.4f}, {seconds:.0f} s")
    model.to(fabric.device)
    counts = recording.spikes.bin(0.01, 0.0, options.bins * 0.01)
    return {
        "attention": connectivity(model, windows, batch_size=1024),
        "attention, not normalised": connectivity(model, windows, normalise=False, batch_size=1024),
        "response": connectivity(model, windows, method="response"),
        "lagged covariance": lagged_covariance(counts),
        "partial correlation": partial_correlation(counts),
        "zero-lag correlation": pearson_correlation(counts),
        "truth": recording.tree["truth"]["edges"].values,
    }


torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
matrices = [read(seed) for seed in range(options.seeds)]
methods = [name for name in matrices[0] if name != "truth"]
scores = {name: [edge_scores(m[name], m["truth"]) for m in matrices] for name in methods}
for name, found in scores.items():
    auroc, precision = np.mean([s.auroc for s in found]), np.mean([s.average_precision for s in found])
    print(f"{name}: AUROC {auroc:.3f}, average precision {precision:.4f}")

# %% [markdown]
# ## What it looks like


# %% Figure
def draw() -> None:
    from neuroai.plotting.style import SEQUENTIAL, describe, dress, new_figure

    figure = new_figure(13.2, 3.8)
    hubs = 6
    shown = ("truth", "attention", "response", "lagged covariance")
    for number, name in enumerate(shown):
        ax = dress(figure.add_subplot(1, 4, number + 1))
        strength = matrices[0][name][:, : 5 * hubs].astype(float)
        top = np.quantile(strength, 0.995)
        ax.imshow(
            strength, aspect="auto", cmap=SEQUENTIAL, vmin=0, vmax=max(top, 1e-12), interpolation="nearest"
        )
        title = name
        if name in scores:
            found = scores[name][0]
            title = f"{name}: AUROC {found.auroc:.3f}, AP {found.average_precision:.2f}"
        describe(ax, title=title, x="source (first 30 units)", y="target" if number == 0 else "")
    figure.set_layout_engine("constrained")
    options.figure.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.figure, dpi=110)


if not SMALL:
    content = {
        "script": "analyses/neuroformer_hub.py",
        "device": torch.cuda.get_device_name() if options.device == "cuda" else platform.machine(),
        "torch": torch.__version__,
        "bins": options.bins,
        "epochs": options.epochs,
        "seeds": options.seeds,
        "scores": {n: [{"auroc": s.auroc, "ap": s.average_precision} for s in f] for n, f in scores.items()},
    }
    options.results.write_text(json.dumps(content, indent=1), encoding="utf-8")
draw()
