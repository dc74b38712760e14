"""Place cells of a rat on a track: the hippocampus part of `neuroformer_recordings.py`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from neuroformer_jobs import FOLDS, Job
from neuroformer_tracking import bayes, other_draws, tracked

FRACTIONS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
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
        return np.asarray(np.linalg.norm(ends[1] - ends[0], axis=0) / 0.25)

    assert recording.spikes is not None
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


def hippocampus(job: Job) -> dict[str, Any]:
    """Errors in pixels by share of the labelled windows."""
    from neuroai.neuroformer import Modality, Neuroformer, NeuroformerConfig, fit, windows_of
    from neuroai.neuroformer.frozen import window_features
    from neuroai.neuroformer.time_contrast import TimeContrast, windows_to_label
    from neuroai.neuroformer.training import Recipe

    how, start = job.variant.split()
    hyper, fold, seed, fabric = job.hyper, job.fold, job.seed, job.fabric()
    recording, speed = track_recording(job.folder)
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
    moving = np.flatnonzero(running)

    def pretrained_features() -> dict[str, Any]:
        check = shuffled[: len(shuffled) // 10]
        rest = np.setdiff1d(train, check)
        fit(model, windows.select(rest), validation=windows.select(check), recipe=recipe, fabric=fabric)
        model.to(fabric.device)
        return {"x": window_features(model, windows.select(moving))}

    usable = shuffled[running[shuffled]]
    chosen = {f"{f:g}": usable[: max(2, round(f * len(usable)))] for f in FRACTIONS}
    judged = test[running[test]]
    out: dict[str, Any] = {}
    if start == "pretrained":
        # Fine-tuning goes on from the model itself, which no file holds.
        tuning, name = hyper["finetune"], f"track_{how}"
        found = pretrained_features() if tuning else job.kept_or_made(name, pretrained_features)
        x = found["x"].astype(float)
        features = np.zeros((len(windows), x.shape[1]))
        features[moving] = x
        moments = windows.first // config.window_bins
        usable, spikes = np.sort(usable), windows.counts().sum(axis=1)
        out |= bayes(spikes, place, chosen, judged)
        for name, columns in (("frozen", features), ("counts", features[:, 2 * hyper["width"] :])):
            points = TimeContrast(seed=seed).fit(columns[usable], moments[usable]).transform(columns)
            out[name] = frozen(points, moments, place, usable, chosen, judged)
            tracker = "tracked" if name == "frozen" else "tracked_counts"
            given = (points, spikes, moments, place, usable)
            out |= tracked(tracker, *given, chosen, judged)
            few = len(chosen["0.01"])
            out[f"{tracker}_draws"] = other_draws(*given, few, judged, [seed, fold])
            if name == "frozen":
                asked = {
                    f: usable[windows_to_label(points[usable], len(w), seed=seed)] for f, w in chosen.items()
                }
                out["asked"] = frozen(points, moments, place, usable, asked, judged)
                out |= tracked("tracked_asked", *given, asked, judged)
    if hyper["finetune"]:
        out["tuned"] = tuned(model, recording, recipe, place, chosen, judged, hyper, seed, fabric)
    return out


def frozen(
    points: np.ndarray,
    moments: np.ndarray,
    place: np.ndarray,
    usable: np.ndarray,
    chosen: dict[str, np.ndarray],
    judged: np.ndarray,
) -> dict[str, Any]:
    """Errors of a readout of mapped features that are left as they are.

    The spikes of all running windows of the training blocks shaped the map; labels are those of the chosen
    windows alone, spread to the other windows of the training blocks by the map and by time.
    """
    from neuroai.neuroformer.readout import MapDecoder, MappedWindows

    def mapped(index: np.ndarray) -> MappedWindows:
        return MappedWindows(points[index], np.empty((len(index), 0)), moments[index])

    out = {}
    for share, windows in chosen.items():
        labelled = np.sort(windows)
        decoder = MapDecoder().fit(mapped(usable), np.searchsorted(usable, labelled), place[labelled])
        error = np.linalg.norm(decoder.predict(mapped(judged)) - place[judged], axis=1)
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
