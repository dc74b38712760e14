"""Additions to a recording's tree that `Recording.from_arrays` has no argument for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr

    from neuroai_datasets.recording import Recording
    from neuroai_datasets.stimulus import Stimulus


def with_sample_coords(recording: Recording, coords: Mapping[str, Any]) -> Recording:
    """Return `recording` with further labels of its samples, e.g. the direction of a target."""
    tree = recording.tree.copy()
    group = tree["responses"].to_dataset()
    tree["responses"] = type(tree)(
        group.assign_coords({name: ("sample", values) for name, values in coords.items()})
    )
    return replace(recording, tree=tree)


def with_group(recording: Recording, name: str, dataset: xr.Dataset) -> Recording:
    """Return `recording` with a further group in its tree."""
    tree = recording.tree.copy()
    tree[name] = type(tree)(dataset)
    return replace(recording, tree=tree)


def without_responses(
    name: str, groups: Mapping[str, xr.Dataset], stimulus: Stimulus | None, attrs: Mapping[str, Any]
) -> Recording:
    """Make a recording of stimuli and derived tables only (labels, dissimilarities)."""
    import xarray as xr

    from neuroai_datasets.recording import Recording

    root = xr.Dataset(attrs={"name": name, "provenance": [], "repairs": [], **attrs})
    return Recording(xr.DataTree.from_dict({"/": root, **groups}), stimulus)
