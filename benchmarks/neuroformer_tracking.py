"""Place of a rat as a hidden state: the tracker, and naive Bayes with a random walk."""

from typing import Any

import numpy as np

#: Smoothing of the maps of naive Bayes (grid places) and random walk (root mean square distances) for up to
#: 5 % of the labels, and for more: each the best of 3 x 4 in held-out blocks of training windows.
BAYES_FEW, BAYES_MANY = (3.0, 0.25), (1.0, 0.12)
DRAWS = 8


def tracked(
    name: str,
    points: np.ndarray,
    counts: np.ndarray,
    moments: np.ndarray,
    place: np.ndarray,
    usable: np.ndarray,
    chosen: dict[str, np.ndarray],
    judged: np.ndarray,
) -> dict[str, Any]:
    """Errors by share, given the spikes of the whole test block, and (causal) those up to each window."""
    from neuroai.neuroformer import PlaceTracker

    out: dict[str, Any] = {name: {}, f"{name}_causal": {}}
    for share, windows in chosen.items():
        at = np.searchsorted(usable, np.sort(windows))
        tracker = PlaceTracker().fit(counts[usable], moments[usable], at, place[usable[at]], points[usable])
        for causal, kind in ((False, name), (True, f"{name}_causal")):
            said = tracker.predict(counts[judged], moments[judged], causal=causal)
            out[kind][share] = errors(said, place[judged], len(windows))
    return out


def other_draws(
    points: np.ndarray,
    counts: np.ndarray,
    moments: np.ndarray,
    place: np.ndarray,
    usable: np.ndarray,
    n_labels: int,
    judged: np.ndarray,
    seed: list[int],
) -> dict[str, Any]:
    """Errors of eight other draws of the fewest labels, joined: 11 windows drawn at random vary much."""
    found = []
    for draw in range(DRAWS):
        labelled = np.random.default_rng([*seed, draw]).choice(usable, n_labels, replace=False)
        one = tracked("t", points, counts, moments, place, usable, {"": labelled}, judged)
        found += one["t"][""]["errors"]
    return {"0.01": {"n": n_labels, "errors": found}}


def bayes(
    counts: np.ndarray, place: np.ndarray, chosen: dict[str, np.ndarray], judged: np.ndarray
) -> dict[str, Any]:
    """Naive Bayes from the labelled windows alone: window by window, and smoothed by a random walk."""
    from neuroai.kernels import forward_backward
    from neuroai.neuroformer.place import NaiveBayesPosition

    out: dict[str, Any] = {"bayes": {}, "bayes_walk": {}}
    for share, windows in chosen.items():
        smoothing, step = BAYES_FEW if float(share) <= 0.05 else BAYES_MANY
        model = NaiveBayesPosition(smoothing=smoothing).fit(counts[windows], place[windows])
        seen, x = model.log_posterior(counts[judged]), model.places_
        length = step * np.sqrt(place[windows].var(axis=0).sum())
        moves = np.exp(-0.5 * ((x[:, None] - x) ** 2).sum(-1) / length**2) + 1e-12
        moves /= moves.sum(axis=1, keepdims=True)
        smooth = forward_backward(seen, moves, np.full(len(x), 1 / len(x))).smoothed @ x
        alone = model.predict(counts[judged])
        out["bayes"][share] = errors(alone, place[judged], len(windows))
        out["bayes_walk"][share] = errors(smooth, place[judged], len(windows))
    return out


def errors(said: np.ndarray, truth: np.ndarray, n: int) -> dict[str, Any]:
    return {"n": n, "errors": np.linalg.norm(said - truth, axis=1).round(2).tolist()}
