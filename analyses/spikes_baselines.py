# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # Baselines of spike prediction and decoding on real recordings
#
# Three sessions of mouse visual cortex during a contrast discrimination (Steinmetz et al. 2019; 10 ms bins,
# 0 to 0.39 s after the gratings), and place cells of a rat running on a track (nelpy example data; 250 ms
# bins with a speed above 20 px/s). Everything goes through the protocol of `neuroai.runs.spike_tasks`: the
# same inputs, splits and scores for every model.
#
# * Bits per spike: Poisson log-likelihood gain over each unit's mean rate in training, one bin ahead, five
#   folds of trials at random (seed 0). Dots are folds. Models that see past spikes see recorded ones of the
#   same trial.
# * Position: median distance of decoded from true position, five contiguous folds of running bins with 8 bins
#   left out on both sides of each test block.
# * Few-shot: the same decoders trained on a share of the training bins, evenly spread, three draws of it.
#
# What comes out: the trial average and its gains (the simple models described with the data) are weak. A
# GLM on time and contrasts gains more, one on a unit's own last 100 ms several times more, and networks
# on everybody's last 100 ms seven to fifteen times the best simple model (GRU: 0.306 bits per spike in
# session 1, 0.179 in session 2, 0.317 in session 4). Models of spikes must therefore be compared with
# models that see the same past. Naive Bayes with the occupancy as prior decodes position to 34 px from one
# bin, under the 41 px described with the data; a GRU over two seconds of past reaches 31 px, and 22 px with
# random folds: the leak is a quarter of the error. With 1 % of the training bins no decoder here is under
# 100 px.
#
# Measured results are kept in the results file and are not measured again; delete it to start over.
# Sessions 1 and 4 and the position take about 20 minutes of one core, session 2 (533 units) as long
# again; session 2 goes without the coupled GLM.

# %% Settings
import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from neuroai.neuroformer.baselines import LinearDecoder, NetworkDecoder
from neuroai.neuroformer.count_windows import CountWindows
from neuroai.neuroformer.place import NaiveBayesPosition
from neuroai.plotting.style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    describe,
    dress,
    grid,
    legend,
    name_ticks,
    new_figure,
)
from neuroai.runs import spike_models as models
from neuroai.runs.spike_tasks import SESSIONS, contrast_task, position_task

HERE = Path(__file__).resolve().parent.parent if "__file__" in globals() else Path.cwd().parent
SMALL = bool(os.environ.get("NEUROAI_SMALL"))
FIGURES = Path(os.environ.get("NEUROAI_FIGURES", HERE / "analyses" / "figures"))
parser = argparse.ArgumentParser(description="Baselines of spike prediction and decoding.")
place = (
    FIGURES / "spikes_baselines.json" if SMALL else HERE / "benchmarks" / "results" / "spikes_baselines.json"
)
parser.add_argument("--results", type=Path, default=place)
parser.add_argument("--kept", action="store_true", help="Draw what was measured; measure nothing.")
options = parser.parse_args([] if "ipykernel" in sys.modules else None)

results = json.loads(options.results.read_text()) if options.results.exists() else {}


def measure(part, name, score, *arguments):
    """Measure once, and keep."""
    found = results.setdefault(part, {})
    if options.kept and name not in found:
        return
    if name not in found:
        start = time.process_time()
        joined, folds = score(*arguments)
        found[name] = {
            "score": round(joined, 4),
            "folds": [round(fold, 4) for fold in folds],
            "cpu_seconds": round(time.process_time() - start, 1),
        }
        options.results.parent.mkdir(parents=True, exist_ok=True)
        options.results.write_text(json.dumps(results, indent=1) + "\n")
    print(f"{part:28} {name:28} {found[name]['score']:.4f}", flush=True)


# %% [markdown]
# ## Position

# %%
NETWORKS = {"mlp": {"n_members": 2}, "gru": {"n_members": 2, "width": 64, "depth": 1}}
for splits in ("blocked", "random"):
    track = position_task(splits=splits, gap=8)
    part, score = f"position, {splits}", track.median_error
    measure(part, "naive Bayes, flat prior", score, models.naive_bayes_position(track, prior=False))
    measure(part, "naive Bayes", score, models.naive_bayes_position(track))
    measure(part, "ridge, past 2 s", score, models.position_decoder(track, "ridge", first=-8))
    if SMALL:
        continue
    measure(part, "lasso, past 2 s", score, models.position_decoder(track, "lasso", first=-8))
    for kind, size in NETWORKS.items():
        for label, last in (("past 2 s", 0), ("2 s around", 8)):
            decoder = models.position_decoder(track, kind, first=-8, last=last, **size)
            measure(part, f"{kind.upper()}, {label}", score, decoder)

# %% [markdown]
# ## Few training bins

# %%
SHARES = (0.01, 0.03, 0.1, 0.3, 1.0)
track = position_task(gap=8)
windows = CountWindows(track.counts, track.running, -8, 0)


