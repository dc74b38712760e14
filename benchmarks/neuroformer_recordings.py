"""Neuroformer on recordings of animals: bits a spike, side and position decoding, several seeds and folds.

    python benchmarks/neuroformer_recordings.py --data FOLDER --device cuda --jobs 4 --out results.json

`steinmetz`: five folds over trials; a window is a whole trial, so each spike is predicted from all earlier
ones of its trial. Bits a spike over each unit's mean rate in training trials, once from the exact event
likelihood and once as the Poisson likelihood of the rates one bin ahead. `side`: the side of the higher
contrast, from a model that has seen spikes of other trials alone (its features; its log expected counts), and
from counts of thirds of the trial or of all of it, on the folds of the data's description; "chosen" is the
best set of features in folds of the training trials, "averaged" the mean probability of all sets.
`hippocampus`: position in windows of 250 ms while running, from labels of 1 to 100 % of the running windows
of the training blocks: fine-tuned, pretrained on their spikes or from scratch; or with the pretrained model
left as it is, its features mapped by time contrast, and the labels spread over that map and over time; or
with place as the hidden state of a Markov chain that starts from that map (`PlaceTracker`).
Blocked folds with a gap, and random folds beside.
"""

import argparse
import json
import platform
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from neuroformer_jobs import FOLDS, Job
from neuroformer_side import side
from neuroformer_track import TRACK, hippocampus
from neuroformer_visual import VARIANTS, VISUAL, steinmetz

TASKS = {"steinmetz": steinmetz, "side": side, "hippocampus": hippocampus}
#: Readouts of position: features left as they are, the same with labels asked for where the map says,
#: counts alone, all weights fine-tuned; place as a hidden state, started from the map of pretrained features
#: or of counts, smoothed or causal; naive Bayes alone and with a random walk.
TRACKERS = ("tracked", "tracked_counts", "tracked_asked")
KINDS = (
    *("frozen", "asked", "counts", "tuned", "bayes", "bayes_walk"),
    *(f"{name}{how}" for name in TRACKERS for how in ("", "_causal", "_draws")),
)


def run(job: Job) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        result = TASKS[job.task](job)
    except Exception as error:
        raise RuntimeError(f"{job}: {error!r}") from error
    return job.row() | result | {"seconds": round(time.perf_counter() - began, 2)}


def jobs_of(options: argparse.Namespace) -> list[Job]:
    extra = json.loads(options.hyper)
    jobs = []
    for task in options.tasks.split(","):
        hyper = (TRACK if task == "hippocampus" else VISUAL) | extra
        variants = {
            "steinmetz": list(VARIANTS),
            "side": ["pretrained"],
            "hippocampus": ["blocked pretrained", "blocked scratch", "random pretrained"],
        }[task]
        if options.variants:
            variants = [v for v in variants if v in options.variants.split(",")]
        device = "cpu" if task == "hippocampus" else options.device
        sessions = ["track"] if task == "hippocampus" else options.sessions.split(",")
        jobs += [
            Job(task, options.data, device, session, fold, seed, variant, hyper, options.features)
            for seed in range(options.seeds)
            for variant in variants
            for session in sessions
            for fold in range(min(FOLDS, options.folds))
        ]
    return jobs


def summary(rows: list[dict[str, Any]]) -> list[str]:
    """One line a task, session and variant."""
    lines = []
    for key in dict.fromkeys((r["task"], r["session"], r["variant"]) for r in rows):
        chosen = [r for r in rows if (r["task"], r["session"], r["variant"]) == key]
        if key[0] == "steinmetz":
            text = "  ".join(
                f"{name} {np.mean([r[name] for r in chosen]):.4f}" for name in ("bits_event", "bits_rates")
            )
        elif key[0] == "side":
            text = "  ".join(
                f"{name} {np.mean([r['accuracy'][name] for r in chosen]):.3f}"
                for name in chosen[0]["accuracy"]
            )
        else:
            text = "  ".join(
                f"{kind} " + " ".join(f"{f}: {middle(chosen, kind, f):.1f}" for f in chosen[0][kind])
                for kind in KINDS
                if kind in chosen[0]
            )
        lines.append(
            f"{' / '.join(key)} ({len(chosen)} runs, {sum(r['seconds'] for r in chosen):.0f} s): {text}"
        )
    return lines


def condensed(row: dict[str, Any]) -> dict[str, Any]:
    """Medians in place of the errors of all windows."""
    kinds = [kind for kind in KINDS if kind in row]
    return row | {
        kind: {f: {"n": v["n"], "median_px": float(np.median(v["errors"]))} for f, v in row[kind].items()}
        for kind in kinds
    }


