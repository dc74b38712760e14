"""``neuroai spikes train`` and ``finetune``."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from neuroai.errors import ConfigError
from neuroai.runs import directory
from neuroai.runs.analysis import Outcome
from neuroai.runs.ranks import first_rank, on_ranks, training_fabric
from neuroai.runs.spikes_parts import (
    Job,
    model_folder,
    new_model,
    open_model,
    resolved,
    session_of,
    with_targets,
    write_down,
)

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from neuroai.neuroformer.model import Neuroformer
    from neuroai.neuroformer.windows import Windows
    from neuroai.runs.console import Progress
    from neuroai.training import TrainingResult
    from neuroai_datasets import Recording

__all__ = ["finetune", "train"]

Indices = NDArray[np.int64]
Split = Literal["blocked", "random"]

_SAMPLES = 4  # patterns generated a test window
_VALIDATION = 10  # one in this many training windows, the last ones, says which epoch is kept


def train(
    recording: "str | os.PathLike[str] | Recording",
    *,
    behaviour: Sequence[str] = (),
    inputs: Sequence[str] = (),
    bin_width: float = 0.01,
    window: float = 0.05,
    past: float = 0.25,
    width: int = 64,
    layers: int = 1,
    epochs: int = 20,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    split: Split = "blocked",
    baselines: bool = True,
    device: str = "cpu",
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    progress: "Progress | None" = None,
    **selection: str,
) -> directory.Run:
    """Train a Neuroformer on a recording, and measure it on windows held out.

    Parameters
    ----------
    recording : str, path or Recording
        With spikes, or with a series of spike counts.
    behaviour : sequence of str
        Series of the recording that are decoded.
    inputs : sequence of str
        Series of the recording that are read.
    bin_width, window, past : float
        Seconds: time bin of a spike, current window, window before it.
    width, layers : int
        Channels; blocks of each stack.
    epochs, batch_size, learning_rate
        The epoch of the lowest loss on the last tenth of the training windows is kept.
    split : {"blocked", "random"}
        Test windows: one block of five with a gap (a fifth of the trials, where runs are trials), or a random
        fifth, which leaks what is slow; see :func:`~neuroai.neuroformer.split_windows`.
    baselines : bool
        Fit a GLM with spike history to the same windows.
    device : str
        ``cpu``, or ``cuda`` (bfloat16). Under ``torchrun`` each process takes its share of every batch, on a
        card of its own; the first one measures, writes and reports. All return the run.
    seed : int
        Of weights, batches, split and generated spikes.
    out : path, optional
        The run directory; default ``runs/spikes-train-RECORDING-DIGEST``. An interrupted run goes on.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.
    **selection
        What to take of the recording.

    Returns
    -------
    Run
        ``model/`` holds the model for :meth:`Neuroformer.from_pretrained`.

    Raises
    ------
    ConfigError
        For options out of range, or a behaviour that the recording lacks.
    DataError
        For spikes or counts that cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> from neuroai.datasets import simulate_spikes
    >>> options = {"epochs": 1, "width": 16, "baselines": False, "out": tempfile.mkdtemp() + "/run"}
    >>> run = train(simulate_spikes(5, 20.0), behaviour=["position"], **options)
    >>> sorted(run.summary["bits_per_spike"])
    ['Neuroformer', 'Neuroformer, exact events']
    """
    from neuroai.neuroformer.training import fit

    options = {
        "behaviour": list(behaviour),
        "inputs": list(inputs),
        "bin_width": float(bin_width),
        "window": float(window),
        "past": float(past),
        "width": int(width),
        "layers": int(layers),
        "epochs": int(epochs),
        "batch_size": int(batch_size),
        "learning_rate": float(learning_rate),
        "split": split,
        "baselines": bool(baselines),
        "device": device,
        "seed": int(seed),
    }
    job = Job.of("train", recording, options, selection, progress)
    model = new_model(job.recording, options)
    return Training(job, model, fit, 1.0).run(out)


def finetune(
    recording: "str | os.PathLike[str] | Recording",
    *,
    model: str | os.PathLike[str],
    behaviour: Sequence[str],
    share: float = 1.0,
    epochs: int = 30,
    batch_size: int = 32,
    learning_rate: float = 5e-4,
    split: Split | None = None,
    device: str = "cpu",
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    progress: "Progress | None" = None,
    **selection: str,
) -> directory.Run:
    """Teach a trained model to decode behaviour, from all or from few windows.

    Parameters
    ----------
    recording : str, path or Recording
        Of the session that the model was trained on, or of a new one, whose units are added.
    model : path
        A run of ``neuroai spikes``, or a folder that ``save_pretrained`` wrote.
    behaviour : sequence of str
        Series to decode; heads that the model lacks are added.
    share : float
        Share of the training windows that are used, evenly spaced over time, above 0 and at most 1.
    epochs, batch_size, learning_rate, device, seed, out, progress, selection
        As in :func:`train`.
    split : {"blocked", "random"}, optional
        Default that of the model's run, so that its test windows stay test windows.

    Returns
    -------
    Run

    Raises
    ------
    ConfigError
        As :func:`train`; for a share out of range; without behaviour.
    CheckpointError
        If there is no model.
    """
    from neuroai.neuroformer.training import finetune as tune

    if not 0 < share <= 1 or not behaviour:
        raise ConfigError(
            f"share = {share}, behaviour = {list(behaviour)}: expected 0 < share <= 1, and a series"
        )
    folder, trained = model_folder(model)
    given = {
        "model": os.fspath(model),
        "behaviour": list(behaviour),
        "share": float(share),
        "epochs": int(epochs),
        "batch_size": int(batch_size),
        "learning_rate": float(learning_rate),
        "split": split,
        "baselines": False,
        "device": device,
        "seed": int(seed),
    }
    job = Job.of("finetune", recording, resolved(given, trained), selection, progress)
    tuned = with_targets(open_model(folder, job.recording, extend=True), job.recording, behaviour, int(seed))
    content = [directory.sha256(folder / "model.safetensors")]
    return Training(job, tuned, tune, share).run(out, content)


def demo_spikes(
    *, out: str | os.PathLike[str] | None = None, seed: int = 0, progress: "Progress | None" = None
) -> directory.Run:
    """Train on 20 simulated place cells over a minute: generated spikes, decoded position, beside a GLM."""
    from neuroai_datasets.simulators import simulate_spikes

    recording = simulate_spikes(20, 60.0, seed=seed)
    target = Path(out) if out is not None else Path("runs") / "demo-spikes"
    return train(
        recording,
        behaviour=["position"],
        epochs=30,
        learning_rate=3e-3,
        seed=seed,
        out=target,
        progress=progress,
    )


@dataclass(frozen=True)
class Training:
    """A model to train by ``fit``, and a job to train it for: by one process, or by those of ``torchrun``.

    Parameters
    ----------
    job : Job
    model : Neuroformer
    fit : callable
        :func:`neuroai.neuroformer.training.fit` or ``finetune``.
    share : float
        Of the training windows.
    """

    job: Job
    model: "Neuroformer"
    fit: Callable[..., "TrainingResult"]
    share: float

    def run(self, out: str | os.PathLike[str] | None, content: Sequence[Any] = ()) -> directory.Run:
        """Train, measure and write the run directory: all ranks train, the first one does the rest."""
        several = len(self.model.config.sessions) > 1
        fabric = training_fabric(self.job.options["device"], unused=several)

        def lead(announce: Callable[[Path], None]) -> directory.Run:
            def work(staged: Path) -> Outcome:
                checkpoints = staged / directory.FOLDS / "training"
                announce(checkpoints)
                return self._measure(self._fit(checkpoints, fabric), staged)

            return self.job.run(work, out, content)

        if fabric.world_size == 1:
            return lead(lambda folder: None)
        return on_ranks(self.job.options["device"], lead, lambda folder: self._fit(folder, fabric))

    def _parts(self) -> "tuple[Windows, Indices, Indices]":
        """All windows, those to train on, those to test."""
        windows = self.model.windows(self.job.recording, session=session_of(self.job.recording))
        train, test = self.job.split(windows)
        return windows, _spread(train, self.share), test

    def _fit(self, checkpoints: Path, fabric: "Fabric") -> "TrainingResult":
        from neuroai.neuroformer.training import Recipe

        windows, used, _ = self._parts()
        n_held = max(1, len(used) // _VALIDATION)
        names = ("epochs", "batch_size", "learning_rate", "seed")
        return self.fit(
            self.model,
            windows.select(used[:-n_held]),
            validation=windows.select(used[-n_held:]),
            recipe=Recipe(**{name: self.job.options[name] for name in names}),
            folder=checkpoints,
            fabric=fabric,
            progress=self.job.progress if first_rank() else None,
        )

    def _measure(self, result: "TrainingResult", staged: Path) -> Outcome:
        from neuroai.report.spikes_content import Findings, Learning
        from neuroai.runs.spikes_measure import compare_generated, decode_behaviour, latents_of, likelihood

        model, options = self.model, self.job.options
        model.to("cpu")
        model.save_pretrained(staged / "model")
        windows, used, test = self._parts()
        windows = windows.with_config(model.config)
        held = windows.select(test)
        learning = Learning(result.losses, [-score for score in result.scores], result.best_epoch)
        train, _ = self.job.split(windows)
        found = likelihood(model, windows, train, test, baselines=options["baselines"])
        generation, scores = compare_generated(model.generate(held, seed=options["seed"], n_samples=_SAMPLES))
        decoded = decode_behaviour(model, held)
        findings = Findings(learning, found, generation, decoded, None, latents_of(model, held, decoded))
        return write_down(self.job, model, windows, (used, test), findings, {"sets": scores})


def _spread(train: Indices, share: float) -> Indices:
    """Evenly spaced windows, at least four."""
    number = min(len(train), max(4, round(share * len(train))))
    return train[np.linspace(0, len(train) - 1, number).round().astype(np.int64)]
