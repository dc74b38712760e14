# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # Do simulated networks fire as published, and what does a coefficient of variation depend on?
#
# Three published networks on the CPU:
#
# * the balanced network of Brunel (2000): rates over drive and inhibition against mean-field theory, which
#   has no free parameter;
# * a tenth of the cortical microcircuit of Potjans and Diesmann (2014): rates of eight populations against an
#   independent implementation, and the irregularity of intervals as the window of the recording grows;
# * the network of Vogels and Abbott (2005) in two forms in circulation, which are often mixed up.
#
# `NEUROAI_SMALL=1` runs fewer points and shorter; `NEUROAI_FIGURES` says where the figure goes.

# %% Settings
import os
from pathlib import Path

import numpy as np

from neuroai.plotting.spikes import raster, rate_bars
from neuroai.plotting.style import BLUE, INK, MUTED, PALETTE, describe, dress, grid, legend, new_figure
from neuroai.simulation.models import brunel, potjans_diesmann, vogels_abbott
from neuroai.simulation.models.references import reference_rates
from neuroai.simulation.statistics import firing
from neuroai.simulation.theory import brunel_rate

SMALL = os.environ.get("NEUROAI_SMALL", "0") != "0"
HERE = Path(__file__).resolve().parent if "__file__" in globals() else Path.cwd()
FIGURES = Path(os.environ.get("NEUROAI_FIGURES", HERE / "figures"))
ORDER = 500 if SMALL else 2500
POINTS = (
    ((5.0, 2.0), (6.0, 2.0)) if SMALL else tuple((g, eta) for g in (4.5, 5.0, 6.0) for eta in (1.5, 2.0, 3.0))
)
SECONDS = 2.5 if SMALL else 10.5
WINDOWS = (1.0, 2.0) if SMALL else (0.5, 1.0, 2.0, 5.0, 10.0)

# %% [markdown]
# ## Brunel: simulation against theory
#
# Theory takes inputs for independent white noise; in the network two neurons share a tenth of their sources.

# %%
simulated, predicted = [], []
for g, eta in POINTS:
    found = firing(brunel(ORDER, g=g, eta=eta, seed=1).run(0.7), start=0.2, n_correlated=2)
    simulated.append(float(np.concatenate([one.rates for one in found.values()]).mean()))
    predicted.append(brunel_rate(g=g, eta=eta, in_degree=4 * ORDER // 10))
    print(f"g {g:g}, eta {eta:g}: simulated {simulated[-1]:6.2f}, theory {predicted[-1]:6.2f} spikes/s")
errors = np.array(simulated) / predicted - 1

# %% [markdown]
# ## The microcircuit at a tenth of its size

# %%
recording = potjans_diesmann(0.1, seed=1).run(SECONDS)
circuit = firing(recording, start=0.5)
rates = {name: float(one.rates.mean()) for name, one in circuit.items()}
reference = reference_rates("potjans-diesmann", {"scale": 0.1})
off = {name: rates[name] / rate - 1 for name, rate in reference.rates.items()}
for name, rate in rates.items():
    print(f"{name}: {rate:6.3f} spikes/s, known {reference.rates[name]:6.3f} ({off[name]:+.1%})")

# %% [markdown]
# Slow neurons give only short intervals in a short window, so the coefficient of variation grows with the
# window while nothing changes in the network: values from different windows cannot be compared.

# %%
variation = {name: [] for name in circuit}
for window in WINDOWS:
    for name, one in firing(recording, start=SECONDS - window, n_correlated=2).items():
        variation[name].append(float(np.nanmean(one.cvs)) if np.isfinite(one.cvs).any() else np.nan)

# %% [markdown]
# ## Vogels and Abbott: two forms, two rates

# %%
forms = {}
for kind in ("cuba", "coba"):
    for form in ("nest", "brian"):
        one = firing(vogels_abbott(kind, form, seed=2).run(1.1), start=0.1, n_correlated=2)["E"]
        forms[f"{kind}, {form}"] = float(one.rates.mean())
        known = reference_rates("vogels-abbott", {"kind": kind, "form": form}).rates["E"]
        print(f"{kind}, {form} form: {forms[f'{kind}, {form}']:5.2f} spikes/s, known {known:5.2f}")

# %% Figure
figure = new_figure(11.0, 7.4)
top, bottom = figure.subfigures(2, 1)
left, right = top.subplots(1, 2, width_ratios=[2.0, 1.0])
units, spikes = recording.units["population"].values, recording.spikes
shown = {name: [spikes.unit(int(i)) for i in np.flatnonzero(units == name)[::6]] for name in circuit}
raster(
    shown,
    window=(SECONDS - 0.4, SECONDS),
    title="A tenth of the microcircuit, one neuron in six",
    ax=dress(left),
)
dress(right)
reach = 1.08 * max(*simulated, *predicted)
right.plot([0, reach], [0, reach], color=MUTED, linewidth=0.8)
right.plot(predicted, simulated, "o", color=BLUE, markersize=5)
describe(right, title="Balanced network", x="theory (spikes/s)", y="simulated (spikes/s)")
grid(right)
bars, lines, two = bottom.subplots(1, 3)
rate_bars(
    rates,
    reference=reference.rates,
    tolerance=reference.tolerance,
    reference_label="known, accepted range",
    title="Microcircuit",
    ax=dress(bars),
)
dress(lines)
for number, (name, values) in enumerate(variation.items()):
    style = "-" if number < len(PALETTE) else "--"
    lines.plot(
        WINDOWS, values, style, marker="o", markersize=3, color=PALETTE[number % len(PALETTE)], label=name
    )
lines.set_xscale("log")
lines.set_xticks(WINDOWS, [f"{window:g}" for window in WINDOWS])
lines.minorticks_off()
legend(lines, ncols=2)
grid(lines)
describe(lines, title="Same network, other windows", x="window (s)", y="CV of intervals")
dress(two)
two.bar(range(len(forms)), list(forms.values()), color=[BLUE, INK] * 2, width=0.6)
two.set_xticks(range(len(forms)), [name.replace(", ", "\n") for name in forms])
grid(two)
describe(two, title="Vogels and Abbott, two forms", y="excitatory rate (spikes/s)")
FIGURES.mkdir(parents=True, exist_ok=True)
figure.savefig(FIGURES / "simulation_networks.png", dpi=110)
print("figure: simulation_networks.png")

# %% [markdown]
# ## Reading the result

# %%
print(f"balanced network: largest deviation from theory = {np.abs(errors).max():+.3f}")
print(f"microcircuit: largest deviation from known rates = {max(map(abs, off.values())):+.3f}")
growth = np.nanmean([values[-1] - values[0] for values in variation.values()])
print(f"coefficient of variation, {WINDOWS[0]:g} to {WINDOWS[-1]:g} s = {growth:+.3f}")
