"""``neuroai decode``: which category was shown, block by block, with a report."""

import hashlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroai.errors import ConfigError
from neuroai.runs import directory

if TYPE_CHECKING:
    from neuroai.encoders.decode import Decoding
    from neuroai.runs.console import Progress
    from neuroai_datasets import Recording

_METHODS = (
    "Responses of {targets} targets were detrended by a straight line and scaled to unit variance within "
    "each run, and averaged from {lag:g} s after the onset of each block to {tail:g} s after its end; the "
    "mean over the blocks of a run was taken away. A linear support vector machine (squared hinge loss, "
    "C = {c:g}, one category against the rest) was fitted to all runs but one and decoded the blocks of that "
    "one. No statistic crosses runs (Haxby et al. 2001; Norman, Polyn, Detre & Haxby 2006)."
)


def decode(
    recording: "str | os.PathLike[str] | Recording",
    *,
    lag: float = 5.0,
    tail: float = 0.0,
    c: float = 0.01,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    progress: "Progress | None" = None,
    **selection: str,
) -> directory.Run:
    """Decode the category of each block, leaving one run out, and write a run directory.

    Parameters
    ----------
    recording : str, path or Recording
        A series of several runs with events, for example ``haxby2001``.
    lag, tail, c, seed
        As for :func:`neuroai.encoders.decode.decode_blocks`. The defaults take the samples on the plateau of
        the response; ``tail=5`` adds its decay, as simpler pipelines do.
    out : path, optional
        The run directory; default ``runs/decode-RECORDING-DIGEST``.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.
    **selection
        What to take of the recording, for example ``image="25mm"``.

    Returns
    -------
    Run
        ``.summary`` holds ``accuracy``, ``chance``, ``n_blocks``, ``n_targets``, ``accuracy_per_run``,
        ``categories`` and ``confusion`` (row shown, column decoded).

    Raises
    ------
    ConfigError
        If the recording is no series of several runs with events, or an option cannot be used.
    DataError
        If the recording cannot be opened, or a block holds no sample.

    Notes
    -----
    A run that exists already with the same options is returned, not repeated.

    References
    ----------
    Haxby et al. (2001); Norman, Polyn, Detre & Haxby (2006).

    Examples
    --------
    >>> import numpy as np, neuroai, tempfile
    >>> from neuroai_datasets import Recording
    >>> y, runs = np.random.default_rng(0).standard_normal((40, 3)), np.repeat([0, 1], 20)
    >>> y[4:12, 0] += 9; y[32:40, 0] += 9
    >>> events = {"onset": [0.0, 20.0] * 2, "duration": [18.0] * 4, "run": [0, 0, 1, 1],
    ...           "trial_type": ["face", "house", "house", "face"]}
    >>> toy = Recording.from_arrays(y, name="toy", period=2.0, runs=runs, events=events)
    >>> neuroai.decode(toy, out=tempfile.mkdtemp() + "/run").summary["accuracy"]
    1.0
    """
    from neuroai.encoders.decode import decode_blocks
    from neuroai.runs.inputs import check_selection, load_recording

    started = time.perf_counter()
    options = {"lag": _seconds("lag", lag), "tail": _seconds("tail", tail), "c": float(c), "seed": int(seed)}
    if not options["c"] > 0:
        raise ConfigError(f"c = {c}: expected a number above 0")
    report = progress or _silent
    named = isinstance(recording, (str, os.PathLike))
    source: Any = os.fspath(recording) if isinstance(recording, (str, os.PathLike)) else recording
    if named:
        check_selection(source, selection, sorted(options))
    elif selection:
        raise ConfigError(f"unknown option {next(iter(selection))!r}; options: {', '.join(options)}")
    opened = load_recording(source, selection)
    config = {"recording": source if named else opened.name, **options, "selection": dict(selection)}
    digest = _digest(opened, config)
    name = f"decode-{Path(str(config['recording'])).name}-{digest[:8]}"
    target = Path(out) if out is not None else Path("runs") / name
    if (found := directory.existing(target, digest)) is not None:
        return found
    report("decode", 0, 1)
    decoding = decode_blocks(opened, lag=options["lag"], tail=options["tail"], c=options["c"], seed=int(seed))
    report("decode", 1, 1)
    with directory.staging(target, digest) as partial:
        _write(partial, opened, decoding, config, digest, started)
        directory.finish(partial, target)
    return directory.open_run(target)


def _write(
    partial: Path,
    recording: "Recording",
    decoding: "Decoding",
    config: dict[str, Any],
    digest: str,
    started: float,
) -> None:
    from neuroai.report.decoding import DecodingContent, decoding_page
    from neuroai.report.page import render
    from neuroai.runs.facts import machine, peak_mib, versions
    from neuroai.runs.methods import data_facts
    from neuroai.runs.reporting import write_page
    from neuroai.runs.toml_text import dumps

    assert recording.responses is not None  # load_recording refused recordings without
    targets = int(recording.responses.sizes["target"])
    per_run = dict(zip(decoding.runs.tolist(), decoding.accuracy_per_run.tolist(), strict=True))
    summary = {
        "recording": config["recording"],
        "selection": config["selection"],
        "accuracy": decoding.accuracy,
        "chance": decoding.chance,
        "n_blocks": int(decoding.confusion.sum()),
        "n_targets": targets,
        "accuracy_per_run": per_run,
        "categories": list(decoding.categories),
        "confusion": decoding.confusion.tolist(),
        "seconds": round(time.perf_counter() - started, 3),
        "cpu_seconds": round(time.process_time(), 3),
        "peak_mib": peak_mib(),
    }
    told = _METHODS.format(targets=targets, lag=config["lag"], tail=config["tail"], c=config["c"])
    facts = {
        "digest": digest,
        "seed": config["seed"],
        "versions": versions(),
        "machine": machine(),
        "data": data_facts(recording),
        "methods": [told],
    }
    text = dumps(config)
    page = decoding_page(
        DecodingContent(
            summary, facts["data"], [told], text, decoding.categories, decoding.confusion, per_run
        )
    )
    directory.write_text(partial / "config.toml", text)
    directory.write_text(partial / "result.json", directory.to_json(summary) + "\n")
    write_page(partial, render(page), page.figures)
    directory.write_manifest(partial, facts)


def _seconds(name: str, value: float) -> float:
    seconds = float(value)
    if not 0 <= seconds < 1e4:
        raise ConfigError(f"{name} = {value}: expected seconds, at least 0")
    return seconds


def _digest(recording: "Recording", config: dict[str, Any]) -> str:
    import numpy as np

    responses, events = recording.responses, recording.events
    assert responses is not None  # load_recording refused recordings without
    found = hashlib.sha256(repr(config).encode())
    found.update(np.ascontiguousarray(responses.values).tobytes())
    if events is not None:
        found.update(repr({name: events[name].values.tolist() for name in sorted(events)}).encode())
    return found.hexdigest()[:12]


def _silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""
