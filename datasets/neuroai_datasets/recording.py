"""The one data model: a recording of a brain, with the stimuli and events it was made under."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from neuroai_datasets import _construct, _describe, _volume
from neuroai_datasets._scan import NanPolicy
from neuroai_datasets._select import select_tree
from neuroai_datasets.errors import DataError
from neuroai_datasets.spikes import Repair, SpikeTrains
from neuroai_datasets.stimulus import Stimulus


@dataclass(frozen=True, eq=False, repr=False)
class Recording:
    """Typed accessor of an :class:`xarray.DataTree` that holds one recording.

    Parameters
    ----------
    tree : xarray.DataTree
        Groups ``responses``, ``rois``, ``repeats``, ``events``, ``runs``, ``behaviour/NAME``, ``spikes``,
        ``volume``, each there only when the recording has it; attributes of the root describe the recording.
    stimulus : Stimulus, optional
        Lazy source of pictures, indexed by the ``stimulus`` coordinate of the samples.

    Notes
    -----
    Times are float64 seconds. In recordings of several runs, times of samples and events count from the start
    of their run. Responses are float32 (float64 where given so); they may be lazily backed, then ``.values``
    reads.

    Examples
    --------
    >>> import numpy as np
    >>> r = Recording.from_arrays(np.arange(6.0).reshape(3, 2), name="toy", period=2.0)
    >>> r.sampling, r.period, r.responses.shape
    ('series', 2.0, (3, 2))
    >>> r.select(targets=[1]).responses.values.ravel().tolist()
    [1.0, 3.0, 5.0]
    """

    tree: xr.DataTree
    stimulus: Stimulus | None = None

    @classmethod
    def from_arrays(
        cls,
        responses: Any,
        *,
        name: str,
        period: float | None = None,
        times: npt.ArrayLike | None = None,
        runs: npt.ArrayLike | None = None,
        stimulus: Stimulus | None = None,
        stimulus_index: npt.ArrayLike | None = None,
        target_coords: Mapping[str, npt.ArrayLike] | None = None,
        rois: Mapping[str, npt.ArrayLike] | None = None,
        repeats: npt.ArrayLike | None = None,
        events: Mapping[str, npt.ArrayLike] | None = None,
        behaviour: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]] | None = None,
        mask: npt.ArrayLike | None = None,
        affine: npt.ArrayLike | None = None,
        attrs: Mapping[str, Any] | None = None,
        nan_policy: NanPolicy = "raise",
    ) -> "Recording":
        """Make a recording from arrays.

        Parameters
        ----------
        responses : array-like (n_samples, n_targets)
            Real numbers of any dtype, in memory or lazy (``shape``, ``dtype``, slicing). Integers are taken
            as the values themselves and become float32; scale them first with
            :func:`neuroai_datasets.units.to_float`.
        name : str
            Name of the recording.
        period : float, optional
            Seconds between samples (TR, bin). With it the recording is a series, without it a row is a trial.
        times : array-like (n_samples,), optional
            Seconds from the start of the run; default ``period`` times the sample's number within its run.
        runs : array-like (n_samples,) of int, optional
            Run of each sample.
        stimulus : Stimulus, optional
            Pictures or frames.
        stimulus_index : array-like (n_samples,) of int, optional
            Picture shown at each sample, -1 for none; default sample ``i`` shows picture ``i`` if lengths
            agree.
        target_coords : mapping, optional
            Labels of the targets, each (n_targets,): ``roi``, ``hemisphere``, ``x``, ``y``, ``z`` (mm), ...
        rois : mapping of str to array-like of bool (n_targets,), optional
            Regions; they may overlap or be empty.
        repeats : array-like (n_repeats, n_samples, n_targets), optional
            Single presentations, NaN where missing.
        events : mapping, optional
            Columns ``onset`` and ``duration`` (seconds from the start of the run), ``trial_type``, ``run``,
            others.
        behaviour : mapping of str to (times, values), optional
            Series on their own clocks, seconds.
        mask : array-like of bool (x, y, z), optional
            Voxels that are the targets, in C order.
        affine : array-like (4, 4), optional
            Voxel index to mm.
        attrs : mapping, optional
            ``title``, ``citation``, ``licence``, ``subject``, ``session``, ``modality``, ``provenance``, ...
        nan_policy : {"raise", "mask"}
            ``"mask"`` drops targets with NaN or Inf and records that in ``attrs["repairs"]``.

        Returns
        -------
        Recording

        Raises
        ------
        DataError
            With counts and first position of what is wrong.

        Notes
        -----
        Reads all responses once, in blocks of 32 MiB, to find NaN and constant targets
        (``responses.attrs["n_constant"]``).
        """
        tree = _construct.from_arrays(
            responses,
            name=name,
            period=period,
            times=times,
            runs=runs,
            n_stimuli=None if stimulus is None else len(stimulus),
            stimulus_index=stimulus_index,
            target_coords=target_coords or {},
            rois=rois or {},
            repeats=repeats,
            events=events,
            behaviour=behaviour or {},
            mask=mask,
            affine=affine,
            attrs=attrs or {},
            nan_policy=nan_policy,
        )
        return cls(tree, stimulus)

    @classmethod
    def from_spikes(
        cls,
        times: Sequence[npt.ArrayLike] | SpikeTrains,
        *,
        name: str,
        unit_coords: Mapping[str, npt.ArrayLike] | None = None,
        behaviour: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]] | None = None,
        events: Mapping[str, npt.ArrayLike] | None = None,
        stimulus: Stimulus | None = None,
        interval: tuple[float, float] | None = None,
        repair: Repair = "none",
        unit: str | None = None,
        resolution: float | None = None,
        attrs: Mapping[str, Any] | None = None,
    ) -> "Recording":
        """Make a recording from the spike times of each unit.

        Parameters
        ----------
        times, interval, repair, unit, resolution
            As in :meth:`neuroai_datasets.spikes.SpikeTrains.from_units`; ``interval`` is in seconds. Trains
            that were made already are taken as they are.
        name : str
            Name of the recording.
        unit_coords : mapping, optional
            Labels of the units, each (n_units,).
        behaviour, events, stimulus, attrs
            As in :meth:`from_arrays`.

        Returns
        -------
        Recording

        Raises
        ------
        DataError, UnitError
            For defective times, with unit and index.

        Examples
        --------
        >>> Recording.from_spikes([[0.1, 0.2], [0.3]], name="toy").spikes
        SpikeTrains(2 units, 3 spikes)
        """
        trains = times
        if not isinstance(trains, SpikeTrains):
            trains = SpikeTrains.from_units(
                trains, unit=unit, repair=repair, resolution=resolution, interval=interval
            )
        tree = _construct.from_spikes(
            trains,
            name=name,
            unit_coords=unit_coords or {},
            behaviour=behaviour or {},
            events=events,
            attrs=attrs or {},
            repaired=repair == "sort",
        )
        return cls(tree, stimulus)

    @classmethod
    def open(cls, path: str | Path) -> "Recording":
        """Open a recording written by :meth:`save`; arrays are read, and their blocks verified, when used.

        Parameters
        ----------
        path : path
            The file.

        Returns
        -------
        Recording

        Raises
        ------
        DamagedFileError
            When the file is cut off, was changed since it was written, or was not written by :meth:`save`.
        """
        from neuroai_datasets.store import open_tree, stored_stimulus

        tree = open_tree(path)
        return cls(tree, stored_stimulus(tree))

    def save(self, path: str | Path, *, include_stimulus: bool = False) -> Path:
        """Write the recording to one HDF5 file (netCDF-4 layout), checksummed, atomically.

        Parameters
        ----------
        path : path
            The file; an existing one is replaced only when the new one is complete.
        include_stimulus : bool
            Store the pictures too; otherwise only their names and checksum.

        Returns
        -------
        Path

        Raises
        ------
        OSError
            When the file cannot be written; an existing file is then untouched.
        """
        from neuroai_datasets.store import save_tree, with_stimulus

        tree = with_stimulus(self.tree, self.stimulus, include_stimulus)
        return save_tree(tree, path)

    @property
    def attrs(self) -> Mapping[str, Any]:
        """Description: name, title, citation, licence, subject, session, modality, provenance, repairs."""
        return {str(k): v for k, v in self.tree.attrs.items()}

    @property
    def name(self) -> str:
        """Name of the recording."""
        return str(self.tree.attrs["name"])

    @property
    def responses(self) -> xr.DataArray | None:
        """(sample, target) with coordinates of both; None for spikes alone."""
        return self._variable("responses", "responses")

    @property
    def sampling(self) -> Literal["trial", "series"]:
        """``"trial"`` for one row a presentation, ``"series"`` for regular samples and for spikes."""
        return "trial" if self.responses is not None and self.period is None else "series"

    @property
    def period(self) -> float | None:
        """Seconds between samples; None for trials."""
        found = self.responses.attrs.get("period") if self.responses is not None else None
        return None if found is None else float(found)

    @property
    def n_samples(self) -> int:
        """Rows of the responses, 0 without responses."""
        return 0 if self.responses is None else self.responses.sizes["sample"]

    @property
    def n_targets(self) -> int:
        """Targets (voxels, units, channels)."""
        if self.responses is not None:
            return self.responses.sizes["target"]
        return 0 if self.spikes is None else self.spikes.n_units

    @property
    def rois(self) -> xr.DataArray | None:
        """Boolean (roi, target)."""
        return self._variable("rois", "membership")

    @property
    def repeats(self) -> xr.DataArray | None:
        """(repeat, sample, target), NaN where missing."""
        return self._variable("repeats", "repeats")

    @property
    def events(self) -> xr.Dataset | None:
        """Dimension ``event``: onset, duration (s), trial_type, run."""
        return self._group("events")

    @property
    def runs(self) -> xr.Dataset | None:
        """Dimension ``run``: start, stop (s)."""
        return self._group("runs")

    @property
    def behaviour(self) -> Mapping[str, xr.DataArray]:
        """Series by name, each with a ``time`` coordinate in seconds."""
        if "behaviour" not in self.tree.children:
            return {}
        return {str(n): node.to_dataset()["values"] for n, node in self.tree["behaviour"].children.items()}

    @property
    def spikes(self) -> SpikeTrains | None:
        """Spike trains of all units."""
        group = self._group("spikes")
        if group is None:
            return None
        interval = group.attrs.get("interval")
        span = None if interval is None else (float(interval[0]), float(interval[1]))
        return SpikeTrains(group["times"], group["counts"].values, span)

    @property
    def units(self) -> xr.Dataset | None:
        """Coordinates of the units of a spike recording, dimension ``unit``."""
        group = self._group("spikes")
        return None if group is None else group.drop_vars("times")

    @property
    def affine(self) -> npt.NDArray[np.float64] | None:
        """Voxel index to mm, (4, 4)."""
        group = self._group("volume")
        return np.asarray(group["affine"].values) if group is not None and "affine" in group else None

    @property
    def mask(self) -> npt.NDArray[np.bool_] | None:
        """Boolean volume (x, y, z), True at the targets."""
        group = self._group("volume")
        return None if group is None or "voxel" not in group else _volume.mask(group)

    def to_nifti(self, values: npt.ArrayLike, fill: float = 0.0) -> Any:
        """Map one value a target (or a series of them) back into the volume.

        Parameters
        ----------
        values : array-like (n_targets,) or (n, n_targets)
            Real numbers.
        fill : float
            Value outside the mask.

        Returns
        -------
        nibabel.Nifti1Image
            float32 (x, y, z) or (x, y, z, n).

        Raises
        ------
        DataError
            When the recording has no volume, or the number of values is not that of the targets.
        """
        group = self._group("volume")
        if group is None or "voxel" not in group or "affine" not in group:
            raise DataError(f"{self.name}: no mask and affine: values have no place in a volume")
        return _volume.to_nifti(group, values, fill, self.period)

    def select(self, *, samples: Any = None, targets: Any = None) -> "Recording":
        """Some samples, some targets (or units), lazily.

        Parameters
        ----------
        samples, targets : slice, array-like of int or bool, optional
            Kept in the order given.

        Returns
        -------
        Recording
            With the same stimulus; volume, ROIs and repeats follow.

        Raises
        ------
        DataError
            When samples of a recording without samples are asked for, or an index is out of range.
        """
        return replace(self, tree=select_tree(self.tree, samples, targets))

    def _group(self, name: str) -> xr.Dataset | None:
        return self.tree[name].to_dataset() if name in self.tree.children else None

    def _variable(self, group: str, name: str) -> xr.DataArray | None:
        return self.tree[group].to_dataset()[name] if group in self.tree.children else None

    def __repr__(self) -> str:
        return _describe.as_text(self)

    def _repr_html_(self) -> str:
        return _describe.as_html(self)
