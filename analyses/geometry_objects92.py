# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # Does a convolutional network see objects as inferior temporal cortex does?
#
# Dissimilarities of 92 pictures of objects: fifteen people's early visual cortex (EVC) and inferior temporal
# cortex (IT), and the published human and monkey IT matrices of Kriegeskorte et al. (2008) for the same
# pictures. Models: grey pixels, and blocks of EfficientNet-Lite0.
#
# `python analyses/geometry_objects92.py --small` takes the pixels alone and 100 draws.

# %% Settings
import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from neuroai.geometry import compare, mds, noise_ceiling
from neuroai.geometry.rdm import condensed
from neuroai.plotting.geometry import embedding, rdm_map, similarity_bars
from neuroai.plotting.style import new_figure
from neuroai.runs.geometry import geometry
from neuroai_datasets.loading import load

HERE = Path(__file__).resolve().parent.parent if "__file__" in globals() else Path.cwd().parent
parser = argparse.ArgumentParser(description="Compare models with EVC and IT on 92 objects.")
parser.add_argument("--small", action="store_true", help="pixels alone, 100 draws")
parser.add_argument("--figure", type=Path, help="where to draw (default: figures/ beside this script)")
options = parser.parse_args([] if "ipykernel" in sys.modules else None)
MODELS = ["pixels@64", *(f"efficientnet-lite0@224:{block}" for block in (2, 6, 10, 14))]
if options.small:
    MODELS = MODELS[:1]
elif options.figure is None:
    options.figure = HERE / "analyses" / "figures" / "geometry_objects92.png"

# %% [markdown]
# ## Scores against ceilings

# %%
with tempfile.TemporaryDirectory() as folder:
    run = geometry(
        "objects92", features=MODELS, draws=100 if options.small else 1000, out=Path(folder) / "run"
    )
regions = run.summary["regions"]
for region, entry in regions.items():
    print(f"{region}: ceiling {entry['ceiling'][0]:.3f} to {entry['ceiling'][1]:.3f}")
    for name, found in entry["scores"].items():
        print(f"  {name:24} {found['score']:.3f}  [{found['interval'][0]:.3f}, {found['interval'][1]:.3f}]")

# %% [markdown]
# ## Three numbers called "Spearman ceiling"
#
# The ceilings that circulate with this set (EVC 0.247 and 0.399, IT 0.459 and 0.549) correlate a subject's
# ranks with the mean of the ranks. That mean is no ranking. A Spearman correlation ranks it first, as it
# ranks a model's dissimilarities, and is lower. Pearson's correlation of z-scored dissimilarities is close to
# the first by accident.

# %%
areas = load("objects92").tree["rdm"].to_dataset()
for region in regions:
    vectors = np.stack([condensed(one) for one in areas[region].values])
    ranks = np.stack([rankdata(one) for one in vectors])
    rows = {
        "ranks, their mean not ranked": noise_ceiling(ranks, "pearson"),
        "Spearman": noise_ceiling(vectors, "spearman"),
        "Pearson": noise_ceiling(vectors, "pearson"),
    }
    for name, (lower, upper) in rows.items():
        print(f"{region} {name:30} {lower:.4f} {upper:.4f}")

# %% [markdown]
# ## Man and monkey
#
# The paper reports a correlation of 0.49.

# %%
other = load("objects92_kriegeskorte").tree["rdm"].to_dataset()
human, monkey = other["human_IT"].values, other["monkey_IT"].values
print(f"human and monkey IT: r = {compare(human, monkey, 'pearson'):.4f}")
matrices = {
    "EVC": areas["EVC"].values.mean(0),
    "IT": areas["IT"].values.mean(0),
    "human IT 2008": human,
    "monkey IT 2008": monkey,
    "judgements": other["judgement"].values.mean(0),
}
similar = np.array([[compare(a, b) for b in matrices.values()] for a in matrices.values()])
placed = mds(np.maximum(1 - similar, 0) * (1 - np.eye(len(similar))))

# %%
figure = new_figure(10.5, 7.0)
(left, right), (third, fourth) = figure.subplots(2, 2, width_ratios=(1.5, 1))
similarity_bars(
    MODELS,
    {region: [entry["scores"][name]["score"] for name in MODELS] for region, entry in regions.items()},
    intervals={
        region: [entry["scores"][name]["interval"] for name in MODELS] for region, entry in regions.items()
    },
    ceilings={region: entry["ceiling"] for region, entry in regions.items()},
    title="Models against regions, 15 people",
    ax=left,
)
rdm_map(matrices["EVC"], title="EVC", ax=right)
embedding(
    placed.points,
    list(matrices),
    title=f"Regions, species and judgements (stress {placed.stress:.3f})",
    ax=third,
)
rdm_map(matrices["IT"], title="IT", ax=fourth)
if options.figure is not None:
    options.figure.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.figure, dpi=110)
    print(f"figure: {options.figure.name}")
