# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # Which readout predicts macaque V4 best from the same feature maps?
#
# Seven recordings of V4 neurons (Cowley, Stan, Pillow and Smith 2023), 640 to 1200 photographs each. Every
# readout sees the same features, block 7 of EfficientNet-Lite0 on the 112 x 112 picture (80 channels on a
# 7 x 7 grid), and the same five folds over pictures. Predictions of all folds are joined; the score is
# Pearson's r with the repeat-averaged count, median over neurons. Everything else (penalties, fields,
# smoothness, number of turns or epochs) is chosen inside the training part of each fold. The default grids
# of the Gaussian and factorised readouts were settled while looking at sessions 190923, 210224 and 210325;
# the other four were first scored with the finished readouts.
#
# `python analyses/v4_readouts.py --small` takes two readouts and one fold of one session;
# without it all sessions and readouts are run, and what is finished is kept in `--results`.

# %% Settings
import argparse
import json
import platform
import sys
import time
from pathlib import Path

import numpy as np
import torch

from neuroai.encoders.ceilings import noise_ceiling
from neuroai.encoders.features import extract
from neuroai.encoders.readouts import make_readout
from neuroai.encoders.scores import pearson_r
from neuroai.plotting.style import BLUE, INK, MUTED, ORANGE, PALETTE, describe, dress, grid, new_figure
from neuroai_datasets.loading import load

FEATURES = "efficientnet-lite0:7"
SESSIONS = ("190923", "190925", "190929", "210224", "210225", "210322", "210325")
PENALTIES = np.logspace(-3, 2, 8).tolist()
READOUTS = {
    # The published baseline: z-scored features, kernel over their number, penalties by leave-one-out.
    "ridge": ("ridge", {"scale": "feature", "alphas": PENALTIES, "cv": "loo"}),
    # The stronger one: a single scale leaves every feature its share of the variance.
    "ridge, one scale": ("ridge", {"alphas": PENALTIES, "cv": "loo"}),
    "ridge, mean-pooled": (
        "ridge",
        {"pool": "mean", "scale": "feature", "alphas": PENALTIES, "cv": "loo"},
    ),
    "pca-ridge": ("pca-ridge", {"alphas": PENALTIES, "cv": "loo"}),
    "attention": ("attention", {}),
    "gaussian, tied weights": ("gaussian", {"coherences": (float("inf"),), "sizes": (0.18, 0.25, 0.35, 0.7)}),
    "factorised": ("factorised", {}),
    "gaussian": ("gaussian", {}),
}
HERE = Path(__file__).resolve().parent.parent if "__file__" in globals() else Path.cwd()

parser = argparse.ArgumentParser(description="Compare readouts on seven V4 recordings.")
parser.add_argument("--small", action="store_true", help="one fold of one session, two readouts")
parser.add_argument("--sessions", nargs="+", default=list(SESSIONS), choices=SESSIONS)
parser.add_argument("--readouts", nargs="+", default=list(READOUTS), choices=list(READOUTS))
parser.add_argument("--device", default="cpu", help="where readouts are fitted, such as cuda")
parser.add_argument("--results", type=Path, default=HERE / "benchmarks" / "results" / "v4_readouts.json")
parser.add_argument("--figure", type=Path, help="where to draw (default: figures/ beside this script)")
options = parser.parse_args([] if "ipykernel" in sys.modules else None)
if options.small:
    options.sessions, options.readouts = ["210325"], ["ridge", "factorised"]
elif options.figure is None:
    options.figure = HERE / "analyses" / "figures" / "v4_readouts.png"
N_FOLDS, SEED = 5, 0


# %% [markdown]
# ## Data, folds and ceilings
#
# In session 190925 pictures 901 to 1200 show pictures 1 to 300 again. The first 900 are used, so nothing
# leaks, and the second showings give the ceiling: the squared correlation that a perfect model can reach with
# one showing is the correlation between the two. Session 210325 has its single repeats. The other sessions
# have averages only, so no ceiling can be computed.


