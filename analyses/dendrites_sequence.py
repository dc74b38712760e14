# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # Context cells double what can be predicted, and survive a change of the world and the death of cells
#
# The stream of Hawkins and Ahmad (2016, figure 6): five sequences of six letters, four random inputs between
# them, so that at most half of the elements can be predicted. The sequences share letters: the last letter
# of a sequence follows from its first one only. A memory with 32 cells a column can tell contexts apart;
# with one cell a column it is first-order. At element 3000 the sequences change; in another run 40 % of the
# cells die at that moment.
#
# `python analyses/dendrites_sequence.py --small` runs one seed and half of the stream.

# %% Settings
import argparse
import json
import sys
from pathlib import Path

import numpy as np

from neuroai.dendrites.sequence_memory import SequenceMemory
from neuroai.dendrites.sequence_memory_task import accuracy_curve, high_order_settings, high_order_stream
from neuroai.plotting.style import BLUE, GREEN, MUTED, ORANGE, VERMILION, describe, dress, grid, new_figure

HERE = Path(__file__).resolve().parent.parent if "__file__" in globals() else Path.cwd()
parser = argparse.ArgumentParser(
    description="High-order sequence memory: accuracy, switch, cell death, cost."
)
parser.add_argument("--small", action="store_true", help="one seed, 3000 elements, switch at 1500")
parser.add_argument("--seeds", type=int, default=5)
parser.add_argument(
    "--results", type=Path, default=HERE / "benchmarks/results/sequence_memory_high_order.json"
)
parser.add_argument("--figure", type=Path, default=HERE / "analyses/figures/dendrites_sequence.png")
options = parser.parse_args([] if "ipykernel" in sys.modules else None)
N_ELEMENTS, SWITCH = (3000, 1500) if options.small else (6000, 3000)
SEEDS = range(42, 43 if options.small else 42 + options.seeds)
WINDOW = 250
PEER = {
    "32": [0.270, 0.452, 0.478, 0.488, 0.488, 0.498, 0.292, 0.339, 0.439, 0.450, 0.459, 0.492],
    "1": [0.225, 0.320, 0.323, 0.329, 0.339, 0.332, 0.264, 0.291, 0.296, 0.309, 0.311, 0.344],
}


# %% [markdown]
# ## Run
#
# Accuracy of a step: predicted columns that got input, over predicted columns; 0 when none was predicted.


# %%
def accuracy(cells_per_column, seed, *, switch=SWITCH, deaths=0.0):
    """Accuracy of each step; a share of the cells dies at the switch."""
    memory = SequenceMemory(**high_order_settings(cells_per_column, seed=seed))
    found = []
    for index, columns in enumerate(high_order_stream(N_ELEMENTS, switch=switch, seed=seed)):
        if deaths and index == SWITCH:
            dead = np.random.default_rng(seed).permutation(memory.n_cells)[: round(deaths * memory.n_cells)]
            memory.kill(dead)
        found.append(memory.step(columns).precision)
    return np.array(found)


RUNS = {
    "32 cells a column": {"cells_per_column": 32},
    "1 cell a column (first order)": {"cells_per_column": 1},
    "32 cells, no switch, 40 % die": {"cells_per_column": 32, "switch": N_ELEMENTS, "deaths": 0.4},
    "32 cells, no switch": {"cells_per_column": 32, "switch": N_ELEMENTS},
}
steps = {name: np.stack([accuracy(seed=seed, **run) for seed in SEEDS]) for name, run in RUNS.items()}

# %% [markdown]
# ## Numbers

# %%
half, last = SWITCH // 500, N_ELEMENTS // 500
summary = {}
for name, values in steps.items():
    curves = np.stack([accuracy_curve(row) for row in values])
    summary[name] = {
        "before": round(float(curves[:, half - 1].mean()), 4),
        "just after": round(float(curves[:, half].mean()), 4),
        "end": round(float(curves[:, last - 1].mean()), 4),
        "curve": curves.mean(0).round(4).tolist(),
        "curve_sd": (curves.std(0, ddof=1) if len(curves) > 1 else curves.std(0)).round(4).tolist(),
    }
    print(f"{name:<32} before {summary[name]['before']:.3f}  just after {summary[name]['just after']:.3f}"
          f"  end {summary[name]['end']:.3f}")  # fmt: skip
dying, intact = (steps[name][:, SWITCH : SWITCH + 1000].mean(1) for name in list(RUNS)[2:])
loss = intact - dying
print(f"\n40 % of the cells dead: accuracy lower by {loss.mean():.4f} over the next 1000 elements")
if not options.small:
    document = {"seeds": list(SEEDS), "window": 500, "switch": SWITCH, "peer": PEER, "runs": summary}
    document["loss_by_seed_when_40_percent_die"] = loss.round(4).tolist()
    options.results.write_text(json.dumps(document, indent=1) + "\n")

# %% [markdown]
# ## Figure

# %%
figure = new_figure(9.6, 3.6)
left, right = figure.subplots(1, 2, sharey=True)


def draw(ax, name, colour, label):
    """Mean over seeds with the range of the seeds."""
    curves = np.stack([accuracy_curve(row, WINDOW) for row in steps[name]])
    x = (np.arange(curves.shape[1]) + 0.5) * WINDOW
    ax.fill_between(x, curves.min(0), curves.max(0), color=colour, alpha=0.2, linewidth=0)
    ax.plot(x, curves.mean(0), color=colour, label=label)


names = list(RUNS)
draw(left, names[0], BLUE, "32 cells a column")
draw(left, names[1], ORANGE, "1 cell a column (first order)")
if not options.small:
    centres = np.arange(12) * 500 + 250
    left.plot(centres, PEER["32"], "o", color=BLUE, markersize=4, mfc="none", label="htm.core, one run")
    left.plot(centres, PEER["1"], "o", color=ORANGE, markersize=4, mfc="none")
draw(right, names[3], GREEN, "no cell dies")
draw(right, names[2], VERMILION, "40 % of the cells die")
for ax, event, title in (
    (left, "sequences change", f"Accuracy {summary[names[0]]['before']:.2f} in context, "
     f"{summary[names[1]]['before']:.2f} without"),
    (right, "cells die", f"40 % dead cells cost {100 * loss.mean():.1f} points"),
):  # fmt: skip
    ax.axhline(0.5, color=MUTED, linewidth=0.8, linestyle="--")
    ax.text(N_ELEMENTS, 0.505, "ceiling", color=MUTED, fontsize=8, ha="right", va="bottom")
    ax.axvline(SWITCH, color=MUTED, linewidth=0.8)
    ax.text(SWITCH, 0.03, f" {event}", color=MUTED, fontsize=8, ha="left")
    ax.set_ylim(0, 0.58)
    grid(dress(ax))
    describe(ax, title=title, x="element of the stream", y=f"accuracy, windows of {WINDOW}")
    ax.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0.0, 0.08))
if not options.small:
    options.figure.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.figure, dpi=110)
    print(f"figure: {options.figure.name}")
