"""``neuroai encode``: from a recording to cross-validated scores, a fitted model and a report."""

import hashlib
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroai.errors import ConfigError
from neuroai.runs import directory
from neuroai.runs.analysis import digest_of, responses_of, silent
from neuroai.runs.config import EncodeConfig, resolve

if TYPE_CHECKING:
    from neuroai.encoders.features import FeatureMaps
    from neuroai.runs.console import Progress
    from neuroai.runs.inputs import Inputs
    from neuroai.runs.plan import Plan
    from neuroai_datasets import Recording

#: Where runs go when no ``out`` is given.
DEFAULT_FOLDER = "runs"


def encode(
    recording: "str | os.PathLike[str] | Recording",
    *,
    features: "str | FeatureMaps | Sequence[str | FeatureMaps] | None" = None,
    readout: str | None = None,
    delays: str | Sequence[int] | None = None,
    smooth: float | None = None,
    cv: str | int | None = None,
    alphas: str | Sequence[float] | None = None,
    score: str | None = None,
    detrend: str | None = None,
    standardise: str | None = None,
    permutations: int | None = None,
    memory: str | None = None,
    seed: int | None = None,
    device: str | None = None,
    workers: str | int | None = None,
    out: str | os.PathLike[str] | None = None,
    config: str | os.PathLike[str] | None = None,
    progress: "Progress | None" = None,
    **selection: str,
) -> directory.Run:
    r"""Fit an encoder to a recording, score it by cross-validation, and write a run directory.

    For each fold a readout is fitted to the training rows and predicts the test rows; with the
    predictions of all folds joined, target v scores :math:`r_v = \mathrm{corr}(y_v, \hat y_v)`.

    Parameters
    ----------
    recording : str, path or Recording
        Catalogue name, path, or a recording in memory.
    features : str, FeatureMaps, or a sequence of them, optional
        Feature spaces, ``NAME[:LAYER]``, or features that you computed: one row a sample or a
        stimulus. Several make a layer ensemble. Default: the data set's own, else by kind.
    readout : str, optional
        ``NAME[:key=value,...]`` with ``ridge`` (default), ``pca-ridge``, ``factorised``,
        ``gaussian`` or ``attention``.
    delays, smooth, cv, alphas, score, detrend, standardise, permutations, memory, seed, device, workers
        As in :class:`neuroai.runs.EncodeConfig`; None leaves the choice to the configuration file,
        the environment (``NEUROAI_ENCODE_<OPTION>``), the data set's card, or the default.
    out : path, optional
        The run directory; default ``runs/RECORDING-FEATURES-READOUT-DIGEST``.
    config : path, optional
        TOML file of options; options given here win over it.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.
    **selection
        What to take of the recording, for example ``session="210325"``.

    Returns
    -------
    Run
        The finished run: ``.summary``, ``.path``, ``.report``.

    Raises
    ------
    ConfigError
        For options that cannot be used, or an ``out`` that holds another run.
    DataError
        For a recording that cannot be used.
    MemoryBudgetError
        When the fit would not fit into ``memory``.
    InterruptedRunError
        On Ctrl-C; the same call goes on from the last finished fold.

    Notes
    -----
    A run that exists already with the same configuration is returned, not repeated. The model kept
    in ``model/`` is fitted to all rows after scoring. Time: folds + 1 fits of the readout. Where the
    arrays of a fit would exceed ``memory``, ridge and pca-ridge go on in blocks of targets that are read
    when their turn comes: same result, one model a block, and no receptive fields in the report. With
    ``workers`` the blocks are shared among processes or machines.

    Examples
    --------
    >>> import numpy as np, neuroai, tempfile
    >>> from neuroai_datasets import Recording
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((60, 4)).astype("float32")
    >>> y = x @ rng.standard_normal((4, 3))
    >>> recording = Recording.from_arrays(y, name="toy", stimulus_index=range(60))
    >>> from neuroai.encoders.features import FeatureMaps
    >>> out = tempfile.mkdtemp() + "/run"
    >>> run = neuroai.encode(recording, features=FeatureMaps(x, "x"), out=out, permutations=0)
    >>> run.summary["median_r"] > 0.95
    True
    """
    from neuroai.runs.plan import make_plan, targets_at_once

    started = (time.perf_counter(), time.process_time())
    job = _open(
        recording,
        features,
        config,
        out,
        readout=readout,
        delays=delays,
        smooth=smooth,
        cv=cv,
        alphas=alphas,
        score=score,
        detrend=detrend,
        standardise=standardise,
        permutations=permutations,
        memory=memory,
        seed=seed,
        device=device,
        workers=workers,
        **selection,
    )
    digest = job.digest()
    if (found := directory.existing(job.out, digest)) is not None:
        return found
    report = progress or silent
    with directory.staging(job.out, digest) as partial:
        arrays = job.prepare(report)
        width = targets_at_once(make_plan(arrays, job.config, job.out), job.config)
        _work(arrays, job, partial, report, started, width)
        directory.finish(partial, job.out)
    return directory.open_run(job.out)


