"""Neuroformer on recordings of animals: bits a spike, side and position decoding, several seeds and folds.

    python benchmarks/neuroformer_recordings.py --data FOLDER --device cuda --jobs 4 --out results.json

`steinmetz`: five folds over trials; a window is a whole trial, so each spike is predicted from all earlier
ones of its trial. Bits a spike over each unit's mean rate in training trials, once from the exact event
likelihood and once as the Poisson likelihood of the rates one bin ahead. `side`: the side of the higher
contrast, from features of a model that has seen spikes of other trials alone, and from counts, on the folds
of the data's description. `hippocampus`: position in windows of 250 ms while running, from labels of 1 to
100 % of the running windows of the training blocks: fine-tuned, pretrained on their spikes or from scratch;
or with the pretrained model left as it is and its features mapped by time contrast. Blocked folds with a
gap, and random folds beside them.
"""

import argparse
import json
import platform
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

FRACTIONS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
FOLDS = 5


def setup(device: str) -> Any:
    import torch
    from lightning_fabric import Fabric

    torch.set_num_threads(1)
    return Fabric(accelerator=device, devices=1, precision="32-true")


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
    split = 2 * hyper["width"]
    seen = {"features": everything[:, :split], "counts": everything[:, split:], "both": everything}
    chance = {
        name: FrozenDecoder("category").fit(x[train], right[train]).predict(x[test])[:, 1]
        for name, x in seen.items()
    }
    return {
        "best_epoch": done.best_epoch,
        "trial": test.tolist(),
        "right": right[test].astype(int).tolist(),
        "chance_right": {name: p.round(5).tolist() for name, p in chance.items()},
        "accuracy": {name: float(((p > 0.5) == right[test]).mean()) for name, p in chance.items()},
    }


# --- Hippocampus on a linear track ---


def track_recording(folder: Path) -> tuple[Any, Any]:
    """Recording whose ``place`` is the smoothed position 125 ms ago, and a function for its speed."""
    from scipy.ndimage import gaussian_filter1d

    from neuroai.datasets import Recording, load

    recording = load(folder / "hippocampus_linear_track")
    position = recording.behaviour["position"]
    time, xy = position["time"].values, position.values
    seen = np.isfinite(xy).all(axis=1)
    xy = np.stack([np.interp(time, time[seen], xy[seen, i]) for i in range(2)], axis=1)
    xy = gaussian_filter1d(xy, 15, axis=0)

    def speed(moments: np.ndarray) -> np.ndarray:
        ends = [np.stack([np.interp(moments + d, time, xy[:, i]) for i in range(2)]) for d in (-0.125, 0.125)]
        return np.linalg.norm(ends[1] - ends[0], axis=0) / 0.25

    trains = [recording.spikes.unit(i) for i in range(recording.spikes.n_units)]
    made = Recording.from_spikes(trains, name="track", unit="s", behaviour={"place": (time + 0.125, xy)})
    return made, speed


def track_split(windows: Any, running: np.ndarray, how: str, fold: int) -> tuple[np.ndarray, np.ndarray]:
    """Blocked folds are contiguous over the running windows, as in the published baseline; others random."""
    from neuroai.neuroformer import split_windows

    if how == "random":
        return split_windows(windows, "random", k=FOLDS, fold=fold)
    blocks = np.array_split(np.flatnonzero(running), FOLDS)
    first, last = blocks[fold][0], blocks[fold][-1]
    everything, gap = np.arange(len(windows)), 10
    test = everything[(everything >= first) & (everything <= last)]
    return everything[(everything < first - gap) | (everything > last + gap)], test


