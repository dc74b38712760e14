"""Fitted readouts on disk: ``readout.json`` beside ``weights.safetensors``, no executable content."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from neuroai.errors import CheckpointError

_FORMAT = 1
_JSON, _WEIGHTS = "readout.json", "weights.safetensors"
_EXPECTED: dict[str, tuple[type, ...]] = {
    "readout": (str,),
    "options": (dict,),
    "numpy": (bool,),
    "n_targets": (int,),
    "layers": (list, type(None)),
    "map_shape": (list, type(None)),
}


def write_folder(folder: Path, description: dict[str, Any], arrays: dict[str, torch.Tensor]) -> None:
    """Write a readout; the description comes last, so that a folder with one is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _JSON).unlink(missing_ok=True)
    partial = folder / f".{_WEIGHTS}.partial"
    save_file({key: value.detach().cpu().contiguous() for key, value in arrays.items()}, partial)
    os.replace(partial, folder / _WEIGHTS)
    partial = folder / f".{_JSON}.partial"
    partial.write_text(json.dumps({"format": _FORMAT, **description}, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, folder / _JSON)


def read_folder(folder: Path, readout: str | None) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Read a readout's description and arrays; ``readout`` is the kind expected, None for any.

    Raises
    ------
    CheckpointError
        A file is missing or damaged, or the folder holds another kind of readout.
    """
    try:
        description = json.loads((folder / _JSON).read_text(encoding="utf-8"))
        arrays = load_file(folder / _WEIGHTS)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{error.filename} is missing; expected a folder written by a readout's save()."
        ) from error
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(
            f"The readout saved in {folder} is damaged ({error}); fit and save it again."
        ) from error
    if not isinstance(description, dict) or description.get("format") != _FORMAT:
        raise CheckpointError(
            f"{folder / _JSON} is not a readout of format {_FORMAT}; fit and save it again."
        )
    for key, kinds in _EXPECTED.items():
        if not isinstance(description.get(key), kinds):
            raise CheckpointError(
                f"{folder / _JSON} has no usable entry {key!r}; fit and save the readout again."
            )
    found = description["readout"]
    if readout is not None and found != readout:
        raise CheckpointError(
            f"{folder} holds a {found!r} readout; expected {readout!r}. Load it with its own class."
        )
    return description, arrays
