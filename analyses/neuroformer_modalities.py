# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # What each input is worth, in bits a spike
#
# Mouse visual cortex during a contrast discrimination (Steinmetz et al. 2019, three sessions, 0.39 s from
# stimulus onset). A Neuroformer states the rates of each bin from all earlier spikes of the trial and the
# contrasts; five folds over trials, three seeds, `benchmarks/neuroformer_recordings.py`. Bits a spike over
# each unit's mean rate in training trials. Beside it models of `analyses/spikes_baselines.py`: the trial
# average with a gain for contrast, and GLMs and a GRU that see time, contrasts and the last 100 ms.
#
# What comes out (sessions 1, 2 and 4; mean and standard error over folds): Neuroformer 0.365 +- 0.007, 0.291
# +- 0.002 and 0.375 +- 0.018, GRU 0.306, 0.179 and 0.317, coupled GLM 0.247 and 0.263 (sessions 1 and 4), own
# history 0.139 and 0.167. Dropout and the readout's form were chosen on validation trials of the first fold
# of sessions 1 and 4; session 2 took them as they were. Until rates
# had a readout and a loss of their own it was 0.144 and 0.224: an intensity after a spike is trained only up
# to the next spike, one of many cells of a bin, and says little of all others. The exact event likelihood,
# which also sees spikes of smaller unit numbers within a bin, is 0.316, 0.177 and 0.248.
#
# The small settings do the same on a simulated stimulus with known worth.

# %% Settings
import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch

from neuroai.datasets import Recording
from neuroai.neuroformer import (
    Modality,
    Neuroformer,
    NeuroformerConfig,
    event_log_likelihood,
    fit,
    split_windows,
)
from neuroai.neuroformer.training import Recipe
from neuroai.plotting.style import PALETTE, describe, dress, grid, legend, name_ticks, new_figure

HERE = Path(__file__).resolve().parent.parent if "__file__" in globals() else Path.cwd()
SMALL = os.environ.get("NEUROAI_SMALL") == "1"
FIGURES = Path(os.environ.get("NEUROAI_FIGURES", HERE / "analyses" / "figures"))
RESULTS = HERE / "benchmarks" / "results" / "neuroformer_steinmetz.json"
parser = argparse.ArgumentParser(description="Bits a spike by what a model sees.")
parser.add_argument("--results", type=Path, default=RESULTS)
parser.add_argument("--figure", type=Path, default=FIGURES / "neuroformer_modalities.png")
options = parser.parse_args([] if "ipykernel" in sys.modules else None)
BASELINES = HERE / "benchmarks" / "results" / "spikes_baselines.json"
#: Of `analyses/spikes_baselines.py`: other random folds of the same trials, same null model.
SHOWN = ("PSTH x contrast gain", "GLM, own history", "GLM, coupled", "GRU")


# %% A stimulus of known worth (small settings)
def simulated() -> dict[str, dict[str, list[float]]]:
    """Units 0 to 3 fire six times as often in half of the trials; the label says in which."""
    from scipy.stats import poisson

    rng = np.random.default_rng(0)
    side = rng.integers(0, 2, 600)
    rate = np.where((side[:, None, None] == 1) & (np.arange(8) < 4), 0.12, 0.02) * np.ones((600, 10, 8))
    counts = rng.poisson(rate).reshape(-1, 8)
    events = {"onset": np.zeros(600), "duration": np.full(600, 0.1), "run": np.arange(600), "side": side}
    recording = Recording.from_arrays(
        counts, name="planted", period=0.01, runs=np.repeat(np.arange(600), 10), events=events
    )
    found: dict[str, dict[str, list[float]]] = {}
    for name, modalities in (("with stimulus", (Modality("side"),)), ("spikes", ())):
        config = NeuroformerConfig(
            sessions={"v1": 8}, window=0.1, past=0.0, width=16, heads=2, past_layers=0, modalities=modalities
        )
        model = Neuroformer(config)
        windows = model.windows(recording)
        train, test = split_windows(windows)
        training, checking = windows.select(train[:400]), windows.select(train[400:])
        recipe = Recipe(epochs=15, batch_size=20, learning_rate=5e-3, patience=4)
        fit(model, training, validation=checking, recipe=recipe)
        tested, mean = windows.select(test), training.rates()
        seen = tested.counts()
        gain = event_log_likelihood(model, tested).sum() - poisson.logpmf(seen, mean).sum()
        found[name] = {"simulated": [float(gain / seen.sum() / np.log(2))]}
        truth = poisson.logpmf(seen, rate[tested.run]).sum() - poisson.logpmf(seen, mean).sum()
    found["true rates"] = {"simulated": [float(truth / seen.sum() / np.log(2))]}
    return found


# %% The mice
def recorded() -> dict[str, dict[str, list[float]]]:
    """Bits a spike (rates one bin ahead) of each fold, by model and session."""
    others = json.loads(BASELINES.read_text())
    found = {
        name: {s: others[f"session {s}"][name]["folds"] for s in "124" if name in others[f"session {s}"]}
        for name in SHOWN
    }
    names = {"spikes and contrast": "Neuroformer", "spikes": "Neuroformer, no contrast"}
    for run in json.loads(options.results.read_text())["runs"]:
        if run["task"] == "steinmetz":
            label = names.get(run["variant"], run["variant"])
            found.setdefault(label, {}).setdefault(run["session"], []).append(run["bits_rates"])
    return found


torch.set_num_threads(1)
bits = simulated() if SMALL else recorded()
for method, by_session in bits.items():
    print(f"{method}: " + "  ".join(f"{s} {np.mean(v):.3f}" for s, v in sorted(by_session.items())))

# %% Figure
sessions = sorted(next(iter(bits.values())))
figure = new_figure(7.6, 3.8)
ax = dress(figure.add_subplot())
width = 0.8 / len(bits)
for number, (method, by_session) in enumerate(bits.items()):
    place = np.arange(len(sessions)) + (number - (len(bits) - 1) / 2) * width
    means = [np.mean(by_session[s]) if s in by_session else 0.0 for s in sessions]
    ax.bar(place, means, width, color=PALETTE[number], label=method)
    for x, session in zip(place, sessions, strict=True):
        values = by_session.get(session, [])
        if len(values) > 1:
            ax.scatter(np.full(len(values), x), values, s=8, color="#14181d", zorder=3)
        if not values:
            ax.text(x, 0.01, "not fitted", rotation=90, ha="center", va="bottom", fontsize=8)
ax.set_xticks(np.arange(len(sessions)))
name_ticks(ax, [s if SMALL else f"session {s}" for s in sessions])
grid(ax)
describe(ax, title="Bits a spike (points: folds and seeds)", y="bits / spike")
legend(ax)
options.figure.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(options.figure, dpi=110, bbox_inches="tight")
