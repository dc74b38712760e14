# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # Where does attention help a brain encoder, and where does it not?
#
# A simulated visual cortex looks at crops of photographs. Each target reads a feature vector from one part of
# the feature map. Either that part is fixed (a static receptive field), or it follows the picture: a region's
# query looks for its feature, and the targets read other features at the place where it was found. The truth
# is known, so is the ceiling, and every readout sees the very feature map the simulation was built on: what
# differs is the routing alone.
#
# * Content routing with gain 0 is an average over the whole picture, a static field; the larger the gain,
#   the more sharply the place read from follows the picture.
# * The score is squared correlation on pictures that no fit has seen (0 where the correlation is negative),
#   over its ceiling: 1 is a perfect model.
#
# `NEUROAI_SMALL=1` runs fewer pictures, targets and gains; `NEUROAI_FIGURES` says where the figure goes.

# %% Settings
import os
from pathlib import Path

import numpy as np

from neuroai.encoders.readouts import make_readout
from neuroai.encoders.scores import pearson_r
from neuroai.plotting.style import (
    BLUE,
    INK,
    ORANGE,
    SEQUENTIAL,
    SKY,
    bare,
    describe,
    dress,
    legend,
    new_figure,
)
from neuroai.plotting.style import grid as grid_lines
from neuroai_datasets.simulators import simulate_visual_cortex

SMALL = os.environ.get("NEUROAI_SMALL", "0") != "0"
HERE = Path(__file__).resolve().parent if "__file__" in globals() else Path.cwd()
FIGURES = Path(os.environ.get("NEUROAI_FIGURES", HERE / "figures"))
N_IMAGES, N_TARGETS, SEED = (400, 40, 0) if SMALL else (1000, 100, 0)
GAINS = (0.0, 3.0) if SMALL else (0.0, 0.5, 1.0, 2.0, 3.0, 5.0)
TRAINING = 0.75
COLOURS = {"ridge": INK, "factorised": BLUE, "gaussian": SKY, "attention": ORANGE}


# %% Simulate, fit on three quarters of the pictures, score on the rest
def evaluate(readouts, **routing):
    """Mean r2 over ceiling of each readout; the recording and the fitted attention readout."""
    recording = simulate_visual_cortex(N_IMAGES, N_TARGETS, seed=SEED, **routing)
    maps = recording.tree["truth"]["features"].values.astype(np.float32)
    responses, ceiling = recording.responses.values, recording.responses["ceiling"].values
    rois = {str(name): recording.rois.sel(roi=name).values for name in recording.rois["roi"].values}
    train, test = np.split(np.arange(N_IMAGES), [round(TRAINING * N_IMAGES)])
    scores, fitted = {}, {}
    for name in readouts:
        options = {"rois": rois} if name == "attention" else {}
        fitted[name] = make_readout(name, **options).fit(maps[train], responses[train])
        r = pearson_r(responses[test], fitted[name].predict(maps[test]))
        scores[name] = float(np.mean(np.maximum(r, 0) ** 2 / ceiling))
    print(f"{routing}: " + ", ".join(f"{name} {score:.3f}" for name, score in scores.items()), flush=True)
    return scores, recording, fitted


# %% [markdown]
# ## Two worlds
#
# In the static world all targets of a region share a field, which a region's query can express. Nothing in
# the task is out of attention's reach; whatever it loses there is the price of learning by gradient descent
# what the factorised readout obtains in closed form.

# %%
static, _, _ = evaluate(COLOURS, routing="static", fields="region")
content, recording, fitted = evaluate(COLOURS, routing="content")

# %% [markdown]
# ## From one world to the other

# %%
pair = ("factorised", "attention")
by_gain = {
    gain: content if gain == 3.0 else evaluate(pair, routing="content", gain=gain)[0] for gain in GAINS
}

# %% [markdown]
# ## Where it looks
#
# On pictures that were not used for fitting, the attention of a region's query against the planted one.

# %%
truth = recording.tree["truth"].to_dataset()
held_out = np.arange(round(TRAINING * N_IMAGES), N_IMAGES)
planted = dict(
    zip(truth["region_name"].values, truth["attention"].values[held_out].swapaxes(0, 1), strict=True)
)
found_all = fitted["attention"].attention(truth["features"].values[held_out].astype(np.float32))
queries = list(fitted["attention"].query_names_)
overlap = {
    name: float(np.corrcoef(planted[name].ravel(), found_all[:, place].ravel())[0, 1])
    for place, name in enumerate(queries)
    if name in planted
}
print("correlation of found with planted attention: " + ", ".join(f"{k} {v:.2f}" for k, v in overlap.items()))
region = max(overlap, key=overlap.get)

# %%
figure = new_figure(10.4, 4.6)
charts, pictures = figure.subfigures(1, 2, width_ratios=(1.9, 1))
left, right = charts.subplots(1, 2, width_ratios=(1, 1))
for index, (name, colour) in enumerate(COLOURS.items()):
    places = np.arange(2) + (index - 1.5) * 0.2
    left.bar(places, [static[name], content[name]], width=0.18, color=colour, label=name)
left.set_xticks([0, 1], ["static fields", "content routing"])
left.set_ylim(0, 1.28)
legend(left, loc="upper center", ncols=2)
grid_lines(dress(left))
describe(left, title="Two worlds", y="r2 / ceiling, mean over targets")
for name in pair:
    right.plot(GAINS, [by_gain[gain][name] for gain in GAINS], "o-", color=COLOURS[name], label=name)
right.set_ylim(0, 1.28)
legend(right, loc="upper center", ncols=2)
grid_lines(dress(right))
describe(right, title="From static to content routing", x="gain of the planted routing", y="r2 / ceiling")
panels = pictures.subplots(3, 3)
place = queries.index(region)
for row, offset in zip(panels, np.linspace(0, len(held_out) - 1, 3).astype(int), strict=True):
    shown = (recording.stimulus[int(held_out[offset])], planted[region][offset], found_all[offset, place])
    for axes, image in zip(row, shown, strict=True):
        bare(axes).imshow(image, cmap="gray" if image.ndim == 2 and axes is row[0] else SEQUENTIAL)
for axes, title in zip(panels[0], ("picture", "planted", "found"), strict=True):
    describe(axes, title=title)
pictures.suptitle(f"Attention of region {region} (r = {overlap[region]:.2f})", fontsize=10, color=INK)
FIGURES.mkdir(parents=True, exist_ok=True)
figure.savefig(FIGURES / "planted_routing.png", dpi=110)
print("figure: planted_routing.png")

# %% [markdown]
# ## Reading the result
#
# A readout with a fixed field, however well tuned, cannot say where a picture's feature was found, and the
# spatial average that is left to it carries little of the signal. With static fields there is nothing to
# gain from moving: the factorised readout is at least as good, much quicker, and has an exact solution.

# %%
gain_content = content["attention"] - content["factorised"]
loss_static = static["attention"] - static["factorised"]
print(f"content routing: attention - factorised = {gain_content:+.3f} (asked: at least +0.10)")
print(f"static fields:   attention - factorised = {loss_static:+.3f} (asked: at most +0.01)")
