"""One file for a memory: safetensors whose header carries settings in JSON and a SHA-256 of everything."""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from neuroai.errors import CheckpointError

__all__ = ["read_memory", "write_memory"]

_FORMAT = "neuroai-memory-1"


def write_memory(
    path: Path, kind: str, settings: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]]
) -> None:
    """Write a file that is complete or absent; an older one stays until the new one is on disk.

    Parameters
    ----------
    path : Path
        In an existing folder.
    kind : str
        Name of the class.
    settings : mapping
        What JSON holds exactly.
    tensors : mapping of name to array

    Raises
    ------
    CheckpointError
        If it cannot be written.
    """
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    text = json.dumps(settings, sort_keys=True)
    header = {"format": _FORMAT, "kind": kind, "settings": text, "sha256": _digest(kind, text, arrays)}
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
            temporary = Path(file.name)
            file.write(save(arrays, header))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise CheckpointError(
            f"{path} could not be written ({error}); what was there before is intact. "
            "Choose an existing folder with free space"
        ) from error


def read_memory(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Settings and arrays of a file that `write_memory` wrote.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, or of another kind.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); expected a file saved by {kind}") from error
    if header.get("format") != _FORMAT:
        raise CheckpointError(
            f"{path} has format {header.get('format')!r}; expected {_FORMAT!r}, a file saved by {kind}"
        )
    if header.get("kind") != kind:
        raise CheckpointError(f"{path} holds a {header.get('kind')}; expected a {kind}")
    text = header.get("settings", "")
    if header.get("sha256") != _digest(kind, text, arrays):
        raise CheckpointError(f"{path} is damaged: its content does not match its SHA-256. Use another copy")
    settings = json.loads(text)
    if not isinstance(settings, dict):
        raise CheckpointError(f"{path} holds settings of type {type(settings).__name__}; expected a table")
    return settings, arrays


def _digest(kind: str, settings: str, arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    digest = hashlib.sha256(f"{kind}\n{settings}\n".encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()
