"""What the spike commands share: opening recording and model, the split, and writing down what was found."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroai.errors import ConfigError, DataError
from neuroai.runs import directory
from neuroai.runs.analysis import Outcome, carry_out, open_recording, silent
from neuroai.runs.fitting import check_device

if TYPE_CHECKING:
    import xarray as xr

    from neuroai.neuroformer.model import Neuroformer
    from neuroai.neuroformer.windows import Windows
    from neuroai.report.page import Page
    from neuroai.report.spikes_content import FewLabels, Findings
    from neuroai.runs.console import Progress
    from neuroai_datasets import Recording

Indices = NDArray[np.int64]

_TOLD = (
    "Windows of {window:g} s with {past:g} s of past, in bins of {width:g} s; {train} windows to train on, "
    "{test} to test on ({split}). Seed {seed}. Bits per spike: Poisson log-likelihood gain over each unit's "
    "mean rate in the training windows (one spike added to each unit). Neuroformer: Antoniades et al. "
    "(2024), here with an exact intensity readout."
)
_SPLITS = {
    "blocked": "whole trials, or one contiguous block of five with a gap",
    "random": "a fifth at random: neighbouring windows are on both sides, so slow signals leak",
}


@dataclass(frozen=True)
class Job:
    """A command on a recording: what was asked for."""

    command: str
    recording: "Recording"
    name: str
    options: Mapping[str, Any]
    selection: Mapping[str, str]
    progress: "Progress"

    @classmethod
    def of(
        cls,
        command: str,
        recording: "str | os.PathLike[str] | Recording",
        options: Mapping[str, Any],
        selection: Mapping[str, str],
        progress: "Progress | None",
    ) -> "Job":
        """Open the recording.

        Raises
        ------
        ConfigError
            For an unknown selection or split, a device that is not here, or numbers out of range.
        DataError
            If it holds neither spikes nor a series of counts, or no spike at all.
        """
        if options.get("split") not in _SPLITS:
            raise ConfigError(f"found split={options.get('split')!r}; there are: {', '.join(_SPLITS)}")
        rate, seed = options.get("learning_rate", 1.0), options.get("seed", 0)
        if not 0 < rate < float("inf") or seed < 0:
            raise ConfigError(f"learning_rate={rate}, seed={seed}: expected a rate above 0, a seed from 0")
        check_device(options.get("device", "cpu"))
        opened, name = open_recording(recording, selection, options)
        if opened.spikes is None and (opened.responses is None or opened.period is None):
            raise DataError(
                f"{opened.name} holds neither spike trains nor a series of counts: `neuroai spikes` needs "
                "one of them"
            )
        if opened.spikes is not None and not opened.spikes.n_spikes:
            raise DataError(f"{opened.name} holds no spike: there is nothing to learn or to compare with")
        _check_lengths(opened, options)
        return cls(command, opened, name, options, selection, progress or silent)

    def run(
        self, work: Callable[[Path], Outcome], out: str | os.PathLike[str] | None, content: Sequence[Any] = ()
    ) -> directory.Run:
        """Carry the work out in a run directory."""
        spikes = self.recording.spikes
        data: list[Any] = [self.recording.responses] if spikes is None else [spikes.times[:], spikes.counts]
        config = {"recording": self.name, **self.options, "selection": dict(self.selection)}
        return carry_out(
            f"spikes-{self.command}", self.name, config, work, content=[*data, *content], out=out
        )

    def split(self, windows: "Windows") -> tuple[Indices, Indices]:
        """Training and test windows.

        Raises
        ------
        DataError
            If the recording is too short, or either part holds no spike: nothing could be measured.
        """
        from neuroai.neuroformer.splits import split_windows

        train, test = split_windows(windows, self.options["split"], seed=int(self.options["seed"]))
        for part, chosen in (("to train on", train), ("held out", test)):
            first = windows.first[chosen]
            edges = np.stack([first, first + windows.config.window_bins])
            if not np.diff(np.searchsorted(windows.events.bin, edges), axis=0).any():
                raise DataError(
                    f"{self.name}: no spike in the {len(chosen)} windows {part}; expected some: look at its "
                    "counts, or give --split random"
                )
        return train, test


def _check_lengths(recording: "Recording", options: Mapping[str, Any]) -> None:
    """Refuse windows and pasts longer than the recording, before a model is made for them."""
    if recording.spikes is not None:
        start, stop = recording.spikes.span()
    else:
        start, stop = 0.0, float(recording.n_samples * (recording.period or 0.0))
    for name in ("window", "past"):
        if options.get(name, 0.0) > stop - start:
            raise ConfigError(
                f"{name}={options[name]:g}: {recording.name} lasts {stop - start:g} s; expected much less"
            )


def session_of(recording: "Recording") -> str:
    """Name of the session in a model: that of the recording, without dots."""
    return recording.name.replace(".", "-")


def new_model(recording: "Recording", options: Mapping[str, Any]) -> "Neuroformer":
    """Make a model for one recording from the options of ``train``."""
    from neuroai.neuroformer.config import NeuroformerConfig
    from neuroai.neuroformer.model import Neuroformer

    layers = int(options["layers"])
    if both := [name for name in options["behaviour"] if name in options["inputs"]]:
        raise ConfigError(
            f"{', '.join(both)}: found in behaviour and in inputs; expected to decode what is not read"
        )
    config = NeuroformerConfig(
        sessions={session_of(recording): recording.n_targets},
        bin_width=options["bin_width"],
        window=options["window"],
        past=options["past"],
        width=options["width"],
        encoder_layers=layers,
        past_layers=layers,
        behaviour_layers=layers,
        output_layers=layers,
        modalities=(
            *series_modalities(recording, options["inputs"], "input"),
            *series_modalities(recording, options["behaviour"], "target"),
        ),
    )
    return Neuroformer(config, seed=int(options["seed"]))


def series_modalities(recording: "Recording", names: Sequence[str], role: Any) -> tuple[Any, ...]:
    """Modalities of the recording's behaviour.

    Raises
    ------
    ConfigError
        If it has no series of that name.
    """
    from neuroai.neuroformer.config import Modality

    missing = [name for name in names if name not in recording.behaviour]
    if missing:
        there = ", ".join(recording.behaviour) or "none"
        raise ConfigError(f"{recording.name} has no behaviour {', '.join(missing)}; there is: {there}")
    sizes = {name: int(np.prod(recording.behaviour[name].shape[1:])) for name in names}
    return tuple(Modality(name, role=role, size=size) for name, size in sizes.items())


def model_folder(model: "str | os.PathLike[str]") -> tuple[Path, dict[str, Any]]:
    """Folder of a trained model, and the options of the run that it belongs to (none for a bare folder)."""
    root = Path(model)
    if (root / directory.MANIFEST).is_file():
        return root / "model", directory.open_run(root).config
    return root, {}


def open_model(folder: Path, recording: "Recording", *, extend: bool = False) -> "Neuroformer":
    """Read a model that knows the recording, or whose sessions are extended by it, with units of its own.

    Raises
    ------
    CheckpointError
        If there is no model.
    ConfigError
        If it does not know the recording by name, or knows it with another number of units.
    """
    from neuroai.neuroformer.model import Neuroformer

    model = Neuroformer.from_pretrained(folder)
    name = session_of(recording)
    if name not in model.config.sessions:
        if not extend:
            raise ConfigError(
                f"the model in {folder} knows {', '.join(model.config.sessions)}, not {name}: its units were "
                "never learned; `neuroai spikes finetune` adds them"
            )
        model.add_session(name, recording.n_targets)
    if model.config.sessions[name] != recording.n_targets:
        raise ConfigError(
            f"the model in {folder} knows {name} with {model.config.sessions[name]} units; this recording "
            f"has {recording.n_targets}: give the selection that it was trained on"
        )
    return model


def write_down(
    job: Job,
    model: "Neuroformer",
    windows: "Windows",
    parts: tuple[Indices, Indices],
    findings: "Findings",
    scores: Mapping[str, Any],
) -> Outcome:
    """Summary, methods, arrays and report of what was found."""
    from neuroai.runs.methods import data_facts
    from neuroai.runs.toml_text import dumps

    train, test = parts
    config = model.config
    summary: dict[str, Any] = {
        "recording": job.name,
        "n_units": windows.events.n_units,
        "n_parameters": model.n_parameters,
        "n_windows": len(windows),
        "n_train": len(train),
        "n_test": len(test),
        "window": config.window,
        "split": job.options["split"],
        "tokens": windows.report.lines(),
        "notes": [*notes_of(windows), *findings.notes],
        "repairs": list(job.recording.attrs.get("repairs", ())),
        **scores,
        **_numbers(findings),
    }
    told = _TOLD.format(
        window=config.window,
        past=config.past,
        width=config.bin_width,
        train=len(train),
        test=len(test),
        split=_SPLITS[job.options["split"]],
        seed=job.options["seed"],
    )
    methods, data = [told, *findings.methods], data_facts(job.recording)
    text = dumps({key: value for key, value in job.options.items() if value is not None})

    def page(complete: Mapping[str, Any]) -> "Page":
        from neuroai.report.spikes import spikes_page

        title = f"{job.command.capitalize()}: spikes of {job.recording.name}"
        return spikes_page(title, complete, findings, methods=methods, data=data, config=text)

    return Outcome(summary=summary, methods=methods, page=page, data=data, tree=_tree(findings, test))


def notes_of(windows: "Windows") -> list[str]:
    """What a reader must know of the recording before believing the numbers."""
    report, told = windows.report, []
    if report.silent_units:
        told.append(
            f"{report.silent_units} of {report.n_units} units have no spikes: hardly any are predicted."
        )
    if report.outside:
        told.append(f"{report.outside} spikes outside all windows were left out.")
    if report.truncated or report.truncated_past:
        told.append(f"{report.truncated} spikes and {report.truncated_past} past spikes were truncated.")
    read = {modality.name for modality in windows.config.inputs}
    told += [
        f"{name} has no value in {n} windows{', which were left out' if name in read else ''}."
        for name, n in report.missing.items()
        if n
    ]
    return [*told, *report.notes]


def _numbers(findings: "Findings") -> dict[str, Any]:
    """Numbers of all parts, for ``result.json``."""
    found: dict[str, Any] = {}
    if findings.learning is not None:
        found["epochs_trained"] = len(findings.learning.train)
        found["best_epoch"] = findings.learning.best
    if findings.likelihood is not None:
        found["bits_per_spike"] = dict(findings.likelihood.bits)
    if findings.generation is not None:
        found["generated"] = dict(findings.generation.distances)
    if findings.decoded:
        found["behaviour"] = {one.name: dict(one.scores) for one in findings.decoded}
    if findings.few:
        found["few_labels"] = {few.name: _few_numbers(few) for few in findings.few}
    if findings.connections is not None and findings.connections.scores:
        found["edges"] = {
            name: dict(zip(("auroc", "average_precision", "chance"), score, strict=True))
            for name, score in findings.connections.scores.items()
        }
    return found


def _few_numbers(few: "FewLabels") -> dict[str, Any]:
    """One behaviour: scores and their intervals by method and share of the labels."""
    methods = {
        name: {
            "score": curve.middle,
            "interval": np.stack([curve.low, curve.high], axis=1),
            "draws": curve.draws,
        }
        for name, curve in few.curves.items()
    }
    shares, numbers = list(few.labels), list(few.labels.values())
    found = {
        "measure": few.measure,
        "shares": shares,
        "n_labels": numbers,
        "n_test": few.n_test,
        "constant_guess": few.chance,
    }
    if few.confusion is not None:
        found |= {"classes": list(few.classes), "confusion": few.confusion}
    return {**found, "methods": methods}


def _tree(findings: "Findings", test: Indices) -> "xr.DataTree":
    import xarray as xr

    arrays: dict[str, Any] = {"test_windows": ("test", test)}
    if findings.likelihood is not None:
        arrays["bits_per_spike"] = ("unit", findings.likelihood.by_unit)
    if findings.connections is not None:
        for name, matrix in findings.connections.matrices.items():
            arrays[f"connectivity_{name.replace(' ', '_').replace('-', '_')}"] = (
                ("target", "source"),
                matrix,
            )
    for one in findings.decoded:
        dims = ("window", f"{one.name}_axis")
        arrays |= {f"{one.name}_measured": (dims, one.true), f"{one.name}_decoded": (dims, one.decoded)}
        arrays["time"] = ("window", one.times)
    if findings.latents is not None:
        arrays["latents"] = (("latent_window", "component"), findings.latents.points)
    return xr.DataTree.from_dict({"/": xr.Dataset(arrays)})


def with_targets(
    model: "Neuroformer", recording: "Recording", names: Sequence[str], seed: int
) -> "Neuroformer":
    """Add heads for behaviour that the model does not decode yet."""
    for modality in series_modalities(recording, names, "target"):
        there = {m.name: m for m in model.config.targets}
        if modality.name not in there:
            model.add_target(modality, seed=seed)
        elif there[modality.name].size != modality.size:
            raise ConfigError(
                f"the model decodes {modality.name} of size {there[modality.name].size}; the recording's has "
                f"{modality.size}"
            )
    return model


def same_recording(job: Job, trained: Mapping[str, Any]) -> bool:
    """Whether a run (its options) was of the recording of this one."""
    return bool(trained.get("recording") == job.name and trained.get("selection", {}) == dict(job.selection))


def same_split(job: Job, trained: Mapping[str, Any], windows: "Windows") -> bool:
    """Whether a run (its options) divided these windows as this one does."""
    from neuroai.neuroformer.splits import split_windows

    seed = int(trained["seed"])
    return np.array_equal(split_windows(windows, trained["split"], seed=seed)[1], job.split(windows)[1])


def resolved(options: Mapping[str, Any], trained: Mapping[str, Any]) -> dict[str, Any]:
    """Options with the split of the model's own run where none was given: test windows stay test windows."""
    return {**options, "split": options["split"] or trained.get("split", "blocked")}
