"""Fits of more targets than memory holds: block after block, each read when its turn comes."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from neuroai.runs import fitting
from neuroai.runs.config import EncodeConfig
from neuroai.runs.console import Progress
from neuroai.runs.directory import FOLDS
from neuroai.runs.inputs import Inputs
from neuroai.runs.scoring import joined_result, score

if TYPE_CHECKING:
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
        Targets at once; at least their number for a single fit.

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
    if width >= n_targets:
        predictions = fitting.fit_folds(inputs, config, partial, progress)
        readout = fitting.fit_all(inputs, config, partial, progress, partial / "model")
        return predictions, score(inputs, predictions, readout, config), readout
    path = partial / FOLDS / "joined"
    path.unlink(missing_ok=True)
    results = []
    for start in range(0, n_targets, width):
        progress("targets", start, n_targets)
        part = inputs.select(slice(start, start + width))
        name = f"targets-{start:07d}"
        predictions = fitting.fit_folds(part, config, partial / FOLDS / name, progress)
        readout = fitting.fit_all(part, config, partial / FOLDS / name, progress, partial / "model" / name)
        results.append(score(part, predictions, readout, config))
        # Mapped anew for each block: pages of a map that stays open count as memory of this process.
        joined = _map(path, "r+" if start else "w+", inputs.shape)
        joined[:, start : start + width] = predictions
        del joined
    progress("targets", n_targets, n_targets)
    return _map(path, "r", inputs.shape), joined_result(results, inputs), None


def _map(path: Path, mode: Literal["r", "r+", "w+"], shape: tuple[int, int]) -> NDArray[np.float32]:
    mapped: NDArray[np.float32] = np.memmap(path, np.float32, mode, shape=shape)
    return mapped