def plan(
    recording: "str | os.PathLike[str] | Recording",
    *,
    features: "str | FeatureMaps | Sequence[str | FeatureMaps] | None" = None,
    out: str | os.PathLike[str] | None = None,
    config: str | os.PathLike[str] | None = None,
    progress: "Progress | None" = None,
    **options: Any,
) -> "Plan":
    """Say what :func:`encode` would do: shapes, memory, time and files. Nothing is fitted or written.

    Parameters
    ----------
    recording, features, out, config, progress, **options
        As for :func:`encode`.

    Returns
    -------
    Plan

    Raises
    ------
    ConfigError, DataError
        As :func:`encode`.

    Notes
    -----
    Features are computed (and cached), since their shape decides the rest.
    """
    from neuroai.runs.plan import make_plan

    job = _open(recording, features, config, out, **options)
    return make_plan(job.prepare(progress or silent), job.config, job.out)


@dataclass(frozen=True)
class _Job:
    """An opened recording and everything decided about it."""

    recording: "Recording"
    config: EncodeConfig
    origins: dict[str, str]
    given: "list[FeatureMaps]"
    out: Path
    in_memory: bool

    def digest(self) -> str:
        """Return 12 hexadecimal digits of the options and of what was measured."""
        stimulus = self.recording.stimulus
        seen = "" if stimulus is None else repr((stimulus.shape, stimulus.ids))
        return digest_of({"config": self.config.digest()}, (responses_of(self.recording), seen))

    def prepare(self, report: "Progress") -> "Inputs":
        from neuroai.runs.inputs import prepare

        return prepare(self.recording, self.config, given=self.given, progress=report)


def _open(
    recording: "str | os.PathLike[str] | Recording",
    features: "str | FeatureMaps | Sequence[str | FeatureMaps] | None",
    config: str | os.PathLike[str] | None,
    out: str | os.PathLike[str] | None,
    **options: Any,
) -> _Job:
    from neuroai.runs.fitting import check_device, check_readout
    from neuroai.runs.inputs import complete
    from neuroai_datasets.loading import load

    given, names = _split_features(features)
    resolved, origins = resolve_options(recording, config=config, features=names, given=given, **options)
    check_device(resolved.device)
    check_readout(resolved.readout)
    source = os.fspath(recording) if isinstance(recording, (str, os.PathLike)) else recording
    opened = load(source, **resolved.selection) if isinstance(source, str) else source
    responses_of(opened)  # refuses recordings without
    resolved = complete(resolved, opened)
    target = Path(out) if out is not None else _default_out(resolved)
    in_memory = bool(given) or not isinstance(source, str)
    return _Job(opened, resolved, origins, given, target, in_memory)


