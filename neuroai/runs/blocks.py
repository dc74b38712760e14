"""Fits of more targets than memory holds, or shared among processes: blocks of targets, read when needed."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from neuroai.runs import fitting
from neuroai.runs.analysis import silent
from neuroai.runs.config import EncodeConfig
from neuroai.runs.console import Progress
from neuroai.runs.directory import FOLDS
from neuroai.runs.inputs import Inputs
from neuroai.runs.scoring import joined_result, score

if TYPE_CHECKING:
    from neuroai.encoders.features import FeatureMaps
    from neuroai.encoders.readouts.base import Readout
    from neuroai.encoders.result import EncodingResult


def fit_and_score(
    inputs: Inputs, config: EncodeConfig, partial: Path, progress: Progress, width: int
) -> "tuple[NDArray[np.float32], EncodingResult, Readout | None]":
    """Fit every fold and all rows, and score; in blocks of targets where they are too many at once.

    Parameters
    ----------
    inputs : Inputs
        Features, responses and folds.
    config : EncodeConfig
        Names the readout.
    partial : Path
        Directory of the run in preparation; models go to its ``model/``, one folder a block if there
        are several.
    progress : callable
        Called as ``progress(stage, done, total)``.
    width : int
        Targets at once; at least their number for a single fit. Workers take as many or fewer.

    Returns
    -------
    predictions : array of shape (n_samples, n_targets)
        On disk where there are several blocks.
    scores : EncodingResult
        Of all targets.
    readout : Readout or None
        Fitted to all rows; None where there are several.
    """
    n_targets = inputs.shape[1]
    if width >= n_targets and config.workers == "1":
        predictions = fitting.fit_folds(inputs, config, partial, progress)
        readout = fitting.fit_all(inputs, config, partial, progress, partial / "model")
        return predictions, score(inputs, predictions, readout, config), readout
    path = partial / FOLDS / "joined"
    path.unlink(missing_ok=True)
    results = {}
    for start, (predictions, scores) in _blocks(inputs, config, partial, progress, width):
        results[start] = scores
        # Mapped anew for each block: pages of a map that stays open count as memory of this process.
        joined = _map(path, "r+" if path.exists() else "w+", inputs.shape)
        joined[:, start : start + predictions.shape[1]] = predictions
        del joined
    in_order = [results[start] for start in sorted(results)]
    return _map(path, "r", inputs.shape), joined_result(in_order, inputs), None


def _blocks(
    inputs: Inputs, config: EncodeConfig, partial: Path, progress: Progress, width: int
) -> "Iterator[tuple[int, tuple[NDArray[np.float32], EncodingResult]]]":
    """First target, predictions and scores of each block, as they are done."""
    n_targets = inputs.shape[1]
    if config.workers == "1":
        for start in range(0, n_targets, width):
            progress("targets", start, n_targets)
            part = inputs.select(slice(start, start + width))
            yield start, _fit_block(inputs.features, part, config, partial, start, progress)
        progress("targets", n_targets, n_targets)
        return
    from neuroai.runs.sharding import open_client, share_out

    with open_client(config.workers) as client:
        width = min(width, -(-n_targets // max(1, len(client.nthreads()))))
        starts = range(0, n_targets, width)
        parts = [
            {
                "part": replace(inputs.select(slice(start, start + width)), features=[]),
                "config": config,
                "partial": partial.absolute(),
                "start": start,
            }
            for start in starts
        ]
        progress("targets", 0, n_targets)
        done = share_out(
            client,
            _fit_block,
            inputs.features,
            parts,
            lambda ended: progress("targets", min(ended * width, n_targets), n_targets),
        )
        for number, found in done:
            yield starts[number], found


def _fit_block(
    features: "list[FeatureMaps]",
    part: Inputs,
    config: EncodeConfig,
    partial: Path,
    start: int,
    progress: Progress = silent,
) -> "tuple[NDArray[np.float32], EncodingResult]":
    part = replace(part, features=features)
    name = f"targets-{start:07d}"
    predictions = fitting.fit_folds(part, config, partial / FOLDS / name, progress)
    readout = fitting.fit_all(part, config, partial / FOLDS / name, progress, partial / "model" / name)
    return predictions, score(part, predictions, readout, config)


def _map(path: Path, mode: Literal["r", "r+", "w+"], shape: tuple[int, int]) -> NDArray[np.float32]:
    mapped: NDArray[np.float32] = np.memmap(path, np.float32, mode, shape=shape)
    return mapped