# %%
def read_session(session):
    """Feature maps (n, 80, 7, 7), responses (n, v), and a ceiling on r2 (v,) or None."""
    first = {"images": "first900"} if session == "190925" else {}
    recording = load("v4_images", session=session, **first)
    maps = np.asarray(extract(recording.stimulus, FEATURES).values)[recording.responses["stimulus"].values]
    ceiling = None
    if session == "210325":
        ceiling = noise_ceiling(recording.repeats.values, "split-half")
    if session == "190925":
        twice = load("v4_images", session=session).responses
        order = twice["stimulus"].values
        again = np.flatnonzero(np.arange(len(order)) != order)
        ceiling = pearson_r(twice.values[order[again]], twice.values[again])
    return maps, np.asarray(recording.responses.values, dtype=np.float32), ceiling


def table_folds(n):
    """The folds of the published baseline table, which were drawn with numpy's legacy generator."""
    order = np.random.RandomState(SEED).permutation(n)
    return [np.sort(order[fold::N_FOLDS]) for fold in range(N_FOLDS)]


# %% [markdown]
# ## Fit


# %%
def compare(maps, responses, readout, n_folds):
    """Joined predictions (n, v) of the held-out parts, NaN where no fold was run."""
    name, keywords = READOUTS[readout]
    predictions = np.full(responses.shape, np.nan, dtype=np.float32)
    features, targets = (torch.from_numpy(part).to(options.device) for part in (maps, responses))
    for held in table_folds(len(maps))[:n_folds]:
        train = np.setdiff1d(np.arange(len(maps)), held)
        model = make_readout(name, **keywords).fit(features[train], targets[train])
        predictions[held] = model.predict(features[held]).cpu().numpy()
    return predictions


def summary(responses, predictions, ceiling, seconds):
    """What is kept of one session and readout."""
    tested = np.isfinite(predictions).all(1)
    r = pearson_r(responses[tested], predictions[tested])
    kept = {
        "median_r": float(np.median(r)),
        "mean_r": float(np.mean(r)),
        "cpu_seconds": round(seconds, 1),
        "device": torch.cuda.get_device_name() if options.device == "cuda" else options.device,
    }
    if ceiling is not None:
        share = np.minimum(np.maximum(r, 0) ** 2 / np.maximum(ceiling, 1e-14), 1)
        kept["median_r2_over_ceiling"] = float(np.median(share))
    return kept | {"r": [round(float(value), 4) for value in r]}


results = {}
if options.results.exists() and not options.small:
    results = json.loads(options.results.read_text())["sessions"]
for session in options.sessions:
    if set(options.readouts) <= set(results.get(session, {"readouts": {}})["readouts"]):
        continue
    maps, responses, ceiling = read_session(session)
    entry = results.setdefault(
        session, {"n_images": len(maps), "n_neurons": responses.shape[1], "readouts": {}}
    )
    if ceiling is not None:
        entry["median_ceiling_r2"] = float(np.median(ceiling))
    for readout in options.readouts:
        if readout in entry["readouts"]:
            continue
        started = time.process_time()
        predictions = compare(maps, responses, readout, 1 if options.small else N_FOLDS)
        entry["readouts"][readout] = summary(responses, predictions, ceiling, time.process_time() - started)
        print(f"{session}  {readout:<24} median r {entry['readouts'][readout]['median_r']:.3f}", flush=True)
        if not options.small:
            document = {
                "features": FEATURES,
                "folds": f"numpy RandomState({SEED}).permutation(n)[fold::{N_FOLDS}]",
                "readouts": {key: {"name": name, **extra} for key, (name, extra) in READOUTS.items()},
                "versions": {
                    "python": platform.python_version(),
                    "numpy": np.__version__,
                    "torch": torch.__version__,
                },
                "sessions": results,
            }
            # Infinity is no JSON: the tied weights are written as a word.
            text = json.dumps(document, indent=1).replace("Infinity", '"inf"')
            options.results.write_text(text + "\n")

# %% [markdown]
# ## Side by side
#
# The gain of a readout is its median r minus that of the strongest ridge, averaged over sessions.


# %%
def score(session, name, key="median_r"):
    """A number of a session and readout; NaN where it was not run."""
    return results[session]["readouts"].get(name, {}).get(key, np.nan)


