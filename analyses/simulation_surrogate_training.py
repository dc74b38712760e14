# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # Do delays help a spiking network to tell time, and does the surrogate matter?
#
# Two pulses arrive on two lines, 0, 4, 8 or 12 ms apart, at a moment that varies. A sparse recurrent network
# of leaky neurons (membrane 3 ms, far shorter than the lags) has to say which lag it was, from leaky averages
# of its spikes. It is trained through surrogate gradients, which reach the weights of its synapses through
# their delays. Everything but one thing is equal between runs:
#
# * the surrogate derivative, one of six, with delays of 1 to 14 ms;
# * or the delays, all 1 ms, with the first surrogate.
#
# Chance is 0.25. `NEUROAI_SMALL=1` runs fewer steps, surrogates and seeds; `NEUROAI_FIGURES` says where the
# figure goes.

# %% Settings
import os
from pathlib import Path

import numpy as np
import torch

from neuroai.kernels import Surrogate
from neuroai.plotting.style import (
    BLUE,
    INK,
    MUTED,
    PALETTE,
    VERMILION,
    describe,
    dress,
    grid,
    legend,
    new_figure,
)
from neuroai.simulation.layers import LeakyReadout, NeuronSettings, RecurrentSpikingLayer

SMALL = os.environ.get("NEUROAI_SMALL", "0") != "0"
HERE = Path(__file__).resolve().parent if "__file__" in globals() else Path.cwd()
FIGURES = Path(os.environ.get("NEUROAI_FIGURES", HERE / "figures"))
LAGS, N_STEPS, N_UNITS, N_SYNAPSES, LONGEST = (0, 4, 8, 12), 36, 40, 600, 14
N_UPDATES, SEEDS, BATCH, HELD_OUT = (60, (0,), 64, 400) if SMALL else (120, (0, 1), 64, 400)
EVERY, GOAL = 10, 0.95
# Sharpness such that slopes two thirds of a threshold away are alike, between 0.1 and 0.3.
SURROGATES = {
    "fast_sigmoid": 3.0, "arctan": 2.0, "sigmoid": 4.0, "triangle": 1.0, "rectangular": 0.7, "gaussian": 1.5,
}  # fmt: skip
if SMALL:
    SURROGATES = {name: SURROGATES[name] for name in ("fast_sigmoid", "arctan")}
torch.set_num_threads(1)


# %% The task and the network
def pulses(count, stream):
    """Two pulses a sample (T, count, 2) and which lag separates them."""
    label = torch.randint(0, len(LAGS), (count,), generator=stream)
    first = torch.randint(1, 10, (count,), generator=stream)
    x = torch.zeros(N_STEPS, count, 2)
    sample = torch.arange(count)
    x[first, sample, 0] = 1
    x[first + torch.tensor(LAGS)[label], sample, 1] = 1
    return x, label


class LagReader(torch.nn.Module):
    """Input weights, a sparse recurrent layer, a leaky readout."""

    def __init__(self, surrogate, longest, seed):
        super().__init__()
        stream = torch.Generator().manual_seed(seed)
        ends = (torch.randint(0, N_UNITS, (N_SYNAPSES,), generator=stream) for _ in range(2))
        delays = torch.randint(0, LONGEST, (N_SYNAPSES,), generator=stream).clamp(max=longest - 1) + 1
        weights = 0.7 * torch.randn(N_SYNAPSES, generator=stream)
        neurons = NeuronSettings(tau=3e-3, surrogate=surrogate)
        self.into = torch.nn.Linear(2, N_UNITS)
        self.into.weight.data = 4 * torch.randn(N_UNITS, 2, generator=stream)
        self.into.bias.data.zero_()
        self.layer = RecurrentSpikingLayer(*ends, delays, weights, N_UNITS, neurons)
        self.readout = LeakyReadout(N_UNITS, len(LAGS), tau=20e-3)
        self.readout.weight.weight.data = torch.randn(len(LAGS), N_UNITS, generator=stream) / N_UNITS**0.5
        self.readout.weight.bias.data.zero_()

    def forward(self, x):
        """Logits (count, lags) and spikes."""
        spikes, _ = self.layer(self.into(x))
        return 20 * self.readout(spikes).mean(0), spikes


