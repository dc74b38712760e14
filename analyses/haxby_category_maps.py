# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # Which category does each voxel of the Haxby slice prefer?
#
# Haxby et al. (2001), subject 1, half an axial slice, eight runs, each with a block of eight categories. The
# encoding model of `neuroai encode haxby2001` (a boxcar a category convolved with the haemodynamic response
# and its time derivative, ridge regression) is scored by leaving one run out. Its weights on the response
# itself, fitted to all runs, are the category maps.
#
# Are the maps more than noise? As in the original study, maps of one half of the runs are compared with maps
# of the other half: a category is identified when its map correlates more with its own map from the other
# half than with that of another category (chance 0.5 for each pair).
#
# `NEUROAI_SMALL=1` takes fewer permutations; `NEUROAI_FIGURES` says where the figure goes.

# %% Settings
import os
import tempfile
from itertools import permutations
from pathlib import Path

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

import neuroai
from neuroai.encoders.designs import design
from neuroai.encoders.readouts import make_readout
from neuroai.plotting.style import (
    DIVERGING,
    GRID,
    INK,
    MUTED,
    PALETTE,
    SEQUENTIAL,
    bare,
    colour_bar,
    describe,
    dress,
    legend,
    name_ticks,
    new_figure,
)
from neuroai.runs.preparation import prepare_responses
from neuroai_datasets.loading import load
from neuroai_datasets.store import open_tree

SMALL = os.environ.get("NEUROAI_SMALL", "0") != "0"
HERE = Path(__file__).resolve().parent if "__file__" in globals() else Path.cwd()
FIGURES = Path(os.environ.get("NEUROAI_FIGURES", HERE / "figures"))
FALSE_DISCOVERIES = 0.05

# %% The command, with its defaults
with tempfile.TemporaryDirectory() as folder:
    run = neuroai.encode("haxby2001", out=Path(folder) / "run", permutations=200 if SMALL else 2000)
    scores = open_tree(run.path / "result.nc").to_dataset().load()
    config = run.config
r, q = scores["r"].values, scores["q"].values
reliable = q <= FALSE_DISCOVERIES
print(f"median r {run.summary['median_r']:.3f}, 95th percentile {run.summary['p95_r']:.3f}")
print(f"{reliable.sum()} of {len(r)} voxels predicted above chance (q <= {FALSE_DISCOVERIES})")

# %% [markdown]
# ## Category maps
#
# Weights of the response regressors, with the mean over categories taken away: what a voxel does for this
# category beyond what it does for any picture.

# %%
recording = load("haxby2001")
regressors = design(recording, config["features"][0])
runs = recording.responses["run"].values
responses = prepare_responses(
    recording.responses.values, runs, detrend=config["detrend"], standardise=config["standardise"]
)
categories = [name for name in regressors.channels if not name.endswith("'")]
names = [name.replace("scrambledpix", "scrambled") for name in categories]


def category_maps(rows):
    """Weights (category, voxel) in responses a regressor of height 1, mean over categories 0."""
    model = make_readout("ridge", alphas=config["alphas"]).fit(regressors[rows], responses[rows])
    weights = np.asarray(model.coef_) / np.asarray(model.scale_).reshape(-1, 1)
    own = weights[[regressors.channels.index(name) for name in categories]]
    return own - own.mean(0)


maps = category_maps(np.arange(len(runs)))
preferred = maps.argmax(0)

# %% [markdown]
# ## Do the maps replicate?

# %%
odd, even = (category_maps(np.flatnonzero(runs % 2 == half)) for half in (0, 1))
alike = np.corrcoef(odd, even)[: len(categories), len(categories) :]
pairs = list(permutations(range(len(categories)), 2))
identified = float(np.mean([alike[a, a] > alike[a, b] for a, b in pairs]))
within, between = np.diag(alike).mean(), alike[~np.eye(len(categories), dtype=bool)].mean()
for name, row, voxels in zip(
    names, np.diag(alike), np.bincount(preferred[reliable], minlength=8), strict=True
):
    print(f"{name:<10} half-to-half r {row:+.2f}, preferred by {voxels} reliable voxels")


# %% Draw
def on_slice(values):
    """Voxel values on the slice, the front of the head up, NaN outside the brain."""
    image = np.full(recording.mask.shape, np.nan)
    image[np.asarray(recording.mask, dtype=bool)] = values
    return np.rot90(image[:, :, 0])


def colour_of(place):
    """One colour a category."""
    return (*PALETTE, MUTED, INK)[place]


figure = new_figure(11.0, 7.2)
upper, lower = figure.subfigures(2, 1, height_ratios=(1.25, 1))
spacing = np.linalg.norm(recording.affine[:3, :2], axis=0)
aspect = float(spacing[1] / spacing[0])
top = float(np.percentile(np.abs(maps[:, reliable]), 99))
panels = upper.subplots(2, 4)
for panel, name, weights in zip(panels.ravel(), names, maps, strict=True):
    image = bare(panel).imshow(on_slice(weights), cmap=DIVERGING, vmin=-top, vmax=top, aspect=aspect)
    describe(panel, title=name)
upper.colorbar(image, ax=panels, shrink=0.7, pad=0.02, label="weight, mean over categories removed")
accuracy, winner, halves = lower.subplots(1, 3, width_ratios=(1, 1, 1))
image = bare(accuracy).imshow(on_slice(r), cmap=SEQUENTIAL, vmin=0, vmax=float(r.max()), aspect=aspect)
describe(accuracy, title="prediction of the run left out")
colour_bar(accuracy, image, "r")
colours = ListedColormap([colour_of(place) for place in range(len(names))])
bare(winner).imshow(on_slice(np.zeros(len(r))), cmap=ListedColormap([GRID]), aspect=aspect)
winner.imshow(
    on_slice(np.where(reliable, preferred, np.nan)),
    cmap=colours,
    vmin=-0.5,
    vmax=len(names) - 0.5,
    aspect=aspect,
)
describe(winner, title=f"preferred category, {reliable.sum()} voxels with q <= {FALSE_DISCOVERIES}")
patches = [Patch(color=colour_of(place), label=name) for place, name in enumerate(names)]
legend(winner, handles=patches, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.02), handlelength=1)
image = halves.imshow(alike, cmap=DIVERGING, vmin=-1, vmax=1)
name_ticks(dress(halves), names, rotate=True)
name_ticks(halves, names, axis="y")
describe(halves, title="maps of one half of the runs with the other", x="even runs", y="odd runs")
colour_bar(halves, image, "r over voxels")
FIGURES.mkdir(parents=True, exist_ok=True)
figure.savefig(FIGURES / "haxby_category_maps.png", dpi=110)
print("figure: haxby_category_maps.png")

# %% [markdown]
# ## Reading the result
#
# Weights are relative: a positive weight says that the voxel responds more to this category than to the mean
# of the eight, not that it responds to nothing else. The slice misses parts of ventral temporal cortex, and
# one subject is no population.

# %%
print(f"half-to-half correlation of maps: {within:.2f} within and {between:.2f} between categories")
print(f"identification of categories from maps: {identified:.3f} of pairs (chance 0.5)")