def hippocampus(
    folder: Path, device: str, session: str, fold: int, seed: int, variant: str, hyper: dict
) -> dict:
    """Errors in pixels by share of the labelled windows."""
    from neuroai.neuroformer import Modality, Neuroformer, NeuroformerConfig, fit, windows_of
    from neuroai.neuroformer.frozen import window_features
    from neuroai.neuroformer.training import Recipe

    how, start = variant.split()
    fabric = setup(device)
    recording, speed = track_recording(folder)
    config = NeuroformerConfig(
        sessions={"ca1": recording.spikes.n_units},
        bin_width=0.025,
        window=0.25,
        past=hyper["past"],
        width=hyper["width"],
        heads=hyper["heads"],
        encoder_layers=1,
        past_layers=hyper["layers"],
        output_layers=1,
        dropout=hyper["dropout"],
    )
    model = Neuroformer(config, seed=seed)
    windows = model.windows(recording)
    target = Modality("place", role="target", size=2)
    place = windows_of(recording, replace(config, modalities=(target,))).behaviour("place")
    running = speed(windows.start + 0.125) > 20
    train, test = track_split(windows, running, how, fold)
    shuffled = np.random.default_rng(seed).permutation(train)
    recipe = Recipe(hyper["epochs"], 128, hyper["rate"], hyper["decay"], patience=4, seed=seed)
    if start == "pretrained":
        check = shuffled[: len(shuffled) // 10]
        rest = np.setdiff1d(train, check)
        fit(model, windows.select(rest), validation=windows.select(check), recipe=recipe, fabric=fabric)
    usable = shuffled[running[shuffled]]
    chosen = {f"{f:g}": usable[: max(2, round(f * len(usable)))] for f in FRACTIONS}
    judged = test[running[test]]
    out: dict[str, Any] = {}
    if start == "pretrained":
        model.to(fabric.device)
        features = window_features(model, windows)
        moments = windows.first // config.window_bins
        for name, columns in (("frozen", features), ("counts", features[:, 2 * hyper["width"] :])):
            out[name] = frozen(columns, moments, place, np.sort(usable), chosen, judged, seed)
    if hyper["finetune"]:
        out["fractions"] = tuned(model, recording, recipe, place, chosen, judged, hyper, seed, fabric)
    return out


def frozen(
    features: np.ndarray,
    moments: np.ndarray,
    place: np.ndarray,
    usable: np.ndarray,
    chosen: dict[str, np.ndarray],
    judged: np.ndarray,
    seed: int,
) -> dict[str, Any]:
    """Errors of a readout of features that are left as they are.

    The spikes of all running windows of the training blocks shape the map; labels are those of the chosen
    windows alone. Unlabelled windows just before and after a labelled one, 25 px away, take its label too.
    """
    from neuroai.neuroformer.frozen import FrozenDecoder
    from neuroai.neuroformer.time_contrast import TimeContrast

    points = TimeContrast(seed=seed).fit(features[usable], moments[usable]).transform(features)
    out = {}
    for share, windows in chosen.items():
        near = (windows[:, None] + np.arange(-1, 2)).ravel()
        source = np.repeat(windows, 3)
        kept = np.isin(near, usable) & ((near == source) | ~np.isin(near, windows))
        decoder = FrozenDecoder("series").fit(points[near[kept]], place[source[kept]])
        error = np.linalg.norm(decoder.predict(points[judged]) - place[judged], axis=1)
        out[share] = {"n": len(windows), "errors": error.round(2).tolist()}
    return out


def tuned(
    model: Any,
    recording: Any,
    recipe: Any,
    place: np.ndarray,
    chosen: dict[str, np.ndarray],
    judged: np.ndarray,
    hyper: dict[str, Any],
    seed: int,
    fabric: Any,
) -> dict[str, Any]:
    """Errors after all weights were fine-tuned on the chosen windows, with a fresh head."""
    import torch

    from neuroai.neuroformer import Modality, Neuroformer, finetune

    before = {name: value.clone() for name, value in model.state_dict().items()}
    out = {}
    for share, windows in chosen.items():
        tuned = Neuroformer(model.config, seed=seed)
        tuned.load_state_dict(before)
        tuned.add_target(Modality("place", role="target", size=2), seed=seed)
        cut = tuned.windows(recording)
        batch = min(64, len(windows))
        epochs = max(10, min(400, hyper["steps"] // -(-len(windows) // batch)))
        how_long = replace(
            recipe, epochs=epochs, batch_size=batch, patience=None, learning_rate=hyper["tune"]
        )
        finetune(tuned, cut.select(windows), recipe=how_long, spikes=0.05, fabric=fabric)
        tuned.to(fabric.device).eval()
        with torch.no_grad():
            found = tuned.decode(cut[judged].to(fabric.device))["place"].cpu().numpy()
        error = np.linalg.norm(found - place[judged], axis=1)
        out[share] = {"n": len(windows), "errors": error.round(2).tolist()}
    return out


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
TRACK = {
    "width": 64,
    "heads": 4,
    "layers": 2,
    "dropout": 0.2,
    "epochs": 15,
    "rate": 2e-3,
    "decay": 0.3,
    "past": 1.5,
    "tune": 1e-3,
    "steps": 300,
    "finetune": True,
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
                for kind in ("frozen", "counts", "fractions")
                if kind in chosen[0]
            )
        lines.append(
            f"{' / '.join(key)} ({len(chosen)} runs, {sum(r['seconds'] for r in chosen):.0f} s): {text}"
        )
    return lines


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
        "runs": rows,
    }
    options.out.write_text(json.dumps(content), encoding="utf-8")
    print("\n".join(summary(rows)))


if __name__ == "__main__":
    main()
