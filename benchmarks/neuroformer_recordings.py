"""Neuroformer on recordings of animals: bits a spike, side and position decoding, several seeds and folds.

    python benchmarks/neuroformer_recordings.py --data FOLDER --device cuda --jobs 4 --out results.json

`steinmetz`: five folds over trials; a window is a whole trial, so each spike is predicted from all earlier
ones of its trial. Bits a spike over each unit's mean rate in training trials, once from the exact event
likelihood and once as the Poisson likelihood of the rates one bin ahead. `side`: the side of the higher
contrast, from features of a model that has seen spikes of other trials alone, and from counts of thirds of
the trial or of all of it, on the folds of the data's description; "chosen" is the best set of features in
folds of the training trials, "averaged" the mean probability of all sets.
`hippocampus`: position in windows of 250 ms while running, from labels of 1 to 100 % of the running windows
of the training blocks: fine-tuned, pretrained on their spikes or from scratch; or with the pretrained model
left as it is and its features mapped by time contrast. Blocked folds with a gap, and random folds beside.
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
from neuroformer_track import FOLDS, TRACK, hippocampus, setup

#: Readouts of position: features left as they are, the same with labels asked for where the map says,
#: counts alone, all weights fine-tuned.
KINDS = ("frozen", "asked", "counts", "tuned")


# --- Visual cortex during a contrast discrimination ---


def visual_recording(folder: Path, session: str) -> Any:
    """Counts of 10 ms with the side of the higher contrast as a label, -1 where they are equal."""
    from neuroai.datasets import load
    from neuroai_datasets.readers.grouped import with_sample_coords

    recording = load(folder / "steinmetz_visual", session=session)
    left, right = (recording.responses[f"contrast_{side}"].values for side in ("left", "right"))
    side = np.where(left == right, -1, (right > left).astype(int))
    elapsed = recording.responses["time"].values / 0.39
    return with_sample_coords(recording, {"side": side, "elapsed": elapsed})


#: What a variant sees beside the spikes of the trial so far.
VARIANTS = {
    "spikes and contrast": {},
    "spikes": {"contrast": False},
    "contrast and 30 ms of spikes": {"window": 0.03, "past": 0.0},
    "contrast and 150 ms of spikes": {"window": 0.03, "past": 0.12},
    "contrast and time": {"window": 0.01, "past": 0.0},
}


def visual_config(n_units: int, hyper: dict[str, Any], variant: str) -> Any:
    from neuroai.neuroformer import Modality, NeuroformerConfig

    options = VARIANTS[variant]
    names = ["contrast_left", "contrast_right"] if options.get("contrast", True) else []
    names += ["elapsed"] if "window" in options else []
    past = options.get("past", 0.0)
    return NeuroformerConfig(
        sessions={"v1": n_units},
        window=options.get("window", 0.39),
        past=past,
        modalities=tuple(Modality(name) for name in names),
        width=hyper["width"],
        heads=hyper["heads"],
        encoder_layers=hyper["layers"],
        past_layers=1 if past else 0,
        behaviour_layers=1,
        output_layers=hyper["layers"],
        dropout=hyper["dropout"],
        rate_weight=hyper["rate_weight"],
    )


def bits(model: Any, windows: Any, mean: np.ndarray) -> dict[str, float]:
    """Gain over the training means, in bits a spike."""
    from scipy.stats import poisson

    from neuroai.neuroformer import event_log_likelihood, rates

    counts = windows.counts()
    null = poisson.logpmf(counts, np.maximum(mean, 1e-4)).sum()
    scale = counts.sum() * np.log(2)
    ahead = poisson.logpmf(counts, rates(model, windows).clip(1e-9)).sum()
    return {
        "bits_event": float((event_log_likelihood(model, windows).sum() - null) / scale),
        "bits_rates": float((ahead - null) / scale),
        "n_spikes": int(counts.sum()),
    }


def parts_of(windows: Any, fold: int, seed: int) -> tuple[Any, Any, Any]:
    """Training, validation and test trials; validation is a sixth of what is not tested."""
    from neuroai.neuroformer import split_windows

    train, test = split_windows(windows, k=FOLDS, fold=fold, seed=0)
    rest = windows.select(train)
    fit_index, check_index = split_windows(rest, k=6, fold=seed % 6, seed=seed + 1)
    return rest.select(fit_index), rest.select(check_index), windows.select(test)


def steinmetz(
    folder: Path, device: str, session: str, fold: int, seed: int, variant: str, hyper: dict
) -> dict:
    from neuroai.neuroformer import Neuroformer, fit
    from neuroai.neuroformer.training import Recipe

    fabric = setup(device)
    recording = visual_recording(folder, session)
    model = Neuroformer(visual_config(recording.n_targets, hyper, variant), seed=seed)
    training, checking, testing = parts_of(model.windows(recording), fold, seed)
    recipe = Recipe(
        epochs=hyper["epochs"],
        batch_size=hyper["batch"] * (1 if "window" not in VARIANTS[variant] else 39),
        learning_rate=hyper["rate"],
        weight_decay=hyper["decay"],
        patience=hyper["patience"],
        seed=seed,
    )
    done = fit(model, training, validation=checking, recipe=recipe, fabric=fabric)
    model.to(fabric.device)
    scores = bits(model, testing, training.rates())
    checked = bits(model, checking, training.rates())
    scores |= {f"validation_{name}": checked[name] for name in ("bits_event", "bits_rates")}
    return scores | {"epochs": len(done.losses), "best_epoch": done.best_epoch}


def side(folder: Path, device: str, session: str, fold: int, seed: int, variant: str, hyper: dict) -> dict:
    """Pretrain on spikes alone, then decode the side; probabilities of the test trials come back."""
    from sklearn.model_selection import StratifiedKFold

    from neuroai.neuroformer import Neuroformer, fit
    from neuroai.neuroformer.frozen import FrozenDecoder, window_features
    from neuroai.neuroformer.training import Recipe

    fabric = setup(device)
    recording = visual_recording(folder, session)
    model = Neuroformer(visual_config(recording.n_targets, hyper, "spikes"), seed=seed)
    windows = model.windows(recording)
    right = recording.responses["side"].values[:: len(recording.responses) // len(windows)]
    judged = np.flatnonzero(right >= 0)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(judged, right[judged])
    train, test = (judged[part] for part in list(folds)[fold])
    rest = np.random.default_rng(seed).permutation(np.setdiff1d(np.arange(len(windows)), test))
    check, fitted = np.sort(rest[: len(rest) // 6]), np.sort(rest[len(rest) // 6 :])
    done = fit(
        model,
        windows.select(fitted),
        validation=windows.select(check),
        recipe=Recipe(
            hyper["epochs"],
            hyper["batch"],
            hyper["rate"],
            hyper["decay"],
            patience=hyper["patience"],
            seed=seed,
        ),
        fabric=fabric,
    )
    model.to(fabric.device)
    everything = window_features(model, windows, span=13)
    inside, thirds = np.split(everything, [2 * hyper["width"]], axis=1)
    total = np.sqrt((thirds.reshape(len(windows), 3, -1) ** 2).sum(axis=1))
    seen = {
        "features": inside,
        "counts": thirds,
        "total": total,
        "features and counts": everything,
        "features and total": np.concatenate([inside, total], axis=1),
    }
    readers = {name: FrozenDecoder("category").fit(x[train], right[train]) for name, x in seen.items()}
    chance = {name: reader.predict(seen[name][test])[:, 1] for name, reader in readers.items()}
    averaged = np.mean(list(chance.values()), axis=0)
    chance["chosen"] = chance[max(readers, key=lambda name: readers[name].score_)]
    chance["averaged"] = averaged
    return {
        "best_epoch": done.best_epoch,
        "trial": test.tolist(),
        "right": right[test].astype(int).tolist(),
        "chance_right": {name: p.round(5).tolist() for name, p in chance.items()},
        "accuracy": {name: float(((p > 0.5) == right[test]).mean()) for name, p in chance.items()},
    }


# --- All together ---

VISUAL = {
    "width": 64,
    "heads": 4,
    "layers": 2,
    "dropout": 0.4,
    "epochs": 80,
    "batch": 24,
    "rate": 3e-3,
    "decay": 0.3,
    "patience": 10,
    "spikes": 0.3,
    "rate_weight": 1.0,
}


def run(job: dict[str, Any]) -> dict[str, Any]:
    function = {"steinmetz": steinmetz, "side": side, "hippocampus": hippocampus}[job["task"]]
    began = time.perf_counter()
    try:
        result = function(
            Path(job["folder"]),
            job["device"],
            job["session"],
            job["fold"],
            job["seed"],
            job["variant"],
            job["hyper"],
        )
    except Exception as error:
        raise RuntimeError(f"{job}: {error!r}") from error
    return (
        {k: v for k, v in job.items() if k != "folder"}
        | result
        | {"seconds": round(time.perf_counter() - began, 2)}
    )


def jobs_of(options: argparse.Namespace) -> list[dict[str, Any]]:
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
        sessions = ["track"] if task == "hippocampus" else options.sessions.split(",")
        jobs += [
            {
                "task": task,
                "folder": str(options.data),
                "device": "cpu" if task == "hippocampus" else options.device,
                "session": session,
                "fold": fold,
                "seed": seed,
                "variant": variant,
                "hyper": hyper,
            }
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


def middle(rows: list[dict[str, Any]], kind: str, share: str) -> float:
    """Median error over all test windows of all runs."""
    return float(np.median(np.concatenate([r[kind][share]["errors"] for r in rows])))


def run_all(jobs: list[dict[str, Any]], workers: int, seconds: float) -> list[dict[str, Any]]:
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
        "median_px": joined(rows),
        "runs": [condensed(row) for row in rows],
    }
    options.out.write_text(json.dumps(content), encoding="utf-8")
    print("\n".join(summary(rows)))


if __name__ == "__main__":
    main()
