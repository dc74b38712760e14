"""Selecting samples and targets of every group that has them."""

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from neuroai_datasets.errors import DataError
from neuroai_datasets.spikes import SpikeTrains


def select_tree(tree: xr.DataTree, samples: Any, targets: Any) -> xr.DataTree:
    """A tree whose ``sample`` and ``target`` (or ``unit``) axes are indexed."""
    groups = {node.path: node.to_dataset(inherit=False) for node in tree.subtree}
    if samples is not None:
        groups = _index(groups, "sample", samples)
    if targets is not None:
        if any("target" in g.dims for g in groups.values()):
            groups = _index(groups, "target", targets)
        elif "/spikes" in groups:
            groups["/spikes"] = _select_units(groups["/spikes"], targets)
        else:
            raise DataError("the recording has no targets to select")
    return xr.DataTree.from_dict(groups)


def _index(groups: dict[str, xr.Dataset], axis: str, wanted: Any) -> dict[str, xr.Dataset]:
    sizes = {g.sizes[axis] for g in groups.values() if axis in g.dims}
    if not sizes:
        raise DataError(f"the recording has no axis {axis!r} to select from")
    key = wanted if isinstance(wanted, slice) else as_positions(wanted, sizes.pop(), axis)
    out = {p: g.isel({axis: key}) if axis in g.dims else g for p, g in groups.items()}
    if axis == "sample" and "/responses" in out:
        out["/responses"]["responses"].attrs.pop("n_constant", None)
    return out


def as_positions(wanted: npt.ArrayLike, n: int, axis: str) -> npt.NDArray[np.int64]:
    """Positions from integers or a boolean mask, checked against the axis."""
    index = np.atleast_1d(np.asarray(wanted))
    if index.size == 0:
        return np.empty(0, dtype=np.int64)
    if index.ndim != 1 or index.dtype.kind not in "iub":
        raise DataError(
            f"{axis} selection is {index.dtype} {index.shape}: expected integers or booleans in one axis"
        )
    if index.dtype.kind == "b":
        if len(index) != n:
            raise DataError(f"{axis} mask has {len(index)} entries: expected {n}")
        return np.flatnonzero(index)
    if index.min() < -n or index.max() >= n:
        raise DataError(f"{axis} selection reaches {int(index.min())}..{int(index.max())}: there are {n}")
    return (index.astype(np.int64)) % n


def _select_units(group: xr.Dataset, wanted: Any) -> xr.Dataset:
    n_units = group.sizes["unit"]
    units = np.arange(n_units)[wanted] if isinstance(wanted, slice) else as_positions(wanted, n_units, "unit")
    chosen = SpikeTrains(group["times"], group["counts"].values).select(units)
    labels = group.drop_vars("times").isel(unit=units)
    return labels.assign(times=("spike", chosen.times))
