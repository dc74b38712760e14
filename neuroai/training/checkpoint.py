"""Checkpoints that survive a crash at any instruction: a folder that is complete or not there.

A checkpoint ``step-000000042`` holds ``*.safetensors``, ``state.json`` and, written last,
``manifest.json`` with the size and SHA-256 of the others. It is written under a temporary name, every
file flushed to disk, and renamed at the end.
"""

import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from neuroai.errors import CheckpointError

__all__ = ["Checkpoint", "load_newest", "save_checkpoint"]

_FORMAT = 1
_KEPT = 2
_NAME = re.compile(r"step-(\d{9,})")
_TEMPORARY = ".partial-"
_MANIFEST, _STATE = "manifest.json", "state.json"
_CHUNK = 2**22


@dataclass(frozen=True)
class Checkpoint:
    """Everything a run needs to go on.

    Attributes
    ----------
    step : int
        Optimiser steps done.
    tensors : mapping of group to mapping of name to Tensor
        One safetensors file a group.
    state : mapping
        What JSON can hold exactly (Python's shortest float text reads back to the same bits).
    """

    step: int
    tensors: Mapping[str, Mapping[str, Tensor]]
    state: Mapping[str, Any] = field(default_factory=dict)


def save_checkpoint(root: Path, checkpoint: Checkpoint) -> Path:
    """Write ``root/step-<step>`` so that it is complete or absent, then keep the two newest.

    Parameters
    ----------
    root : Path
        Folder of this run's checkpoints, made if missing. One writer at a time.
    checkpoint : Checkpoint

    Returns
    -------
    Path
        The folder written.

    Raises
    ------
    CheckpointError
        If it cannot be written (full disk, read-only folder); earlier checkpoints stay as they are.

    Examples
    --------
    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     saved = save_checkpoint(Path(folder), Checkpoint(3, {"model": {"w": torch.ones(2)}}, {"lr": 0.1}))
    ...     saved.name, load_newest(Path(folder)).state["lr"]
    ('step-000000003', 0.1)
    """
    final = root / f"step-{checkpoint.step:09d}"
    partial = root / f"{_TEMPORARY}{os.getpid()}-{final.name}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        _remove_partial(root)
        partial.mkdir()
        _write_files(partial, checkpoint)
        if final.exists():
            shutil.rmtree(final)
        os.replace(partial, final)
        _flush(root)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise CheckpointError(_unwritten(final, checkpoint, error)) from error
    for old in _folders(root)[_KEPT:]:
        shutil.rmtree(old)
    return final


def load_newest(root: Path) -> Checkpoint | None:
    """Read the newest complete checkpoint under ``root``; None if there never was one.

    A newer one that fails its checksums is named in a warning and passed over.

    Raises
    ------
    CheckpointError
        If there are checkpoints and all are damaged.
    """
    damage = []
    for folder in _folders(root):
        try:
            checkpoint = _read(folder)
        except (OSError, ValueError, SafetensorError, CheckpointError) as error:
            damage.append(f"{folder.name}: {error}")
            continue
        if damage:
            warnings.warn(
                f"resuming from {folder}; newer checkpoints are damaged: {'; '.join(damage)}", stacklevel=2
            )
        return checkpoint
    if damage:
        raise CheckpointError(
            f"no checkpoint in {root} is usable ({'; '.join(damage)}): delete the folder to start again"
        )
    return None


def _unwritten(final: Path, checkpoint: Checkpoint, error: Exception) -> str:
    """What happened, how much room was needed and is there, and what a run can resume from."""
    n_bytes = sum(x.nbytes for group in checkpoint.tensors.values() for x in group.values())
    told = f"checkpoint {final} could not be written ({error}); its tensors take {n_bytes:,} bytes"
    if final.parent.is_dir():
        told += f", {shutil.disk_usage(final.parent).free:,} are free there"
    whole = next((folder for folder in _folders(final.parent) if _is_whole(folder)), None)
    told += f"; {whole.name} is intact" if whole else "; there is no earlier checkpoint"
    return f"{told}. Free disk space or choose another folder, then run again to resume"


def _is_whole(folder: Path) -> bool:
    """Whether a checkpoint agrees with its checksums."""
    try:
        _read(folder)
    except (OSError, ValueError, SafetensorError, CheckpointError):
        return False
    return True


def _folders(root: Path) -> list[Path]:
    """Finished checkpoints, newest first."""
    if not root.is_dir():
        return []
    found = [(int(match[1]), path) for path in root.iterdir() if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found, reverse=True)]


def _remove_partial(root: Path) -> None:
    for path in root.glob(f"{_TEMPORARY}*"):
        shutil.rmtree(path)


def _write_files(folder: Path, checkpoint: Checkpoint) -> None:
    for group, tensors in checkpoint.tensors.items():
        path = folder / f"{group}.safetensors"
        # Copies: safetensors refuses tensors that share memory, as tied weights do.
        save_file({name: x.detach().to("cpu", copy=True).contiguous() for name, x in tensors.items()}, path)
    state = {"format": _FORMAT, "step": checkpoint.step, "state": checkpoint.state}
    (folder / _STATE).write_text(json.dumps(state), encoding="utf-8")
    manifest = {}
    for path in sorted(folder.iterdir()):
        _flush(path)
        manifest[path.name] = _entry(path)
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    _flush(folder / _MANIFEST)
    _flush(folder)


def _read(folder: Path) -> Checkpoint:
    manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    if not isinstance(manifest, dict) or _STATE not in manifest:
        raise CheckpointError(f"{_MANIFEST} does not name {_STATE}")
    for name, entry in manifest.items():
        path = folder / name
        if path.parent != folder or entry != _entry(path):
            raise CheckpointError(f"{name} does not match its checksum")
    content = json.loads((folder / _STATE).read_text(encoding="utf-8"))
    if content.get("format") != _FORMAT:
        raise CheckpointError(f"format {content.get('format')!r}, expected {_FORMAT}")
    groups = [Path(name).stem for name in manifest if name.endswith(".safetensors")]
    tensors = {group: load_file(folder / f"{group}.safetensors") for group in groups}
    return Checkpoint(int(content["step"]), tensors, content["state"])


def _entry(path: Path) -> dict[str, Any]:
    """Line of a manifest: size and checksum of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return {"bytes": path.stat().st_size, "sha256": digest.hexdigest()}


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
