# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # How reliable is a dendritic segment, and which threshold should it have?
#
# A segment with s synapses spikes when at least theta of them are active. A population of n cells has a
# active cells a pattern. The theory (Ahmad and Hawkins 2016) gives the probability of a chance match and
# of a miss in closed form; `neuroai.dendrites.theory` evaluates it exactly, in log space. Here each curve
# of the theory stands beside simulated patterns, and the predicted threshold beside the 8 to 20 synapses
# that NMDA spikes were measured to need.

# %% Settings
import argparse
import sys
import time
from pathlib import Path

import numpy as np

from neuroai.dendrites import theory
from neuroai.plotting.style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PALETTE,
    VERMILION,
    describe,
    dress,
    grid,
    new_figure,
)

HERE = Path(__file__).resolve().parent.parent if "__file__" in globals() else Path.cwd()
parser = argparse.ArgumentParser(description="Draw the theory of dendritic segments beside simulations.")
parser.add_argument("--trials", type=int, default=1_000_000, help="simulated patterns a point")
parser.add_argument("--figure", type=Path, default=HERE / "analyses" / "figures" / "dendrites_theory.png")
options = parser.parse_args([] if "ipykernel" in sys.modules else None)

FIGURE = new_figure(11.5, 6.8)
AXES = FIGURE.subplots(2, 3)
SCORES = []


def panel(place, title, x_label, y_label="probability"):
    """One logarithmic panel in the common look."""
    ax = dress(AXES.flat[place])
    ax.set_yscale("log")
    describe(ax, title=title, x=x_label, y=y_label)
    grid(ax)
    return ax


def add_simulation(ax, x, p, simulate, colour):
    """Simulated frequencies where at least 30 hits are expected; their z scores are kept."""
    for seed, (where, expected) in enumerate(zip(x, p, strict=True)):
        if not 30 < expected * options.trials < options.trials - 30:
            continue
        rate = simulate(seed) / options.trials
        SCORES.append((rate - expected) / np.sqrt(expected * (1 - expected) / options.trials))
        ax.plot(where, rate, "o", color=colour, markersize=4, markerfacecolor="none")


# %% [markdown]
# ## Chance matches against n and a
#
# At a fixed number of active cells the error falls as a power of n with exponent theta; at a fixed
# fraction (a = n/4, which the papers label "50 % active") it does not fall at all: both sparsity and size
# are needed.

# %%
n = np.array([300, 500, 700, 900, 1300, 1900, 2900, 3900, 5900, 9900, 19_900])
ax = panel(0, "Size and sparsity (s = 24, θ = 12)", "cells n", "chance match")
for colour, a in zip((BLUE, ORANGE, GREEN), (64, 128, 256), strict=True):
    p = theory.false_match_probability(n, a, 24, 12)
    ax.plot(n, p, color=colour, label=f"a = {a}")
    add_simulation(
        ax,
        n,
        p,
        lambda i, a=a: theory.simulate_false_matches(int(n[i]), a, 24, 12, trials=options.trials, seed=i),
        colour,
    )
