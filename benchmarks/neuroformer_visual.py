"""Mouse visual cortex during a contrast discrimination: the visual part of `neuroformer_recordings.py`."""

from pathlib import Path
from typing import Any

import numpy as np
from neuroformer_jobs import FOLDS, Job

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


def visual_recording(folder: Path, session: str) -> Any:
    """Counts of 10 ms with the side of the higher contrast as a label, -1 where they are equal."""
    from neuroai.datasets import load
    from neuroai_datasets.readers.grouped import with_sample_coords

    recording = load(folder / "steinmetz_visual", session=session)
    assert recording.responses is not None
    left, right = (recording.responses[f"contrast_{side}"].values for side in ("left", "right"))
    side = np.where(left == right, -1, (right > left).astype(int))
    elapsed = recording.responses["time"].values / 0.39
    return with_sample_coords(recording, {"side": side, "elapsed": elapsed})


#: What a variant sees beside the spikes of the trial so far.
VARIANTS: dict[str, dict[str, Any]] = {
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


def steinmetz(job: Job) -> dict[str, Any]:
    from neuroai.neuroformer import Neuroformer, fit
    from neuroai.neuroformer.training import Recipe

    hyper, variant, fabric = job.hyper, job.variant, job.fabric()
    recording = visual_recording(job.folder, job.session)
    model = Neuroformer(visual_config(recording.n_targets, hyper, variant), seed=job.seed)
    training, checking, testing = parts_of(model.windows(recording), job.fold, job.seed)
    recipe = Recipe(
        epochs=hyper["epochs"],
        batch_size=hyper["batch"] * (1 if "window" not in VARIANTS[variant] else 39),
        learning_rate=hyper["rate"],
        weight_decay=hyper["decay"],
        patience=hyper["patience"],
        seed=job.seed,
    )
    done = fit(model, training, validation=checking, recipe=recipe, fabric=fabric)
    model.to(fabric.device)
    scores = bits(model, testing, training.rates())
    checked = bits(model, checking, training.rates())
    scores |= {f"validation_{name}": checked[name] for name in ("bits_event", "bits_rates")}
    return scores | {"epochs": len(done.losses), "best_epoch": done.best_epoch}
