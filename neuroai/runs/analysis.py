"""What every analysis command does around its own work: one run directory, whole or not at all."""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroai.errors import ConfigError, DataError
from neuroai.runs import directory

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import ArrayLike, NDArray

    from neuroai.report.page import Page
    from neuroai_datasets import Recording

#: Bytes of an array that are read at a time for its digest.
_HASHED_BYTES = 2**25
#: Bytes of a recording's name in the name of a run directory.
_LONGEST_NAME = 100


@dataclass(frozen=True)
class Outcome:
    """What an analysis found, ready to be written.

    Parameters
    ----------
    summary : mapping
        For ``result.json``; seconds and peak memory are added.
    methods : sequence of str
        Paragraphs that say what was done.
    page : callable
        From the complete summary to the report.
    data : mapping
        Title, citation and licence of what was analysed.
    tree : DataTree, optional
        For ``result.nc``.
    model : mapping of str to array
        For ``model/parameters.safetensors``.
    """

    summary: Mapping[str, Any]
    methods: list[str]
    page: "Callable[[Mapping[str, Any]], Page]"
    data: Mapping[str, Any] = field(default_factory=dict)
    tree: "xr.DataTree | None" = None
    model: "Mapping[str, NDArray[Any]]" = field(default_factory=dict)


def carry_out(
    command: str,
    name: str,
    config: Mapping[str, Any],
    work: Callable[[Path], Outcome],
    *,
    content: "Iterable[ArrayLike | str]" = (),
    out: str | os.PathLike[str] | None = None,
) -> directory.Run:
    """Do the work of a command and write its run directory, or return the run that is there already.

    Parameters
    ----------
    command : str
        Its name, for the default folder.
    name : str
        Of what is analysed; may be empty.
    config : mapping
        Resolved options, as ``config.toml`` will hold them; ``seed`` among them where there is one.
    work : callable
        From the directory in preparation (for checkpoints under ``folds/``) to the outcome.
    content : iterable of arrays and str
        What was measured: runs on other data differ in their digest.
    out : path, optional
        The run directory; default ``runs/COMMAND-NAME-DIGEST``, long names cut.

    Returns
    -------
    Run

    Raises
    ------
    ConfigError
        If ``out`` holds something else.
    InterruptedRunError
        On Ctrl-C.
    """
    started = (time.perf_counter(), time.process_time())
    settled = {key: value for key, value in config.items() if value is not None}
    digest = digest_of(settled, content)
    words = [word for word in (command, _short(Path(name).name), digest[:8]) if word]
    target = Path(out) if out is not None else Path("runs") / "-".join(words)
    if (found := directory.existing(target, digest)) is not None:
        return found
    with directory.staging(target, digest) as partial:
        _write(partial, work(partial), command, settled, digest, started)
        directory.finish(partial, target)
    return directory.open_run(target)


def open_recording(
    recording: "str | os.PathLike[str] | Recording", selection: Mapping[str, str], options: Iterable[str]
) -> "tuple[Recording, str]":
    """Open what a command was given: the recording, and what to call it in ``config.toml``.

    Raises
    ------
    ConfigError
        For a selection that the recording does not offer, perhaps a misspelt option.
    DataError
        If it cannot be opened.
    """
    from neuroai.runs.inputs import check_selection
    from neuroai_datasets.loading import load

    if isinstance(recording, (str, os.PathLike)):
        source = os.fspath(recording)
        check_selection(source, selection, sorted(options))
        return load(source, **selection), source
    if selection:
        raise ConfigError(f"unknown option {next(iter(selection))!r}; options: {', '.join(sorted(options))}")
    return recording, recording.name


def responses_of(recording: "Recording") -> "xr.DataArray":
    """Responses (sample, target) of a recording.

    Raises
    ------
    DataError
        If it holds none.
    """
    if recording.responses is None:
        raise DataError(
            f"{recording.name} holds spikes but no responses over samples; bin them first, "
            "for example with SpikeTrains.bin, and make a recording of the counts"
        )
    return recording.responses


def digest_of(config: Mapping[str, Any], content: "Iterable[ArrayLike | str]") -> str:
    """Twelve hexadecimal digits of options and data; large arrays are read in blocks of rows.

    Examples
    --------
    >>> digest_of({"seed": 0}, ["a", [1.0, 2.0]]) == digest_of({"seed": 0}, ["a", [1.0, 2.5]])
    False
    """
    import numpy as np

    found = hashlib.sha256(repr(sorted(config.items(), key=str)).encode())
    for part in content:
        if isinstance(part, str):
            found.update(part.encode())
            continue
        array: Any = part if hasattr(part, "shape") else np.asarray(part)
        found.update(f"{array.shape} {array.dtype}".encode())
        rows = max(1, _HASHED_BYTES // max(1, array.nbytes // max(1, len(array)))) if array.ndim else 1
        for start in range(0, len(array) if array.ndim else 1, rows):
            block = array[start : start + rows] if array.ndim else array
            found.update(np.ascontiguousarray(block).tobytes())
    return found.hexdigest()[:12]


def _short(name: str) -> str:
    """The beginning of a name: file systems take 255 bytes, and the digest tells runs apart."""
    return name.encode()[:_LONGEST_NAME].decode(errors="ignore")


def silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""


def _write(
    partial: Path,
    outcome: Outcome,
    command: str,
    config: Mapping[str, Any],
    digest: str,
    started: tuple[float, float],
) -> None:
    from neuroai.report.page import render
    from neuroai.runs.facts import machine, peak_mib, versions
    from neuroai.runs.reporting import write_page
    from neuroai.runs.toml_text import dumps
    from neuroai_datasets.store import save_tree

    summary = {
        **outcome.summary,
        "seconds": round(time.perf_counter() - started[0], 3),
        "cpu_seconds": round(time.process_time() - started[1], 3),
        "peak_mib": peak_mib(),
    }
    facts = {
        "command": command,
        "digest": digest,
        "seed": config.get("seed"),
        "versions": versions(),
        "machine": machine(),
        "data": dict(outcome.data),
        "methods": list(outcome.methods),
    }
    if outcome.tree is not None:
        save_tree(outcome.tree, partial / "result.nc")
    if outcome.model:
        _save_model(partial / "model" / "parameters.safetensors", outcome.model)
    directory.write_text(partial / "config.toml", dumps(config))
    directory.write_text(partial / "result.json", directory.to_json(summary) + "\n")
    page = outcome.page(summary)
    write_page(partial, render(page), page.figures)
    directory.write_manifest(partial, facts)


def _save_model(path: Path, arrays: "Mapping[str, NDArray[Any]]") -> None:
    import numpy as np
    from safetensors.numpy import save

    from neuroai_datasets.store import write_atomic

    content = save({name: np.ascontiguousarray(value) for name, value in arrays.items()})
    path.parent.mkdir(exist_ok=True)
    write_atomic(path, lambda part: _written(part, content))


def _written(path: Path, content: bytes) -> None:
    path.write_bytes(content)
