"""Side of the higher contrast from mouse visual cortex: the side part of `neuroformer_recordings.py`."""

from typing import Any, NamedTuple

import numpy as np
from neuroformer_jobs import FOLDS, Job
from neuroformer_visual import visual_config, visual_recording


class Trials(NamedTuple):
    """Numbers of trials: with labels to learn from, to be judged, spikes to fit and to check a model on."""

    train: np.ndarray
    test: np.ndarray
    fitted: np.ndarray
    check: np.ndarray


def sides(recording: Any) -> np.ndarray:
    """Of each trial: 1 where the higher contrast was on the right, 0 on the left, -1 where they are equal."""
    _, first = np.unique(recording.responses["run"].values, return_index=True)
    found: np.ndarray = recording.responses["side"].values[first]
    return found


def trials_of(right: np.ndarray, fold: int, seed: int) -> Trials:
    """Folds of the data's description; spikes of trials without a label are seen too, those of tests not."""
    from sklearn.model_selection import StratifiedKFold

    judged = np.flatnonzero(right >= 0)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(judged, right[judged])
    train, test = (judged[part] for part in list(folds)[fold])
    rest = np.random.default_rng(seed).permutation(np.setdiff1d(np.arange(len(right)), test))
    n_check = len(rest) // 6
    return Trials(train, test, np.sort(rest[n_check:]), np.sort(rest[:n_check]))


def pretrained(recording: Any, trials: Trials, job: Job) -> Any:
    """A model of the spikes of the fitted trials, and the epoch after which it was best on the checked."""
    from neuroai.neuroformer import Neuroformer, fit
    from neuroai.neuroformer.training import Recipe

    hyper, seed, fabric = job.hyper, job.seed, job.fabric()
    model = Neuroformer(visual_config(recording.n_targets, hyper, "spikes"), seed=seed)
    windows = model.windows(recording)
    recipe = Recipe(
        epochs=hyper["epochs"],
        batch_size=hyper["batch"],
        learning_rate=hyper["rate"],
        weight_decay=hyper["decay"],
        patience=hyper["patience"],
        seed=seed,
    )
    check = windows.select(trials.check)
    done = fit(model, windows.select(trials.fitted), validation=check, recipe=recipe, fabric=fabric)
    model.to(fabric.device).eval()
    return model, done.best_epoch


def side_features(recording: Any, trials: Trials, job: Job) -> dict[str, Any]:
    """Of each trial: token features, their mean and the last; log expected counts in thirds, turned."""
    from neuroai.neuroformer import rates
    from neuroai.neuroformer.frozen import window_features
    from neuroai.neuroformer.readout import rate_features

    model, best_epoch = pretrained(recording, trials, job)
    windows = model.windows(recording)
    inside = window_features(model, windows)[:, : 2 * job.hyper["width"]]
    pooled, last = np.split(inside, 2, axis=1)
    seen = np.setdiff1d(np.arange(len(windows)), trials.test)
    log_rates = rate_features(rates(model, windows), seen, 3)
    return {"pooled": pooled, "last": last, "log_rates": log_rates, "best": best_epoch}


def side(job: Job) -> dict[str, Any]:
    """Pretrain on spikes alone, then decode the side; probabilities of the test trials come back."""
    from neuroai.neuroformer.frozen import FrozenDecoder
    from neuroai.neuroformer.readout import joined, span_counts

    recording = visual_recording(job.folder, job.session)
    right = sides(recording)
    trials = trials_of(right, job.fold, job.seed)
    found = job.kept_or_made(f"side_{job.session}", lambda: side_features(recording, trials, job))
    n = len(right)
    counts = recording.responses.values.reshape(n, 39, -1)
    thirds, total = span_counts(counts, 3), span_counts(counts, 1)
    inside = np.concatenate([found["pooled"], found["last"]], axis=1).astype(float)
    log_rates = found["log_rates"].astype(float)
    seen = {
        "features": inside,
        "rates": log_rates,
        "counts": thirds,
        "total": total,
        "features and counts": joined([inside, thirds]),
        "features and total": joined([inside, total]),
        "rates and counts": joined([log_rates, thirds, total]),
    }
    train, test = trials.train, trials.test
    readers = {name: FrozenDecoder("category").fit(x[train], right[train]) for name, x in seen.items()}
    chance = {name: reader.predict(seen[name][test])[:, 1] for name, reader in readers.items()}
    averaged = np.mean(list(chance.values()), axis=0)
    chance["chosen"] = chance[max(readers, key=lambda name: readers[name].score_)]
    chance["averaged"] = averaged
    return {
        "best_epoch": int(found["best"]),
        "trial": test.tolist(),
        "right": right[test].astype(int).tolist(),
        "inner_log_likelihood": {name: round(reader.score_, 4) for name, reader in readers.items()},
        "chance_right": {name: p.round(5).tolist() for name, p in chance.items()},
        "accuracy": {name: float(((p > 0.5) == right[test]).mean()) for name, p in chance.items()},
    }