def joined(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Median error over the test windows of all folds, by variant, readout, share and seed."""
    found: dict[str, Any] = {}
    for row in rows:
        for kind in (kind for kind in KINDS if kind in row):
            for share, value in row[kind].items():
                place = found.setdefault(row["variant"], {}).setdefault(kind, {}).setdefault(share, {})
                place.setdefault(str(row["seed"]), []).extend(value["errors"])
    return {
        variant: {
            kind: {f: {s: float(np.median(e)) for s, e in seeds.items()} for f, seeds in shares.items()}
            for kind, shares in kinds.items()
        }
        for variant, kinds in found.items()
    }


def intervals(rows: list[dict[str, Any]], resamples: int = 1000) -> dict[str, Any]:
    """95 % of the mean over seeds of `joined`, seeds and folds drawn anew with replacement."""
    rng = np.random.default_rng(0)
    found: dict[str, Any] = {}
    cells: dict[tuple[str, str, str], dict[tuple[int, int], Any]] = {}
    for row in rows:
        for kind in (kind for kind in KINDS if kind in row):
            for share, value in row[kind].items():
                cell = cells.setdefault((row["variant"], kind, share), {})
                cell[row["seed"], row["fold"]] = value["errors"]
    for (variant, kind, share), cell in cells.items():
        seeds, folds = (np.unique(column) for column in zip(*cell, strict=True))
        means = []
        for _ in range(resamples):
            chosen = rng.choice(folds, len(folds))
            means.append(
                np.mean(
                    [
                        np.median(np.concatenate([cell[s, f] for f in chosen]))
                        for s in rng.choice(seeds, len(seeds))
                    ]
                )
            )
        low, high = np.quantile(means, [0.025, 0.975])
        place = found.setdefault(variant, {}).setdefault(kind, {})
        place[share] = [round(float(low), 1), round(float(high), 1)]
    return found


def middle(rows: list[dict[str, Any]], kind: str, share: str) -> float:
    """Median error over all test windows of all runs."""
    return float(np.median(np.concatenate([r[kind][share]["errors"] for r in rows])))


def overview(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Scores over the spikes or trials of a session, by task: of all runs, each seed, each fold."""
    found: dict[str, Any] = {}
    for row in rows:
        if row["task"] == "hippocampus":
            continue
        what, weight = (row["variant"], row.get("n_spikes")) if row["task"] == "steinmetz" else ("side", None)
        values = row.get("accuracy") or {name: row[name] for name in ("bits_rates", "bits_event")}
        for name, value in values.items():
            place = found.setdefault(f"session {row['session']}, {what}", {}).setdefault(name, [])
            place.append((row["seed"], row["fold"], value, weight or len(row["trial"])))
    spreads = {key: {n: spread(cells) for n, cells in names.items()} for key, names in sorted(found.items())}
    return spreads | {
        f"session {s}, side, mean probability of the seeds": several([r for r in rows if r["session"] == s])
        for s in sorted({row["session"] for row in rows if row["task"] == "side"})
    }


def several(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Accuracy over the trials of a session when the models of all seeds decide together."""
    right: dict[str, dict[tuple[int, int], list[float]]] = {}
    for row in (row for row in rows if row["task"] == "side"):
        for name, chance in row["chance_right"].items():
            for trial, truth, p in zip(row["trial"], row["right"], chance, strict=True):
                right.setdefault(name, {}).setdefault((trial, truth), []).append(p)
    return {
        name: round(float(np.mean([(np.mean(p) > 0.5) == truth for (_, truth), p in trials.items()])), 4)
        for name, trials in right.items()
    }


def spread(cells: list[tuple[int, int, float, int]]) -> dict[str, Any]:
    """Weighted means of (seed, fold, value, weight), and the standard error over folds."""
    seed, fold, value, weight = (np.array(column) for column in zip(*cells, strict=True))

    def means(of: np.ndarray) -> list[float]:
        kept = [of == i for i in np.unique(of)]
        return [round(float(np.average(value[k], weights=weight[k])), 4) for k in kept]

    folds = means(fold)
    error = float(np.std(folds, ddof=1) / np.sqrt(len(folds))) if len(folds) > 1 else float("nan")
    found = {"mean": means(np.zeros(len(cells)))[0], "seeds": means(seed), "folds": folds}
    return found | {"standard_error_over_folds": round(error, 4)}


def run_all(jobs: list[Job], workers: int, seconds: float) -> list[dict[str, Any]]:
    """Results in the order of the jobs; what is not done after ``seconds`` is left out, and said."""
    rows, pool = {}, ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    waiting = {pool.submit(run, job): number for number, job in enumerate(jobs)}
    try:
        for done in as_completed(waiting, timeout=seconds):
            rows[waiting[done]] = done.result()
    except TimeoutError:
        print(f"{len(jobs) - len(rows)} of {len(jobs)} runs were not finished after {seconds:.0f} s")
        for process in list(pool._processes.values()):
            process.terminate()
    pool.shutdown(wait=False, cancel_futures=True)
    return [rows[number] for number in sorted(rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--tasks", default="steinmetz,side,hippocampus")
    parser.add_argument("--variants", default="")
    parser.add_argument("--sessions", default="1,2,4")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=FOLDS)
    parser.add_argument("--hyper", default="{}", help="JSON of settings that replace the defaults")
    parser.add_argument("--features", type=Path, help="keep features of models here for later runs")
    parser.add_argument("--seconds", type=float, default=1e6, help="write what is done after this time")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    import torch

    jobs, began = jobs_of(options), time.perf_counter()
    rows = run_all(jobs, options.jobs, options.seconds)
    device = torch.cuda.get_device_name() if options.device == "cuda" else platform.processor()
    content = {
        "script": "benchmarks/neuroformer_recordings.py",
        "device": device,
        "torch": torch.__version__,
        "seconds": round(time.perf_counter() - began, 1),
        "summary": overview(rows),
        "median_px": joined(rows),
        "interval_px": intervals([row for row in rows if row["task"] == "hippocampus"]),
        "runs": [condensed(row) for row in rows],
    }
    options.out.write_text(json.dumps(content), encoding="utf-8")
    print("\n".join(summary(rows)))


if __name__ == "__main__":
    main()
