# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # Which segment to forget when there is no room
#
# A sequence memory of bounded size must drop segments. The classical rule drops the least recently used one:
# every random input makes new segments, so a burst of noise pushes out all that was learned before. The rule
# used here drops the least useful one, by the sum of squared permanences: what was confirmed again and again
# stays, what was seen once goes first. Both memories learn the same sequences, then hear noise only; from
# time to time they are tested, without learning.
#
# `NEUROAI_SMALL=1` runs two seeds; `NEUROAI_FIGURES` says where the figure goes.

# %% Settings
import os
from pathlib import Path

import numpy as np

from neuroai.dendrites import SequenceMemory
from neuroai.plotting.style import BLUE, MUTED, VERMILION, describe, dress, grid, new_figure

SMALL = os.environ.get("NEUROAI_SMALL", "0") != "0"
HERE = Path(__file__).resolve().parent if "__file__" in globals() else Path.cwd()
FIGURE = Path(os.environ.get("NEUROAI_FIGURES", HERE / "figures")) / "dendrites_forgetting.png"
SEEDS = range(2 if SMALL else 5)
COLUMNS, ACTIVE, LENGTH, SEQUENCES = 512, 20, 10, 10
NOISE = np.arange(0, 401, 25)
RULES = {"least-useful": BLUE, "least-recent": VERMILION}


# %% [markdown]
# ## Run
#
# Room for 4,000 segments; the sequences need 1,800, and every random input makes up to 20 more.


# %%
def predicted(memory, sequences):
    """Share of the elements after the first that were predicted, and nothing else; nothing is learned."""
    found = []
    for elements in sequences:
        memory.reset()
        found += [1 - memory.step(columns, learn=False).anomaly for columns in elements][1:]
    memory.reset()
    return float(np.mean(found))


def curve(rule, seed):
    """Predicted share after each amount of noise."""
    rng = np.random.default_rng(seed)
    sequences = [[np.sort(rng.choice(COLUMNS, ACTIVE, replace=False)) for _ in range(LENGTH)]
                 for _ in range(SEQUENCES)]  # fmt: skip
    memory = SequenceMemory(
        n_columns=COLUMNS, cells_per_column=8, activation_threshold=8, min_threshold=6, max_new_synapses=14,
        max_segments=4000, forget=rule, seed=seed,
    )  # fmt: skip
    for _ in range(8):
        for elements in sequences:
            memory.reset()
            for columns in elements:
                memory.step(columns)
    values = [predicted(memory, sequences)]
    for steps in np.diff(NOISE):
        memory.reset()
        for _ in range(steps):
            memory.step(np.sort(rng.choice(COLUMNS, ACTIVE, replace=False)))
        values.append(predicted(memory, sequences))
    return values


curves = {rule: np.array([curve(rule, seed) for seed in SEEDS]) for rule in RULES}

# %% Figure
figure = new_figure(5.6, 3.4)
ax = dress(figure.subplots())
for rule, colour in RULES.items():
    ax.fill_between(NOISE, curves[rule].min(0), curves[rule].max(0), color=colour, alpha=0.2, linewidth=0)
    ax.plot(NOISE, curves[rule].mean(0), color=colour, label=f"forgets the {rule.replace('-', ' ')}")
ax.axhline(0, color=MUTED, linewidth=0.8)
ax.set_ylim(-0.03, 1.05)
grid(ax)
ax.legend(fontsize=8, frameon=False, loc="center right")
describe(ax, title="Ten sequences, then noise", x="random inputs", y="elements still predicted")
FIGURE.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(FIGURE, dpi=130)

# %% The numbers
for rule, values in curves.items():
    half = int(NOISE[np.argmax(values.mean(0) < 0.5)]) if (values.mean(0) < 0.5).any() else None
    after = "never below half" if half is None else f"below half after {half} random inputs"
    print(f"{rule:13} predicted {values[:, 0].mean():.3f} before the noise, {values[:, -1].mean():.3f} after "
          f"{NOISE[-1]} random inputs; {after}")  # fmt: skip
print(f"figure: {FIGURE.name}")
