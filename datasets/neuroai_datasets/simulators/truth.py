"""What a simulator planted, kept beside the recording in the group ``/truth``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuroai_datasets.recording import Recording

Truth = dict[str, tuple[tuple[str, ...], Any]]
"""Name to dimensions and values."""


def with_truth(recording: Recording, truth: Truth) -> Recording:
    """Return the recording with ``truth`` as its group ``/truth``."""
    import xarray as xr

    tree = recording.tree.copy()
    tree["truth"] = xr.DataTree(xr.Dataset(dict(truth)))
    return replace(recording, tree=tree)