def train(surrogate, longest, seed):
    """Accuracy on held-out samples along training, and the network."""
    network, stream = LagReader(surrogate, longest, seed), torch.Generator().manual_seed(1000 + seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
    x_held, label_held = pulses(HELD_OUT, torch.Generator().manual_seed(77))
    curve = []
    for update in range(N_UPDATES + 1):
        if update % EVERY == 0:
            with torch.no_grad():
                curve.append(float((network(x_held)[0].argmax(1) == label_held).float().mean()))
        x, label = pulses(BATCH, stream)
        loss = torch.nn.functional.cross_entropy(network(x)[0], label)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return curve, network


# %% Train
runs = {name: [train(Surrogate(name, k), LONGEST, s) for s in SEEDS] for name, k in SURROGATES.items()}
first_name = next(iter(SURROGATES))
runs["no delays"] = [train(Surrogate(first_name, SURROGATES[first_name]), 1, seed) for seed in SEEDS]
curves = {name: np.array([curve for curve, _ in several]) for name, several in runs.items()}

# %% Figure
figure = new_figure(11.5, 3.6)
axes = figure.subplots(1, 3, width_ratios=(1.3, 1, 1))
updates = EVERY * np.arange(curves[first_name].shape[1])
ax = dress(axes[0])
for (name, curve), colour in zip(curves.items(), [*PALETTE[: len(SURROGATES)], INK], strict=True):
    style = "--" if name == "no delays" else "-"
    ax.plot(updates, curve.mean(0), style, color=colour, label=name.replace("_", " "))
    ax.fill_between(updates, curve.min(0), curve.max(0), color=colour, alpha=0.12, linewidth=0)
ax.axhline(1 / len(LAGS), color=MUTED, linewidth=0.8, linestyle=":")
describe(ax, title="Held-out accuracy", x="updates of 64 samples", y="share of lags told")
ax.set_ylim(0, 1.02)
grid(ax)
legend(ax)

network = runs[first_name][0][1]
stream = torch.Generator().manual_seed(5)
x_shown, label_shown = pulses(64, stream)
with torch.no_grad():
    logits, spikes = network(x_shown)
for ax, lag in zip(axes[1:], (0, len(LAGS) - 1), strict=True):
    sample = int(torch.nonzero(label_shown == lag)[0])
    when, who = torch.nonzero(spikes[:, sample], as_tuple=True)
    dress(ax)
    ax.plot(when, who, "|", color=BLUE, markersize=4)
    for line in range(2):
        ax.axvline(int(x_shown[:, sample, line].argmax()), color=VERMILION, linewidth=0.8)
    answer = LAGS[int(logits[sample].argmax())]
    describe(ax, title=f"lag {LAGS[lag]} ms, answer {answer} ms", x="time (ms)", y="unit")
    ax.set_xlim(0, N_STEPS)
    ax.set_ylim(-1, N_UNITS)
FIGURES.mkdir(parents=True, exist_ok=True)
figure.savefig(FIGURES / "simulation_surrogate_training.png", dpi=140)


# %% The numbers
def updates_to_goal(curve):
    """Mean over seeds of the updates after which the goal is met; infinite if a seed never meets it."""
    met = curve >= GOAL
    return float(np.where(met.any(1), updates[met.argmax(1)], np.inf).mean())


halfway = len(updates) // 2
for name, curve in curves.items():
    half, end = (curve[:, place].mean() for place in (halfway, -1))
    print(
        f"{name}: {GOAL:.0%} after {updates_to_goal(curve):.0f} updates; "
        f"{half:.3f} after {updates[halfway]}, {end:.3f} after {updates[-1]}"
    )
gain = curves[first_name].mean() - curves["no delays"].mean()
print(f"mean accuracy over training: delays - no delays ({first_name.replace('_', ' ')}) = {gain:+.3f}")
means = [curve.mean() for name, curve in curves.items() if name != "no delays"]
print(f"mean accuracy over training: best - worst surrogate = {max(means) - min(means):+.3f}")
