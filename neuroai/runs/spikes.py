"""``neuroai spikes generate``, ``connectivity`` and ``evaluate``: what a trained model says."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from neuroai.errors import ConfigError
from neuroai.runs import directory
from neuroai.runs.analysis import Outcome
from neuroai.runs.ranks import one_process
from neuroai.runs.spikes_parts import (
    Job,
    model_folder,
    open_model,
    resolved,
    same_recording,
    same_split,
    session_of,
    write_down,
)

if TYPE_CHECKING:
    from neuroai.neuroformer.model import Neuroformer
    from neuroai.neuroformer.windows import Windows
    from neuroai.report.spikes_content import Findings
    from neuroai.runs.console import Progress
    from neuroai_datasets import Recording

__all__ = ["connectivity", "evaluate", "generate"]

Indices = NDArray[np.int64]
_SEEN = (
    "The model's own split of this recording was another (split or seed): it has seen spikes of windows that "
    "are tested here."
)
Split = Literal["blocked", "random"]


@dataclass(frozen=True)
class Place:
    """Where a measurement is made: the recording, and the run directory in preparation."""

    recording: "Recording"
    folder: Path

    def edges(self) -> NDArray[np.bool_] | None:
        """Known edges (target, source) of a simulated recording, None without."""
        if "truth" not in self.recording.tree.children:
            return None
        truth = self.recording.tree["truth"].to_dataset()
        return np.asarray(truth["edges"].values, dtype=np.bool_) if "edges" in truth else None


#: From place, model, all windows, training and test windows to findings and further scores.
Measure = Callable[[Place, "Neuroformer", "Windows", Indices, Indices], "tuple[Findings, Mapping[str, Any]]"]


def evaluate(
    recording: "str | os.PathLike[str] | Recording",
    *,
    model: str | os.PathLike[str],
    n_samples: int = 4,
    baselines: bool = True,
    split: Split | None = None,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    progress: "Progress | None" = None,
    **selection: str,
) -> directory.Run:
    """Measure a trained model on its test windows: likelihood, generated spikes, behaviour, latents.

    Parameters
    ----------
    recording : str, path or Recording
        Of a session that the model was trained or fine-tuned on.
    model : path
        A run of ``neuroai spikes``, or a folder that ``save_pretrained`` wrote.
    n_samples : int
        Patterns generated a window.
    baselines : bool
        Fit a GLM with spike history to the same windows.
    split : {"blocked", "random"}, optional
        Default that of the model's run, so that its test windows stay test windows.
    seed, out, progress, selection
        As in :func:`neuroai.runs.spikes_train.train`.

    Returns
    -------
    Run

    Raises
    ------
    CheckpointError
        If there is no model.
    ConfigError, DataError
        As :func:`neuroai.runs.spikes_train.train`.
    """
    from neuroai.report.spikes_content import Findings
    from neuroai.runs.spikes_measure import compare_generated, decode_behaviour, latents_of, likelihood

    def measure(
        place: Place, net: "Neuroformer", windows: "Windows", train: Indices, test: Indices
    ) -> "tuple[Findings, Mapping[str, Any]]":
        held = windows.select(test)
        generation, scores = compare_generated(net.generate(held, seed=seed, n_samples=n_samples))
        decoded = decode_behaviour(net, held)
        found = likelihood(net, windows, train, test, baselines=baselines)
        latents = latents_of(net, held, decoded)
        return Findings(None, found, generation, decoded, None, latents), {"sets": scores}

    given = {"n_samples": int(n_samples), "baselines": bool(baselines)}
    return measure_model("evaluate", recording, model, split, seed, given, selection, progress, out, measure)


def generate(
    recording: "str | os.PathLike[str] | Recording",
    *,
    model: str | os.PathLike[str],
    n_samples: int = 1,
    closed_loop: bool = False,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    refractory: float = 0.0,
    split: Split | None = None,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    progress: "Progress | None" = None,
    **selection: str,
) -> directory.Run:
    """Generate the spikes of the test windows, and compare them with the recorded ones.

    Parameters
    ----------
    recording, model, split, seed, out, progress, selection
        As in :func:`evaluate`.
    n_samples : int
        Patterns a window.
    closed_loop : bool
        Generated spikes become the past of later windows; the recording gives the first past of each run.
    temperature, top_k, top_p, refractory
        How spikes are drawn; see :class:`neuroai.neuroformer.sampling.Sampling`.

    Returns
    -------
    Run
        With ``generated.h5``, a recording of the first sample.
    """
    from neuroai.report.spikes_content import Findings
    from neuroai.runs.spikes_measure import compare_generated

    def measure(
        place: Place, net: "Neuroformer", windows: "Windows", train: Indices, test: Indices
    ) -> "tuple[Findings, Mapping[str, Any]]":
        held = windows.select(test)
        made = net.generate(held, seed=seed, **given)
        made.to_recording(0).save(place.folder / "generated.h5")
        generation, scores = compare_generated(made)
        return Findings(generation=generation), {"sets": scores}

    given: dict[str, Any] = {
        "n_samples": int(n_samples),
        "closed_loop": bool(closed_loop),
        "temperature": float(temperature),
        "top_k": top_k,
        "top_p": float(top_p),
        "refractory": float(refractory),
    }
    return measure_model("generate", recording, model, split, seed, given, selection, progress, out, measure)


def connectivity(
    recording: "str | os.PathLike[str] | Recording",
    *,
    model: str | os.PathLike[str],
    n_probed: int = 16,
    baselines: bool = True,
    split: Split | None = None,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    progress: "Progress | None" = None,
    **selection: str,
) -> directory.Run:
    """Read directed connectivity from a model, beside statistics of the counts and a coupled GLM.

    Parameters
    ----------
    recording, model, split, seed, out, progress, selection
        As in :func:`evaluate`. A simulated recording whose ``/truth`` holds ``edges`` (target, source) gives
        each method's AUROC and average precision. All windows are read, not only test windows.
    n_probed : int
        Windows in which the response to an added spike is probed.
    baselines : bool
        Also the statistics and (up to 150 units) the GLM.

    Returns
    -------
    Run
        ``result.nc`` holds the matrices.
    """
    from neuroai.report.spikes_content import Findings
    from neuroai.runs.spikes_measure import connect

    def measure(
        place: Place, net: "Neuroformer", windows: "Windows", train: Indices, test: Indices
    ) -> "tuple[Findings, Mapping[str, Any]]":
        found = connect(net, windows, edges=place.edges(), baselines=baselines, n_probed=n_probed)
        return Findings(connections=found), {}

    if n_probed < 1:
        raise ConfigError(f"n_probed = {n_probed}: expected at least 1 window")
    given = {"n_probed": int(n_probed), "baselines": bool(baselines)}
    return measure_model(
        "connectivity", recording, model, split, seed, given, selection, progress, out, measure
    )


def measure_model(
    command: str,
    recording: "str | os.PathLike[str] | Recording",
    model: str | os.PathLike[str],
    split: Split | None,
    seed: int,
    given: Mapping[str, Any],
    selection: Mapping[str, str],
    progress: "Progress | None",
    out: str | os.PathLike[str] | None,
    measure: Measure,
) -> directory.Run:
    """Open model and recording, measure, write down.

    Told of the run are windows that the model was trained on because its own split was another.
    """
    one_process(f"spikes {command}")
    folder, trained = model_folder(model)
    options = resolved({"model": os.fspath(model), **given, "split": split, "seed": int(seed)}, trained)
    job = Job.of(command, recording, options, selection, progress)
    net = open_model(folder, job.recording)

    def work(staged: Path) -> Outcome:
        windows = net.windows(job.recording, session=session_of(job.recording))
        train, test = job.split(windows)
        job.progress(command, 0, 1)
        findings, scores = measure(Place(job.recording, staged), net, windows, train, test)
        job.progress(command, 1, 1)
        if same_recording(job, trained) and not same_split(job, trained, windows):
            findings = replace(findings, notes=[*findings.notes, _SEEN])
        return write_down(job, net, windows, (train, test), findings, scores)

    return job.run(work, out, [directory.sha256(folder / "model.safetensors")])
