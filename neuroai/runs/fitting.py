"""Fitting fold by fold, so that what is finished survives an interruption."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from neuroai.errors import ConfigError
from neuroai.runs.config import EncodeConfig
from neuroai.runs.directory import FOLDS, write_text
from neuroai.runs.inputs import Inputs
from neuroai.runs.parsing import split_readout

if TYPE_CHECKING:
    from neuroai.encoders.readouts.base import Readout

Progress = Callable[[str, int, int], None]


def check_device(name: str) -> None:
    """Refuse a device that is not here, before anything is computed.

    Raises
    ------
    ConfigError
        With what to use instead.
    """
    import torch

    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"found the device {name!r}, expected cpu, cuda or cuda:NUMBER") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"found the device {name!r}, but there are {torch.cuda.device_count()} CUDA devices here "
            "(`neuroai doctor` says why); use --device cpu"
        )


def check_readout(text: str) -> dict[str, Any]:
    """Return the options in ``NAME:key=value,...`` as the readout takes them, before anything is computed.

    Raises
    ------
    ConfigError
        For an option that the readout does not have, or a value of the wrong kind.

    Examples
    --------
    >>> check_readout("gaussian:sizes=0.7,seed=2")
    {'sizes': [0.7], 'seed': 2}
    """
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    from neuroai.encoders.readouts.registry import READOUTS, make_readout

    name, options = split_readout(text)
    make_readout(name, **options)
    hints = get_type_hints(READOUTS[name].__init__)
    taken = {}
    for key, value in options.items():
        kind = TypeAdapter(hints[key], config=ConfigDict(arbitrary_types_allowed=True))
        several = isinstance(getattr(READOUTS[name](), key), tuple)
        try:
            taken[key] = kind.validate_python([value] if several else value)
        except ValidationError as error:
            raise ConfigError(
                f"readout {name}: {key} = {value!r} cannot be used: {error.errors()[0]['msg'].lower()}"
            ) from error
    return taken


def build_readout(config: EncodeConfig, inputs: Inputs) -> "Readout":
    """Build the readout of a configuration; an option it does not know is an error.

    Raises
    ------
    ConfigError
        For an unknown readout or option.
    """
    from neuroai.encoders.readouts.registry import READOUTS, make_readout

    name, _ = split_readout(config.readout)
    options = check_readout(config.readout)
    known = READOUTS[name]._get_param_names()
    common: dict[str, Any] = {"seed": config.seed, "random_state": config.seed, "device": config.device}
    if config.alphas:
        common["alphas"] = list(config.alphas)
    if inputs.recording.rois is not None:
        rois = inputs.recording.rois
        common["rois"] = {str(roi): np.asarray(rois.sel(roi=roi).values) for roi in rois["roi"].values}
    return make_readout(name, **{key: value for key, value in common.items() if key in known}, **options)


def fit_folds(inputs: Inputs, config: EncodeConfig, partial: Path, progress: Progress) -> NDArray[np.float32]:
    """Fit every fold that is not finished yet and join the predictions.

    Parameters
    ----------
    inputs : Inputs
        Features, responses and folds.
    config : EncodeConfig
        Names the readout.
    partial : Path
        Directory that keeps the finished folds.
    progress : callable
        Called as ``progress("folds", done, total)`` and by the readout for its own stages.

    Returns
    -------
    array of shape (n_samples, n_targets)
        Prediction of each row by the model that was not fitted to it; NaN for rows never tested.
    """
    from neuroai.encoders.scores import as_numpy

    joined = np.full(inputs.shape, np.nan, dtype=np.float32)
    total = len(inputs.folds.splits)
    for number, (train, test) in enumerate(inputs.folds.splits):
        progress("folds", number, total)
        prediction = _finished(partial, number, (test.size, inputs.shape[1]))
        if prediction is None:
            started = time.perf_counter()
            readout = _fitted(inputs, config, train, progress, partial / FOLDS / f"{number:04d}")
            found = readout.predict(_rows(inputs, test, config.device))
            prediction = as_numpy(found).astype(np.float32)
            _keep(partial, number, prediction, time.perf_counter() - started)
        joined[test] = prediction
    progress("folds", total, total)
    return joined


def fit_all(
    inputs: Inputs, config: EncodeConfig, partial: Path, progress: Progress, model: Path
) -> "Readout":
    """Fit the readout to every row, and save it under ``model``."""
    rows = np.arange(inputs.shape[0])
    readout = _fitted(inputs, config, rows, progress, partial / FOLDS / "all")
    readout.save(model)
    return readout


def _fitted(
    inputs: Inputs, config: EncodeConfig, rows: NDArray[np.int64], progress: Progress, checkpoints: Path
) -> "Readout":
    readout = build_readout(config, inputs)
    resumable = "checkpoints" in readout.get_params(deep=False)
    if resumable:
        readout.set_params(checkpoints=checkpoints)
    readout.fit(
        _rows(inputs, rows, config.device),
        _placed(inputs.responses[rows], config.device),
        groups=inputs.folds.groups[rows],
        progress=progress,
    )
    # Where the state of the fit lay is no property of the model.
    return readout.set_params(checkpoints=None) if resumable else readout


def _rows(inputs: Inputs, rows: NDArray[np.int64], device: str) -> Any:
    parts = [_placed(maps[rows].values, device) for maps in inputs.features]
    return parts[0] if len(parts) == 1 else parts


def _placed(array: NDArray[Any], device: str) -> Any:
    """Return the array itself for the CPU, else a tensor on the device: readouts follow their input."""
    if device == "cpu":
        return array
    import torch

    return torch.as_tensor(np.ascontiguousarray(array)).to(device)


def _keep(partial: Path, number: int, prediction: NDArray[np.float32], seconds: float) -> None:
    """Keep a finished fold: the array first, then the note that vouches for it."""
    from neuroai_datasets.store import write_atomic

    data = np.ascontiguousarray(prediction).tobytes()
    path = partial / FOLDS / f"{number:04d}.f32"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, lambda part: _write(part, data))
    digest = hashlib.sha256(data).hexdigest()
    note = {"shape": list(prediction.shape), "sha256": digest, "seconds": round(seconds, 3)}
    write_text(path.with_suffix(".json"), json.dumps(note) + "\n")


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _finished(partial: Path, number: int, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    path = partial / FOLDS / f"{number:04d}.f32"
    note_path = path.with_suffix(".json")
    if not note_path.is_file():
        return None
    note: Mapping[str, Any] = json.loads(note_path.read_text(encoding="utf-8"))
    data = path.read_bytes()
    if tuple(note["shape"]) != shape or hashlib.sha256(data).hexdigest() != note["sha256"]:
        return None
    return np.frombuffer(data, dtype=np.float32).reshape(shape)
