"""Tetrodes in a rat's hippocampus on a linear track: sorted spikes and video tracking."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from neuroai_datasets.errors import DamagedFileError, DataError
from neuroai_datasets.safe import load_mat, read_bytes

if TYPE_CHECKING:
    from neuroai_datasets.recording import Recording

SPIKES, TRACKING = "spikes.mat", "trajectory.videoPositionTracking"
CLOCK_RATE = 30_000.0
HEADER_END = b"<End settings>\n"
RECORD = np.dtype([("time", "<u4"), ("x", "<u2"), ("y", "<u2"), ("x2", "<u2"), ("y2", "<u2")])


def detect(path: Path) -> bool:
    """Whether `path` holds ``spikes.mat`` and the video tracking."""
    return path.is_dir() and (path / SPIKES).is_file() and (path / TRACKING).is_file()


def read(path: Path) -> Recording:
    """Read the units that have spikes, and the animal's position.

    Parameters
    ----------
    path : Path
        The data set's folder.

    Returns
    -------
    Recording
        ``behaviour["position"]`` is (time, 2) in pixels, 60 Hz; NaN where tracking was lost (x = 0 in
        the file).  Units are labelled by tetrode.
    """
    from neuroai_datasets.recording import Recording

    tetrodes = load_mat(path / SPIKES).get("spikes")
    units = list(_units(tetrodes, ()))
    if not units:
        raise DataError(f"{path / SPIKES}: no unit with spikes in the variable 'spikes'")
    times, xy = read_tracking(path / TRACKING)
    lost = int(np.isnan(xy[:, 0]).sum())
    return Recording.from_spikes(
        [train for _, train in units],
        name=path.name,
        unit="s",
        unit_coords={"tetrode": np.array([_tetrode(place) for place, _ in units])},
        behaviour={"position": (times, xy)},
        attrs={
            "modality": "spikes",
            "provenance": [f"MATLAB cells of {SPIKES}, binary records of {TRACKING}"],
            "repairs": [f"{lost} of {len(xy)} positions lost by the tracker: NaN"] if lost else [],
        },
    )


def read_tracking(path: Path) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Read a Trodes position file.

    Parameters
    ----------
    path : Path
        ASCII header up to ``<End settings>``, then records of time (u4, 30 kHz), x, y, x2, y2 (u2).

    Returns
    -------
    times : ndarray (n,)
        Seconds on the spikes' clock.
    xy : ndarray (n, 2)
        Pixels, NaN where tracking was lost.

    Raises
    ------
    DamagedFileError
        No header, or a record cut off.
    """
    content = read_bytes(path)
    start = content.find(HEADER_END) + len(HEADER_END)
    if start < len(HEADER_END):
        raise DamagedFileError(
            f"{path}: no {HEADER_END.decode().strip()} ends the header: not a tracking file"
        )
    if (len(content) - start) % RECORD.itemsize or len(content) == start:
        raise DamagedFileError(
            f"{path}: {len(content) - start} bytes after the header, "
            f"expected records of {RECORD.itemsize} bytes"
        )
    records = np.frombuffer(content, RECORD, offset=start)
    xy = np.stack([records["x"], records["y"]], axis=1).astype(np.float64)
    xy[records["x"] == 0] = np.nan
    return records["time"] / CLOCK_RATE, xy


def _units(value: Any, place: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], npt.NDArray[np.float64]]]:
    """Walk the ragged cells; yield where each unit with spikes was found, and its times."""
    if isinstance(value, dict):
        times = np.asarray(value.get("time", []), dtype=np.float64).ravel()
        if times.size:
            yield place, times
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _units(item, (*place, number))


def _tetrode(place: tuple[int, ...]) -> int:
    """Return the number of the tetrode, from 1: the last but one cell on the way to a unit."""
    return place[-2] + 1 if len(place) > 1 else 1