def few(kind, share):
    """Median error of a decoder trained on a share of the bins; means over three draws."""

    def fitted(train, test, draw):
        number = max(8, round(share * len(train)))
        first = draw * len(train) // (3 * number)
        chosen = train[np.unique(np.linspace(first, len(train) - 1, number).astype(int))]
        if kind == "naive Bayes":
            model = NaiveBayesPosition().fit(track.counts[chosen], track.position[chosen])
            return model.predict(track.counts[test])
        decoder = (
            LinearDecoder() if kind == "ridge" else NetworkDecoder("gru", width=64, depth=1, batch_size=16)
        )
        decoder.fit(windows.at(chosen), track.position[chosen])
        return decoder.predict(windows.at(test))

    draws = [track.median_error(lambda a, b, d=d: fitted(a, b, d))[0] for d in range(3 if share < 1 else 1)]
    return float(np.mean(draws)), draws


for kind in ("naive Bayes", "ridge") if SMALL else ("naive Bayes", "ridge", "GRU"):
    for share in SHARES:
        measure(f"few-shot, {kind}", f"{share:g}", few, kind, share)

# %% [markdown]
# ## Spikes and side

# %%
SIMPLE = {"PSTH": "psth", "PSTH x contrast gain": "contrast", "PSTH x population gain": "population"}
HISTORY = {"GLM, stimulus": "stimulus", "GLM, own history": "own", "GLM, population history": "population"}
for session in SESSIONS[:1] if SMALL else ("4", "1", "2"):
    task, blocked = contrast_task(session), contrast_task(session, splits="blocked")
    part, score = f"session {session}", task.bits_per_spike
    measure(f"{part}, side", "logistic, random folds", task.side_accuracy, models.side_decoder(task))
    measure(f"{part}, side", "logistic, blocked", blocked.side_accuracy, models.side_decoder(blocked))
    for name, kind in SIMPLE.items():
        measure(part, name, score, models.simple_rates(task, kind))
    if SMALL:
        continue
    for name, kind in HISTORY.items():
        measure(part, name, score, models.glm_rates(task, kind))
    measure(part, "MLP", score, models.network_rates(task, "mlp"))
    if session != "2":  # 533 units: an hour on one core
        measure(part, "GLM, coupled", score, models.glm_rates(task, "coupled"))
    measure(part, "GRU", score, models.network_rates(task, "gru"))

# %% [markdown]
# ## Figure

# %%
COLOURS = {"PSTH": MUTED, "GLM,": BLUE, "MLP": ORANGE, "GRU": GREEN}
shown = [
    name for name in models.RATE_MODELS if any(name in results.get(f"session {s}", {}) for s in SESSIONS)
]
figure = new_figure(11.5, 6.4)
grid_of = figure.add_gridspec(2, 6)
for column, session in enumerate(SESSIONS):
    axes = dress(figure.add_subplot(grid_of[0, 2 * column : 2 * column + 2]))
    found = results.get(f"session {session}", {})
    for row, name in enumerate(shown):
        if name in found:
            axes.bar(row, found[name]["score"], color=COLOURS[name.split(" ")[0]], width=0.7)
            axes.scatter([row] * len(found[name]["folds"]), found[name]["folds"], s=8, color=INK, zorder=3)
        elif found:
            axes.text(row, 0.002, "not fitted", rotation=90, ha="center", va="bottom", fontsize=8)
    axes.axhline(0, color=MUTED, linewidth=0.8)
    name_ticks(axes, shown, rotate=True)
    grid(axes)
    side = results.get(f"session {session}, side", {}).get("logistic, random folds", {}).get("score")
    title = f"Session {session}" + ("" if side is None else f" (side decoded: {side:.3f})")
    describe(axes, title=title, y="bits/spike" if column == 0 else "")

axes = dress(figure.add_subplot(grid_of[1, :3]))
found = results["position, blocked"]
for row, (name, entry) in enumerate(found.items()):
    axes.bar(row, entry["score"], color=BLUE, width=0.7)
    axes.scatter([row] * len(entry["folds"]), entry["folds"], s=8, color=INK, zorder=3)
    leak = results["position, random"].get(name)
    if leak:
        axes.scatter([row], [leak["score"]], marker="_", s=220, color=ORANGE, zorder=4)
axes.axhline(41, color=MUTED, linestyle="--", linewidth=1)
name_ticks(axes, list(found), rotate=True)
grid(axes)
describe(axes, title="Position, blocked folds (orange: random folds, which leak)", y="median error (px)")

axes = dress(figure.add_subplot(grid_of[1, 3:]))
for kind, colour in (("naive Bayes", MUTED), ("ridge", BLUE), ("GRU", GREEN)):
    found = results.get(f"few-shot, {kind}", {})
    if found:
        axes.plot(
            [100 * float(s) for s in found],
            [e["score"] for e in found.values()],
            "o-",
            color=colour,
            label=kind,
        )
axes.axhline(41, color=MUTED, linestyle="--", linewidth=1, label="naive Bayes, as published")
axes.set_xscale("log")
axes.set_xticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
axes.minorticks_off()
grid(axes)
legend(axes)
describe(axes, title="Position from few training bins", x="share of training bins (%)", y="median error (px)")
FIGURES.mkdir(parents=True, exist_ok=True)
figure.savefig(FIGURES / "spikes_baselines.png", dpi=110)

best = min(results["position, blocked"].items(), key=lambda item: item[1]["score"])
print(f"\nbest position decoder: {best[0]}, median error {best[1]['score']:.1f} px")
for session in SESSIONS:
    if found := results.get(f"session {session}"):
        name, entry = max(found.items(), key=lambda item: item[1]["score"])
        print(f"session {session}: best of the rates {name}, {entry['score']:.3f} bits/spike")
