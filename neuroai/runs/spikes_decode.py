"""``neuroai spikes decode``: behaviour on test windows, from a frozen model or by the heads it was given."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from neuroai.errors import ConfigError
from neuroai.runs import directory
from neuroai.runs.analysis import silent
from neuroai.runs.spikes import Place, Split, measure_model

if TYPE_CHECKING:
    from neuroai.neuroformer.model import Neuroformer
    from neuroai.neuroformer.windows import Windows
    from neuroai.report.spikes_content import FewLabels, Findings
    from neuroai.runs.console import Progress
    from neuroai_datasets import Recording

__all__ = ["SHARES", "decode"]

Indices = NDArray[np.int64]

#: Of the labels, by default.
SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)

_METHODS = (
    "The model was left as it is. Series: mean over each window; features of windows and square roots of "
    "counts were mapped by time contrast on spikes of the training windows (pairs at most three windows "
    "apart; Schneider, Lee & Mathis 2023), labels were spread over the map and over time, and read by "
    "kernel ridge regression. Tracked: place and direction are hidden states with Poisson counts, learned "
    "by expectation maximisation over all training windows; test windows are read with those before and "
    "after them (Brown et al. 1998; Denovellis et al. 2021). Categories: log expected counts one bin ahead, "
    "and square roots of counts, of spans of each window were joined and read by logistic regression, its "
    "penalty chosen within the labelled windows. Baselines saw the same labelled windows: ridge and lasso "
    "on lagged square roots of counts, naive Bayes on counts of the window (Zhang et al. 1998). Intervals: "
    "95 % of 1,000 resamplings of draws of labels and of blocks of test windows (trials, or 20 windows)."
)


def decode(
    recording: "str | os.PathLike[str] | Recording",
    *,
    model: str | os.PathLike[str],
    how: Literal["frozen", "heads"] = "frozen",
    behaviour: Sequence[str] = (),
    shares: Sequence[float] = SHARES,
    n_draws: int = 3,
    min_speed: float = 0.0,
    baselines: bool = True,
    split: Split | None = None,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    progress: "Progress | None" = None,
    **selection: str,
) -> directory.Run:
    """Decode behaviour on test windows: how well, and from how many labels.

    Parameters
    ----------
    recording, model, split, seed, out, progress, selection
        As in :func:`neuroai.runs.spikes.evaluate`.
    how : {"frozen", "heads"}
        ``"frozen"``: the model is left as it is. Of a series (its mean over each window), a map of windows is
        learned from spikes of the training windows by time contrast, and labels of some of them are spread
        over it; read window by window, and tracked over time (what is shown of a position of two numbers).
        Of categories (words, or up to 20 whole numbers; NaN is unknown), expected and recorded counts are
        read by logistic regression. ``"heads"``: the heads that ``train`` or ``finetune`` gave the model, at
        the end of each window.
    behaviour : sequence of str
        A series of the recording, a label of its samples, or a column of its events; default what the model
        has heads for. Frozen only, like the following four.
    shares : sequence of float
        Of the training windows, those that are labelled; at least 10 windows.
    n_draws : int
        Random choices of labelled windows, each with a map from another start.
    min_speed : float
        Leave out windows in which a series moves more slowly, in its units a second: place cells tell the
        place of an animal that runs.
    baselines : bool
        Also read counts alone, ridge, lasso and (positions) naive Bayes, from the same labels.

    Returns
    -------
    Run
        ``summary["few_labels"]`` holds scores, intervals and draws of each behaviour and method;
        ``summary["behaviour"]`` r, R² and RMS error of each series from all labels.

    Raises
    ------
    ConfigError
        Without a behaviour to decode, for one that the model reads as an input, or options out of range.
    DataError
        If a behaviour is not there or hardly ever known.

    Notes
    -----
    A model that was trained on test windows of another split has seen their spikes, one with heads has seen
    labels of training windows: the report says so. Series of more than 3,000 training windows are thinned.

    References
    ----------
    Antoniades et al. (2024), "Neuroformer"; Schneider, Lee & Mathis (2023), pairs by time; Zhang et al.
    (1998), naive Bayes.

    Examples
    --------
    >>> import tempfile
    >>> from neuroai.datasets import simulate_spikes
    >>> from neuroai.neuroformer import Neuroformer, NeuroformerConfig
    >>> cells, folder = simulate_spikes(5, 20.0), tempfile.mkdtemp()
    >>> sizes = {"bin_width": 0.05, "window": 0.25, "past": 0.25, "width": 16, "heads": 2}
    >>> config = NeuroformerConfig(sessions={cells.name: 5}, **sizes)
    >>> model = Neuroformer(config).save_pretrained(folder + "/model")
    >>> options = {"shares": [1.0], "n_draws": 1, "baselines": False, "out": folder + "/run"}
    >>> run = decode(cells, model=model, behaviour=["position"], **options)
    >>> list(run.summary["few_labels"]["position"]["methods"])
    ['frozen model', 'frozen model, tracked']
    """
    given = _checked(how, behaviour, shares, n_draws, min_speed, baselines)
    report = progress or silent

    def measure(
        place: Place, net: "Neuroformer", windows: "Windows", train: Indices, test: Indices
    ) -> "tuple[Findings, Mapping[str, Any]]":
        if how == "heads":
            return _by_heads(net, windows.select(test), model), {}
        from neuroai.report.spikes_content import Findings
        from neuroai.runs.spikes_readout import FrozenReadout

        names = list(behaviour) or [modality.name for modality in net.config.targets]
        if not names:
            raise ConfigError(f"nothing to decode: give behaviour; the model in {model} has no heads either")
        reading = FrozenReadout(
            net,
            place.recording,
            windows,
            train,
            test,
            given["shares"],
            n_draws,
            min_speed,
            baselines,
            seed,
            report,
        )
        found = [reading.read(name) for name in names]
        decoded = [series for _, series in found if series is not None]
        few = [one for one, _ in found]
        notes = _notes(net, few)
        findings = Findings(decoded=decoded, few=few, notes=notes, methods=[_METHODS])
        return findings, {}

    return measure_model("decode", recording, model, split, seed, given, selection, progress, out, measure)


def _checked(
    how: str,
    behaviour: Sequence[str],
    shares: Sequence[float],
    n_draws: int,
    min_speed: float,
    baselines: bool,
) -> dict[str, Any]:
    """Options for the record: those that matter."""
    if how not in ("frozen", "heads"):
        raise ConfigError(f"how = {how!r}: expected 'frozen' or 'heads'")
    if how == "heads":
        if behaviour or min_speed:
            raise ConfigError("behaviour and min_speed are for how='frozen': heads decode what they learned")
        return {"how": how}
    if n_draws < 1 or not 0 <= min_speed < float("inf"):
        raise ConfigError(f"n_draws = {n_draws}, min_speed = {min_speed}: expected 1 or more, 0 or more")
    if not shares or not all(0 < share <= 1 for share in shares):
        raise ConfigError(f"shares = {list(shares)}: expected shares of labels above 0 and at most 1")
    return {
        "how": how,
        "behaviour": list(behaviour),
        "shares": [float(share) for share in shares],
        "n_draws": int(n_draws),
        "min_speed": float(min_speed),
        "baselines": bool(baselines),
    }


def _by_heads(net: "Neuroformer", held: "Windows", model: str | os.PathLike[str]) -> "Findings":
    from neuroai.report.spikes_content import Findings
    from neuroai.runs.spikes_measure import decode_behaviour, latents_of

    if not net.config.targets:
        raise ConfigError(
            f"the model in {model} has no heads: `neuroai spikes finetune` with --behaviour first, or leave "
            "it as it is with how='frozen'"
        )
    decoded = decode_behaviour(net, held)
    return Findings(decoded=decoded, latents=latents_of(net, held, decoded))


def _notes(net: "Neuroformer", few: "Sequence[FewLabels]") -> list[str]:
    """What a reader must know of the model and the windows."""
    told = []
    targets = {modality.name for modality in net.config.targets}
    heads = [one.name for one in few if one.name in targets]
    if heads:
        told.append(
            f"The model was trained to decode {', '.join(heads)}: it has seen labels of training windows, "
            "also those that count as unlabelled here."
        )
    if read := [modality.name for modality in net.config.inputs]:
        told.append(f"The model reads {', '.join(read)}: what is decoded may come from there.")
    told += [
        f"{one.name}: every {one.every} windows one was used, so that a kernel readout can be fitted."
        for one in few
        if one.every > 1
    ]
    told += [
        f"{one.name} was not tracked over time: few test windows follow each other."
        for one in few
        if one.confusion is None and not any("tracked" in method for method in one.curves)
    ]
    return told
