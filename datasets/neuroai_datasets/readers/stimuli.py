"""Open the stimulus that a recording card names, and find pictures that are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from neuroai_datasets import safe
from neuroai_datasets.errors import CardError
from neuroai_datasets.readers.array_source import HDF5_SUFFIXES, in_order, locate, read_array
from neuroai_datasets.recording_card import ArraySource, StimulusSource
from neuroai_datasets.stimulus import (
    PICTURE_SUFFIXES,
    ArrayStimulus,
    Hdf5Images,
    ImageFolder,
    Stimulus,
    ZipImages,
    natural_key,
)

FRAME_AXES = ("frame", "height", "width", "colour")


def open_stimulus(folder: Path, source: StimulusSource, chosen: Mapping[str, str]) -> Stimulus:
    """Open pictures or frames, lazily where the format allows it.

    Parameters
    ----------
    folder : Path
        The card's folder.
    source : StimulusSource
        File, key, dims.
    chosen : mapping
        Selections.

    Raises
    ------
    CardError
        If the file is not there or is not a source of pictures.
    """
    path = locate(folder, source.file, chosen)
    if path.is_dir():
        return ImageFolder(path)
    if path.suffix.lower() == ".zip":
        return ZipImages(path)
    plain = source.dims is None or list(source.dims) == list(FRAME_AXES)[: len(source.dims)]
    if path.suffix.lower() in HDF5_SUFFIXES and plain and source.key is not None:
        return Hdf5Images(path, source.key)
    array = read_array(folder, ArraySource(file=source.file, key=source.key), chosen, "stimulus")
    dims = source.dims or FRAME_AXES[: array.ndim]
    axes = FRAME_AXES if "colour" in dims else FRAME_AXES[:3]
    if not {"frame", "height", "width"} <= set(dims):
        raise CardError(f"stimulus: dims = {list(dims)} should name frame, height and width (and colour)")
    return ArrayStimulus(in_order(array, dims, axes, "stimulus"))


def first_of_identical(path: Path) -> npt.NDArray[np.int64]:
    """For each picture of a zip or folder the first one with the same bytes.

    Parameters
    ----------
    path : Path
        As given to `ZipImages` or `ImageFolder`.

    Returns
    -------
    ndarray of int64 (n,)
        ``i`` for pictures that are new, the index of the first copy for the others.

    Notes
    -----
    Reads the files once in their encoded form (4 MB a thousand pictures of 112 x 112).
    """
    first: dict[bytes, int] = {}
    index = []
    if path.is_dir():
        files = sorted(
            (p for p in path.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES),
            key=lambda p: natural_key(p.name),
        )
        contents = (safe.read_bytes(p) for p in files)
    else:
        archive = safe.open_zip(path)
        names = sorted(
            (n for n in archive.names if Path(n).suffix.lower() in PICTURE_SUFFIXES), key=natural_key
        )
        contents = (archive.read(name) for name in names)
    for position, content in enumerate(contents):
        index.append(first.setdefault(hashlib.sha256(content).digest(), position))
    return np.array(index, dtype=np.int64)
