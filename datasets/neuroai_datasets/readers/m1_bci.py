"""Motor cortex under brain-machine-interface control: spike counts by target direction."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroai_datasets.errors import DataError
from neuroai_datasets.readers.array_source import walk_struct
from neuroai_datasets.readers.grouped import with_group, with_sample_coords
from neuroai_datasets.safe import load_mat
from neuroai_datasets.selections import Selection, resolve_selection

if TYPE_CHECKING:
    import xarray as xr

    from neuroai_datasets.recording import Recording

FILE = "exampleData.mat"
BLOCKS = Selection(choices=["before", "after"], default="before", help="before or after learning")
DECODERS = ("intuitiveMapping", "perturbedMapping")


def detect(path: Path) -> bool:
    """Whether `path` holds ``exampleData.mat``."""
    return path.is_dir() and (path / FILE).is_file()


def read(path: Path, **selection: object) -> Recording:
    """Read one block.

    Parameters
    ----------
    path : Path
        The data set's folder.
    **selection
        ``block="before"`` or ``"after"`` learning.

    Returns
    -------
    Recording
        552 trials (gathered 45 ms bins, not continuous time) x 86 units of spike counts; the sample
        coordinate ``direction`` is the target's angle in degrees.  Group ``/decoders`` holds the two
        decoders ``v_t = M1 v_{t-1} + M2 u_t + m0``.
    """
    from neuroai_datasets.recording import Recording

    block = resolve_selection({"block": BLOCKS}, selection, path.name)["block"]
    content = load_mat(path / FILE)
    clouds = walk_struct(content, f"{block}Learning.clouds", str(path / FILE))
    angles = np.asarray(walk_struct(clouds, "angles", str(path / FILE)), dtype=np.float64).ravel()
    counts = walk_struct(clouds, "spikes", str(path / FILE))
    if len(angles) != len(counts) or len({np.shape(cell)[:1] for cell in counts}) != 1:
        raise DataError(f"{path / FILE}: {len(counts)} clouds of {len(angles)} directions do not fit")
    recording = Recording.from_arrays(
        np.concatenate([np.asarray(cell).T for cell in counts]),
        name=path.name,
        attrs={
            "modality": "spikes",
            "subject": str(walk_struct(content, "expParams.monkName", str(path / FILE))),
            "session": str(walk_struct(content, "expParams.expDate", str(path / FILE))),
            "block": block,
            "bin_seconds": 0.045,
            "provenance": [f"MATLAB {FILE}, {block} learning"],
        },
    )
    direction = np.repeat(angles, [np.shape(cell)[1] for cell in counts])
    return with_group(
        with_sample_coords(recording, {"direction": direction}),
        "decoders",
        _decoders(content, str(path / FILE)),
    )


def _decoders(content: dict[str, Any], where: str) -> xr.Dataset:
    """Stack the intuitive and the perturbed decoder."""
    import xarray as xr

    axes = {"M1": ("velocity", "previous"), "M2": ("velocity", "target"), "m0": ("velocity",)}
    stacked = {}
    for name, dims in axes.items():
        parts = [
            np.asarray(walk_struct(content, f"expParams.{mapping}.{name}", where)) for mapping in DECODERS
        ]
        values = np.stack([part.reshape(part.shape[: len(dims)]) for part in parts])
        stacked[name] = (("mapping", *dims), values)
    return xr.Dataset(stacked, coords={"mapping": ["intuitive", "perturbed"]})