names = [name for name in READOUTS if any(name in results[s]["readouts"] for s in options.sessions)]
table = np.array([[score(session, name) for name in names] for session in options.sessions])
complete = [name for name, column in zip(names, table.T, strict=True) if np.isfinite(column).all()]
print(f"\n{'median r':<10}" + "".join(f"{name:>24}" for name in names))
for session, row in zip(options.sessions, table, strict=True):
    print(f"{session:<10}" + "".join(f"{value:24.3f}" for value in row))
print(f"{'mean':<10}" + "".join(f"{value:24.3f}" for value in table.mean(0)))
for session in options.sessions:
    if "median_ceiling_r2" in results[session]:
        shares = {name: score(session, name, "median_r2_over_ceiling") for name in names}
        print(f"{session} r2/ceiling  " + "  ".join(f"{name}: {share:.3f}" for name, share in shares.items()))

neurons = {
    name: np.concatenate([results[s]["readouts"][name]["r"] for s in options.sessions]) for name in complete
}
# The strongest ridge is the one to beat.
ridges = [name for name in names if name.startswith("ridge") and name in complete]
baseline = max(ridges, key=lambda name: table[:, names.index(name)].mean())
gain = (table - table[:, [names.index(baseline)]]).mean(0)
gains = {name: float(value) for name, value in zip(names, gain, strict=True) if name in complete}
best = max(gains, key=gains.get)
better = float(np.mean(neurons[best] > neurons[baseline]))
print(
    f"\n{best} beats tuned {baseline} by {gains[best]:+.3f} in median r, averaged over {len(table)} sessions"
)
print(f"and predicts {better:.0%} of {len(neurons[best])} neurons better")

# %% [markdown]
# ## Why
#
# * Plain ridge treats a channel's 49 positions as unrelated features. V4 receptive fields are local, and
#   neighbouring positions carry alike features. Both are priors that a static spatial readout can use: a
#   Gaussian field for every neuron, and weights that change smoothly inside it.
# * Tying the weights inside the field completely (the classical separable readout) helps less: in a 7 x 7 map
#   a field spans a few positions whose best features differ. Averaging over the whole map discards place, and
#   falls below ridge.
# * Averaging candidate fields by their evidence beats picking the best one: with some 500 to 1000 noisy
#   training pictures the place of a field is uncertain.
# * The gain is least in 190925, where plain ridge already comes closest to its ceiling.
# * Attention can move its field with the picture and shares one decoder among all neurons of an array. It
#   leads in the sessions of 900 pictures and more, is level with the Gaussian readout at 800 and behind it at
#   640; it costs far more to train.

# %%
figure = new_figure(9.6, 3.6)
left, right = figure.subplots(1, 2, width_ratios=(1.7, 1))
for index, name in enumerate(names):
    # There are more readouts than colours: the linear baselines are squares.
    baseline_kind = "ridge" in name
    colour = INK if name == "ridge" else PALETTE[index % len(PALETTE)]
    x = np.arange(len(table)) + (index - len(names) / 2) * 0.06
    left.plot(
        x,
        table[:, index],
        "s" if baseline_kind else "o",
        color=colour,
        markersize=5,
        label=name if name not in complete else f"{name} ({table[:, index].mean():.3f})",
    )
left.set_xticks(range(len(table)), options.sessions)
left.legend(fontsize=7, frameon=False, ncols=2, loc="lower right")
left.set_ylim(bottom=max(0.0, table.min() - 0.16))
grid(dress(left))
describe(left, title="Median r by session (mean over sessions)", x="session", y="median r over neurons")
low = min(neurons[baseline].min(), neurons[best].min()) - 0.02
right.plot([low, 1], [low, 1], color=MUTED, linewidth=0.8)
right.plot(neurons[baseline], neurons[best], "o", color=BLUE, markersize=3, alpha=0.6)
right.plot(*(np.median(neurons[name]) for name in (baseline, best)), "P", color=ORANGE, markersize=10)
right.set_aspect("equal")
describe(
    dress(right),
    title=f"{len(neurons[best])} neurons: {better:.0%} above the line",
    x=f"r, {baseline}",
    y=f"r, {best}",
)
if options.figure is not None:
    options.figure.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.figure, dpi=110)
    print(f"figure: {options.figure.name}")
