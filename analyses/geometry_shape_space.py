# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # Networks as points: what noise adds to their geometry
#
# Simulated networks in four families: two shapes of mean responses, each with noise along the signal or
# across it. A distance between mean responses cannot see the noise. The stochastic shape metric can
# (Duong et al. 2023). Every network is turned at random: no metric may see that.

# %% Settings
import argparse
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.stats import ortho_group

from neuroai.geometry import classify_by_neighbours, mds, pairwise_distances, stochastic_shape_distance
from neuroai.plotting.geometry import embedding
from neuroai.plotting.style import new_figure

HERE = Path(__file__).resolve().parent.parent if "__file__" in globals() else Path.cwd().parent
parser = argparse.ArgumentParser(description="Embed networks by shape metrics.")
parser.add_argument("--small", action="store_true", help="two networks a family")
parser.add_argument("--figure", type=Path, help="where to draw (default: figures/ beside this script)")
options = parser.parse_args([] if "ipykernel" in sys.modules else None)
if not options.small and options.figure is None:
    options.figure = HERE / "analyses" / "figures" / "geometry_shape_space.png"
COPIES, M, N, SEED = (2 if options.small else 5), 8, 4, 0

# %% [markdown]
# ## Networks

# %%
rng = np.random.default_rng(SEED)
angle = np.linspace(0, 2 * np.pi, M, endpoint=False)
SHAPES = {
    "ring": np.stack([np.cos(angle), np.sin(angle), 0 * angle, 0 * angle], axis=1),
    "saddle": np.stack([np.cos(angle), np.sin(angle), 0.8 * np.cos(2 * angle), 0 * angle], axis=1),
}


def network(shape, noise):
    """Means (M, N) and covariances (M, N, N) of a network, jittered and turned."""
    means = 2 * (SHAPES[shape] + 0.08 * rng.standard_normal((M, N)))
    signal = np.stack([-np.sin(angle), np.cos(angle), 0 * angle, 0 * angle], axis=1)
    across = np.array([0, 0, 0, 1.0])
    main = signal if noise == "along" else np.tile(across, (M, 1))
    covariances = 0.05 * np.eye(N) + 1.5 * main[:, :, None] * main[:, None, :]
    turn = ortho_group.rvs(N, random_state=rng)
    return means @ turn, turn.T @ covariances @ turn


families = [(shape, noise) for shape in SHAPES for noise in ("along", "across")]
labels = [f"{shape}, noise {noise}" for shape, noise in families for _ in range(COPIES)]
networks = [network(shape, noise) for shape, noise in families for _ in range(COPIES)]

# %% [markdown]
# ## Distances

# %%
by_means = pairwise_distances([means for means, _ in networks], metric="euclidean")
by_both = np.zeros_like(by_means)
for i, j in combinations(range(len(networks)), 2):
    by_both[i, j] = by_both[j, i] = stochastic_shape_distance(*networks[i], *networks[j], 1.0, n_starts=6)
neighbours = min(3, COPIES - 1)
shares = {}
for name, distances in (("means alone", by_means), ("means and noise", by_both)):
    found = classify_by_neighbours(distances, labels, k=neighbours)
    shares[name] = np.mean([a == b for a, b in zip(found, labels, strict=True)])
    print(f"{name}: {shares[name]:.0%} of the networks are told to their family by {neighbours} neighbours")

# %%
figure = new_figure(10.5, 4.4)
for ax, (name, distances) in zip(
    figure.subplots(1, 2), (("means alone", by_means), ("means and noise", by_both)), strict=True
):
    placed = mds(distances)
    title = f"{name}: {shares[name]:.0%} classified (stress {placed.stress:.3f})"
    embedding(placed.points, [""] * len(labels), groups=labels, title=title, ax=ax)
if options.figure is not None:
    options.figure.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.figure, dpi=110)
    print(f"figure: {options.figure.name}")
