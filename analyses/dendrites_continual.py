# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # Dendrites that gate by context, and k-winners, remember what they learned before
#
# One network learns the same ten classes again and again under new permutations of the pixels. Networks whose
# units carry dendritic segments that read a context, and where 5 % of the units win, are compared with the
# same network without segments, with ReLU in place of k-winners, with plain networks of the same width and of
# the same number of weights, and with two rules that protect old weights. No task is named at test: a
# picture's context is the nearest of the tasks' mean pictures.
#
# Results of `benchmarks/continual_learning.py` are drawn; with `NEUROAI_SMALL=1` three tasks are learned here
# instead. `NEUROAI_FIGURES` says where the figure goes. MNIST-10k has 8,000 training images where published
# networks had the 60,000 of MNIST. Settings were chosen at ten tasks, on other seeds and permutations and on
# training images alone; fifty tasks have the same with four epochs in place of ten and ten segments a unit.
# Tuning: two seeds, 6,400 training images, 1,600 more for validation.

# %% Settings
import json
import os
from pathlib import Path

import numpy as np

from neuroai.dendrites.continual import (
    METHODS,
    PUBLISHED,
    PermutedTasks,
    gaps,
    learn_in_sequence,
    load_images,
    mean_over_seeds,
    recipe,
)
from neuroai.plotting.dendrites import accuracy_lines, method_bars
from neuroai.plotting.style import new_figure

SMALL = os.environ.get("NEUROAI_SMALL", "0") != "0"
HERE = Path(__file__).resolve().parent if "__file__" in globals() else Path.cwd()
FIGURE = Path(os.environ.get("NEUROAI_FIGURES", HERE / "figures")) / "dendrites_continual.png"
RESULTS = HERE.parent / "benchmarks" / "results"
# Those run on every set first: a method has one colour.
ORDER = ("dendrites", "kwinners", "mlp", "dendrites-relu", "si", "dendrites-si", "ewc", "mlp-wide")


# %% [markdown]
# ## Accuracies by seed
#
# For each method: mean test accuracy over the tasks learned so far, for each seed, after so many tasks.


# %%
def trained():
    """Three tasks of digits."""
    seeds, count = [0, 1], 3
    tasks = PermutedTasks(load_images("digits"), count, seeds)
    found = {
        name: learn_in_sequence(tasks, name, recipe("digits", name, count), seeds)
        for name in ("dendrites", "kwinners", "dendrites-relu", "mlp")
    }
    return {name: {learned: one.seen(learned) for learned in (1, 2, 3)} for name, one in found.items()}


def stored(name):
    """Results of a benchmark; of several settings of a method, the best."""
    runs = sorted(json.loads((RESULTS / name).read_text())["runs"], key=lambda run: run["mean"]["mean"])
    best = {run["method"]: {int(k): np.array(v) for k, v in run["seen"].items()} for run in runs}
    return {method: best[method] for method in ORDER if method in best}


if SMALL:
    panels = {"digits": trained()}
else:
    panels = {
        "digits": stored("continual_digits_10.json"),
        "MNIST-10k": stored("continual_mnist_t10k_10.json"),
        "MNIST-10k, 4 epochs a task": stored("continual_mnist_t10k_50.json"),
    }


# %% [markdown]
# ## Numbers


# %%
def final(methods):
    """Accuracy over all tasks after the last, by title."""
    return {METHODS[name].title: seen[max(seen)] for name, seen in methods.items()}


for label, methods in panels.items():
    count = max(next(iter(methods.values())))
    seeds = len(next(iter(final(methods).values())))
    print(f"{label}, {count} tasks, {seeds} seeds: accuracy over all tasks after the last, 95 % interval")
    for name, seen in methods.items():
        one = mean_over_seeds(seen[count])
        known = PUBLISHED.get(name, {}).get(count) if label != "digits" else None
        print(f"  {METHODS[name].title:28} {one.mean:.3f} [{one.low:.3f}, {one.high:.3f}]"
              + (f"   published, full MNIST: {known:.3f}" if known else ""))  # fmt: skip
    differences = gaps({name: seen[count] for name, seen in methods.items()})
    for (better, worse), gap in differences.items():
        if better == "dendrites":
            print(f"  dendrites - {worse:16} {gap.mean:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]")

if not SMALL:
    tuning = stored("continual_mnist_t10k_10_tuning.json")
    print("MNIST-10k, 10 tasks, as tuned (2 seeds, held-out training images)")
    for name in ("dendrites", "dendrites-si", "mlp", "mlp-wide"):
        print(f"  {METHODS[name].title:28} {tuning[name][10].mean():.3f}")

# %% [markdown]
# ## Figure

# %%
figure = new_figure(13.5, 3.7 * len(panels))
axes = figure.subplots(len(panels), 2, squeeze=False)
for row, (label, methods) in enumerate(panels.items()):
    count = max(next(iter(methods.values())))
    rows = {name: PUBLISHED.get(name, {}) for name in methods}
    known = {METHODS[name].title: row[count] for name, row in rows.items() if count in row}
    bounds = {title: mean_over_seeds(values)[1:] for title, values in final(methods).items()}
    method_bars(
        final(methods), intervals=bounds, published=known if label != "digits" else None,
        title=f"{label}: {count} permuted tasks", ax=axes[row, 0],
    )  # fmt: skip
    if label != "digits":
        axes[row, 0].get_legend().set_loc("lower left")
        axes[row, 0].get_legend().get_texts()[0].set_text("published, 60,000 training images")
    accuracy_lines(
        {METHODS[name].title: (sorted(seen), np.stack([seen[k] for k in sorted(seen)], axis=1))
         for name, seen in methods.items()},
        x="tasks learned", y="accuracy over tasks learned", ax=axes[row, 1],
    )  # fmt: skip
FIGURE.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(FIGURE, dpi=110)
print(f"figure: {FIGURE.name}")
