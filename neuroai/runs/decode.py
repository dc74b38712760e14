"""``neuroai decode``: which category was shown, block by block, with a report."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroai.errors import ConfigError
from neuroai.runs import directory
from neuroai.runs.analysis import Outcome, carry_out, open_recording, responses_of, silent

if TYPE_CHECKING:
    import xarray as xr

    from neuroai.report.page import Page
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
    options = {"lag": _seconds("lag", lag), "tail": _seconds("tail", tail), "c": float(c), "seed": int(seed)}
    if not options["c"] > 0:
        raise ConfigError(f"c = {c}: expected a number above 0")
    opened, name = open_recording(recording, selection, options)
    config = {"recording": name, **options, "selection": dict(selection)}

    def work(partial: Path) -> Outcome:
        return _decoded(opened, config, progress or silent)

    return carry_out("decode", name, config, work, content=_content(opened), out=out)


def _decoded(recording: "Recording", config: dict[str, Any], report: "Progress") -> Outcome:
    from neuroai.encoders.decode import decode_blocks
    from neuroai.report.decoding import DecodingContent, decoding_page
    from neuroai.runs.methods import data_facts
    from neuroai.runs.toml_text import dumps

    report("decode", 0, 1)
    settings = {key: config[key] for key in ("lag", "tail", "c", "seed")}
    decoding = decode_blocks(recording, **settings)
    report("decode", 1, 1)
    targets = int(responses_of(recording).sizes["target"])
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
    }
    methods = [_METHODS.format(targets=targets, lag=config["lag"], tail=config["tail"], c=config["c"])]
    data = data_facts(recording)

    def page(complete: Mapping[str, Any]) -> "Page":
        text = dumps(config)
        drawn = (decoding.categories, decoding.confusion, per_run)
        return decoding_page(DecodingContent(complete, data, methods, text, *drawn))

    return Outcome(summary, methods, page, data)


def _seconds(name: str, value: float) -> float:
    seconds = float(value)
    if not 0 <= seconds < 1e4:
        raise ConfigError(f"{name} = {value}: expected seconds, at least 0")
    return seconds


def _content(recording: "Recording") -> "list[xr.DataArray | str]":
    """What was measured, and when what was shown."""
    events = recording.events
    shown = "" if events is None else repr({str(key): events[key].values.tolist() for key in events})
    return [responses_of(recording), shown]
