"""Three fMRI examples in one folder: an event-related series, region series, a crop of volumes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from neuroai_datasets.readers import nifti
from neuroai_datasets.readers.arrays import read_with_card
from neuroai_datasets.readers.grouped import with_group
from neuroai_datasets.recording_card import ArraySource, EventsSource, RecordingCard
from neuroai_datasets.safe import read_table
from neuroai_datasets.selections import Selection, resolve_selection

if TYPE_CHECKING:
    from neuroai_datasets.recording import Recording

NUISANCE = ("WM", "Vent", "Brain")
PARTS = Selection(choices=["event_related", "rois", "volumes"], default="event_related")
EVENT_RELATED = RecordingCard(
    name="fmri_timeseries",
    modality="fmri",
    period=2.0,
    responses=ArraySource(file="event_related_fmri.csv", columns=["bold"]),
    events=EventsSource(codes=ArraySource(file="event_related_fmri.csv", columns=["events"])),
)


def detect(path: Path) -> bool:
    """Whether `path` holds the three files."""
    names = ("fmri_timeseries.csv", "event_related_fmri.csv", "fmri1.nii.gz")
    return path.is_dir() and all((path / name).is_file() for name in names)


def read(path: Path, **selection: object) -> Recording:
    """Read one part of the folder.

    Parameters
    ----------
    path : Path
        The data set's folder.
    **selection
        ``part="event_related"`` (one voxel, six event types, TR 2 s), ``"rois"`` (28 regions, TR
        1.89 s; white matter, ventricles and whole brain as the group ``/nuisance``) or ``"volumes"``
        (a crop of 10 x 10 x 18 voxels, TR 1.35 s).
    """
    part = resolve_selection({"part": PARTS}, selection, path.name)["part"]
    if part == "event_related":
        return read_with_card(path, EVENT_RELATED, {})
    if part == "volumes":
        return nifti.read(path / "fmri1.nii.gz")
    return _regions(path)


def _regions(path: Path) -> Recording:
    import xarray as xr

    table = read_table(path / "fmri_timeseries.csv")
    card = RecordingCard(
        name="fmri_timeseries",
        modality="fmri",
        period=1.89,
        responses=ArraySource(
            file="fmri_timeseries.csv", columns=[name for name in table if name not in NUISANCE]
        ),
    )
    recording = read_with_card(path, card, {})
    nuisance = xr.Dataset({name: ("sample", table[name]) for name in NUISANCE if name in table})
    return with_group(recording, "nuisance", nuisance)