def resolve_options(
    recording: "str | os.PathLike[str] | Recording",
    *,
    config: str | os.PathLike[str] | None = None,
    given: "Sequence[FeatureMaps] | None" = None,
    **options: Any,
) -> tuple[EncodeConfig, dict[str, str]]:
    """Resolve the options of :func:`encode` without touching the data.

    Parameters
    ----------
    recording, config, **options
        As for :func:`encode`.
    given : sequence of FeatureMaps, optional
        Features that were computed beforehand.

    Returns
    -------
    config : EncodeConfig
        Options still ``auto`` are chosen once the recording is open.
    origins : dict of str to str
        ``card``, ``file``, ``environment``, ``flag`` or ``default`` for each.

    Raises
    ------
    ConfigError
        For an unknown option or an unusable value.
    """
    from neuroai.runs import inputs as prepare

    known = {name for name in EncodeConfig.__dataclass_fields__ if name != "recording"}
    flags = {key: value for key, value in options.items() if key in known}
    selection = {key: str(value) for key, value in options.items() if key not in known and value is not None}
    is_name = isinstance(recording, (str, os.PathLike))
    name = os.fspath(recording) if isinstance(recording, (str, os.PathLike)) else recording.name
    if is_name:
        prepare.check_selection(name, selection, sorted(known))
    elif selection:
        raise ConfigError(f"unknown option {next(iter(selection))!r}; options: {', '.join(sorted(known))}")
    if given:
        flags["features"] = [f"given {maps.name} {_fingerprint(maps)}" for maps in given]
    flags |= {"recording": name}
    if selection:
        flags["selection"] = selection
    card = prepare.card_defaults(name, selection) if is_name else {}
    return resolve(flags, environ=os.environ, file=config, card=card)


def _work(
    arrays: "Inputs",
    job: _Job,
    partial: Path,
    report: "Progress",
    started: tuple[float, float],
    width: int,
) -> None:
    from neuroai.runs.blocks import fit_and_score
    from neuroai.runs.facts import machine, peak_mib, versions
    from neuroai.runs.methods import data_facts, methods_text
    from neuroai.runs.reporting import write_report
    from neuroai.runs.results import build_tree
    from neuroai_datasets.store import save_tree

    config = job.config
    predictions, scores, readout = fit_and_score(arrays, config, partial, report, width)
    report("scores", 0, 1)
    tree = build_tree(arrays, predictions, scores, readout)
    save_tree(tree, partial / "result.nc")
    report("scores", 1, 1)
    directory.write_text(partial / "config.toml", config.to_toml(job.origins))
    facts = {
        "command": "encode",
        "digest": job.digest(),
        "seed": config.seed,
        "versions": versions(),
        "machine": machine(),
        "data": data_facts(arrays.recording),
        "methods": methods_text(arrays, config),
        "features": {maps.name: dict(maps.attrs) for maps in arrays.features},
    }
    found = scores.summary()
    summary = {
        "recording": config.recording,
        "selection": dict(config.selection),
        "features": " + ".join(maps.name for maps in arrays.features),
        "readout": config.readout,
        **found,
        "n_masked": int(arrays.recording.attrs.get("n_masked", 0)),
        "repairs": list(arrays.recording.attrs.get("repairs", ())),
        "n_samples": int(arrays.folds.tested.size),
        "alphas_at_edge": found["alphas_at_edge"] or 0.0,
        "folds": len(arrays.folds.splits),
        "in_memory": job.in_memory,
        "score": config.score,
        "seconds": round(time.perf_counter() - started[0], 3),
        "cpu_seconds": round(time.process_time() - started[1], 3),
        "peak_mib": peak_mib(),
    }
    directory.write_text(partial / "result.json", directory.to_json(summary) + "\n")
    report("report", 0, 1)
    write_report(partial, summary, facts)
    directory.write_manifest(partial, facts)
    report("report", 1, 1)


def _split_features(
    features: "str | FeatureMaps | Sequence[str | FeatureMaps] | None",
) -> "tuple[list[FeatureMaps], list[str] | None]":
    """Features that were given as arrays, or names of features to compute."""
    if features is None:
        return [], None
    if isinstance(features, str):
        return [], features.split(",")
    items: list[Any] = list(features) if isinstance(features, (list, tuple)) else [features]
    given: list[FeatureMaps] = [item for item in items if not isinstance(item, str)]
    if given and len(given) != len(items):
        raise ConfigError("give either names of features or features that were computed, not both")
    return given, None if given else items


def _default_out(config: EncodeConfig) -> Path:
    words = [Path(config.recording).name, *config.selection.values(), *config.features, config.readout]
    name = "-".join(re.sub(r"[^A-Za-z0-9.]+", "-", word).strip("-")[:40] for word in words)
    return Path(DEFAULT_FOLDER) / f"{name}-{config.digest()[:8]}"


def _fingerprint(maps: "FeatureMaps") -> str:
    import numpy as np

    return hashlib.sha256(np.ascontiguousarray(maps.values).tobytes()).hexdigest()[:8]