flat = theory.false_match_probability(n, n // 4, 24, 12)
ax.plot(n, flat, "--", color=MUTED, label="a = n/4")
ax.set_xscale("log")
ax.set_ylim(1e-26, 3)
ax.legend(fontsize=8, frameon=False, loc="lower left")

# %% [markdown]
# ## Chance matches against the number of synapses, and against the threshold

# %%
s = np.arange(2, 41, 2)
ax = panel(1, "Synapses (θ = s/2)", "synapses s", "chance match")
for colour, (cells, a) in zip(
    PALETTE, ((2000, 32), (4000, 32), (16_000, 256), (16_000, 512), (16_000, 4000)), strict=False
):
    p = theory.false_match_probability(cells, a, s, s // 2)
    ax.plot(s, p, color=colour, label=f"n = {cells:,}, a = {a}")
    add_simulation(
        ax,
        s,
        p,
        lambda i, cells=cells, a=a: theory.simulate_false_matches(
            cells, a, int(s[i]), int(s[i]) // 2, trials=options.trials, seed=i
        ),
        colour,
    )
ax.set_ylim(1e-30, 3)
ax.legend(fontsize=7, frameon=False, loc="lower left")

theta = np.arange(1, 25)
ax = panel(2, "Threshold: matches fall, misses rise", "threshold θ", "error")
for colour, synapses in zip((BLUE, ORANGE, GREEN), (20, 30, 40), strict=True):
    levels = theta[theta <= synapses]
    false = theory.false_match_probability(10_000, 200, synapses, levels)
    miss = theory.miss_probability(synapses, levels, 0.3, active=200)
    ax.plot(levels, false, color=colour, label=f"s = {synapses}")
    ax.plot(levels, np.where(miss > 0, miss, np.nan), ":", color=colour)
    best = int(theory.optimal_threshold(10_000, 200, synapses, 0.3))
    total = theory.false_match_probability(10_000, 200, synapses, best)
    total += theory.miss_probability(synapses, best, 0.3, active=200)
    ax.plot(best, total, "s", color=colour, markersize=6)
ax.set_ylim(1e-42, 3)
title = "n = 10,000, a = 200, 30 % noise\ndotted: misses; square: least sum"
ax.legend(fontsize=8, frameon=False, loc="lower left", title=title, title_fontsize=7.5, alignment="left")

# %% [markdown]
# ## Misses under noise
#
# With theta = s/2, half the cells may be lost before most stored patterns are missed; but half is the
# median, no guarantee. Nothing is missed while at most s - theta cells are lost.

# %%
lost = np.rint(np.arange(0.05, 0.851, 0.05) * 128).astype(int)
ax = panel(3, "Noise (a = 128, s = 30)", "fraction of active cells lost", "miss")
for colour, level in zip((BLUE, ORANGE, GREEN), (8, 12, 16), strict=True):
    p = theory.miss_probability(30, level, lost / 128, active=128)
    ax.plot(lost / 128, np.where(p > 0, p, np.nan), color=colour, label=f"θ = {level}")
    add_simulation(
        ax,
        lost / 128,
        p,
        lambda i, level=level: theory.simulate_misses(
            128, 30, level, int(lost[i]), trials=options.trials, seed=i
        ),
        colour,
    )
ax.set_ylim(1e-12, 3)
ax.legend(fontsize=8, frameon=False, loc="lower right")

# %% [markdown]
# ## Unions
#
# One segment can mix several patterns. The exact error, a sum over the distribution of the union's size,
# beside the value at the expected size that the papers use.

# %%
patterns = np.arange(1, 41)
ax = panel(4, "Patterns on one segment (n = 20,000, s = 20)", "patterns M", "chance match")
worst = 0.0
for colour, level in zip((BLUE, ORANGE, GREEN), (10, 12, 15), strict=True):
    exact = theory.union_false_match_probability(20_000, 200, 20, level, patterns)
    mean = theory.union_false_match_probability(20_000, 200, 20, level, patterns, method="rounded")
    worst = max(worst, float(np.abs(mean / exact - 1).max()))
    ax.plot(patterns, exact, color=colour, label=f"θ = {level}")
    ax.plot(patterns[::3], mean[::3], "x", color=colour, markersize=4)
    few = theory.union_capacity(20_000, 200, 20, level, 1e-6)
    ax.plot(few, 1e-6, "s", color=colour, markersize=6)
ax.axhline(1e-6, color=MUTED, linewidth=0.8, linestyle="--")
ax.text(39, 1e-26, "crosses: at the expected size", fontsize=7.5, ha="right")
ax.legend(fontsize=8, frameon=False, loc="lower right", bbox_to_anchor=(1, 0.12))

# %% [markdown]
# ## The predicted threshold beside the measured range
#
# 210 populations and segments: n 1,000 to 17,000, 0.5 to 3 % active, 20 to 50 synapses. The published
# curve is the median over these settings (its caption says mean). Measured NMDA spikes need 8 to 20
# synapses.

# %%
cells = np.array([1000, 5000, 9000, 13_000, 17_000])[:, None, None]
active = np.rint(cells * np.arange(1, 7)[None, :, None] * 0.005).astype(int)
synapses = np.arange(20, 51, 5)
levels = np.arange(3, 25)
errors = np.zeros((len(levels), 210))
for i, level in enumerate(levels):
    possible = synapses >= level
    values = np.zeros((5, 6, len(synapses)))
    values[..., possible] = theory.false_match_probability(cells, active, synapses[possible], level)
    errors[i] = values.ravel()
median = np.median(errors, axis=1)
low, high = np.quantile(errors, [0.1, 0.9], axis=1)
first = int(levels[np.argmax(median < 1e-7)])

ax = panel(5, "Threshold: predicted and measured", "threshold θ", "chance match")
ax.axvspan(8, 20, color=ORANGE, alpha=0.18, linewidth=0)
ax.text(14, 3e-2, "measured NMDA spikes", fontsize=8, ha="center", color=INK)
ax.fill_between(levels, np.maximum(low, 1e-60), high, color=BLUE, alpha=0.2, linewidth=0)
ax.plot(levels, median, color=BLUE, label="median of 210 settings; 10 to 90 %")
ax.axhline(1e-7, color=MUTED, linewidth=0.8, linestyle="--")
ax.plot(
    first, median[levels == first], "s", color=VERMILION, markersize=6, label=f"first below 1e-7: θ = {first}"
)
ax.set_ylim(1e-45, 3)
ax.legend(fontsize=8, frameon=False, loc="lower left")

# %% Figure
options.figure.parent.mkdir(parents=True, exist_ok=True)
FIGURE.savefig(options.figure, dpi=140)
print(options.figure)

# %% The numbers
z = np.array(SCORES)
settings = np.full(1_000_000, 10_000)
start = time.process_time()
theory.log10_false_match_probability(settings, 200, 24, 12)
rate = len(settings) / (time.process_time() - start)
print(f"predicted threshold: the median error first falls below 1e-7 at theta = {first}; measured: 8 to 20")
print(
    f"simulation: {len(z)} points of {options.trials:,} patterns, {np.mean(np.abs(z) < 2):.0%} within 2 "
    f"standard errors, largest {np.abs(z).max():.1f}, mean z {z.mean():+.2f} (standard error "
    f"{len(z) ** -0.5:.2f})"
)
print(f"the expected union size is off by at most {worst:.1%}; {rate / 1e6:.1f} million settings a second")
