"""Plain arrays in a folder, read as its recording card says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from neuroai_datasets.errors import CardError, DataError
from neuroai_datasets.readers.array_events import read_card_events
from neuroai_datasets.readers.array_source import in_order, read_array, read_lazily
from neuroai_datasets.readers.periods import check_period
from neuroai_datasets.readers.presentations import average_presentations
from neuroai_datasets.recording_card import ArraySource, RecordingCard
from neuroai_datasets.selections import holds, resolve_selection
from neuroai_datasets.units import to_float, to_seconds

if TYPE_CHECKING:
    from neuroai_datasets.recording import Recording
    from neuroai_datasets.stimulus import Stimulus

CARD_FILE = "recording.toml"
LARGEST_INDEX = 1 << 53
MOST_UNITS = 1_000_000

Array = npt.NDArray[Any]
Indices = npt.NDArray[np.int64]


@dataclass
class _Folder:
    """A folder, its card and what was chosen: everything a part of the reader needs to know."""

    path: Path
    card: RecordingCard
    chosen: Mapping[str, str]
    notes: list[str] = field(default_factory=list)

    def array(self, source: ArraySource, what: str) -> Array:
        return read_array(self.path, source, self.chosen, what)

    def exists(self, source: Any) -> bool:
        return source is not None and holds(source.when, self.chosen)


@dataclass
class _Trials:
    """Responses with everything that has one entry a sample."""

    responses: Array
    index: Indices | None = None
    repeats: Array | None = None
    times: Array | None = None
    runs: Indices | None = None

    def keep(self, samples: slice) -> None:
        """Keep these samples everywhere."""
        self.responses = self.responses[samples]
        self.index = None if self.index is None else self.index[samples]
        self.repeats = None if self.repeats is None else self.repeats[:, samples]
        self.times = None if self.times is None else self.times[samples]
        self.runs = None if self.runs is None else self.runs[samples]


def detect(path: Path) -> bool:
    """Whether `path` is a folder with a ``recording.toml``."""
    return path.is_dir() and (path / CARD_FILE).is_file()


def read(path: Path, **selection: object) -> Recording:
    """Read a folder by the recording card in it; see `RecordingCard` for what a card may say.

    Parameters
    ----------
    path : Path
        A folder with ``recording.toml``.
    **selection
        Choices the card offers.

    Raises
    ------
    CardError
        A card or a selection that does not fit.
    DataError
        Files that are damaged or do not fit each other.
    """
    from neuroai_datasets.cards import read_recording_card

    card = read_recording_card(path / CARD_FILE)
    chosen = resolve_selection(card.selections, selection, str(path))
    return read_with_card(path, card, chosen)


def read_with_card(path: Path, card: RecordingCard, chosen: Mapping[str, str]) -> Recording:
    """Read the arrays of the folder `path` as `card` says, under the selections `chosen`."""
    from neuroai_datasets.recording import Recording

    folder = _Folder(path, card, chosen)
    if card.responses is None:
        return _read_spikes(folder)
    trials = _Trials(_responses(folder, card.responses))
    stimulus = _stimulus(folder, trials)
    trials.repeats = _repeats(folder, trials.responses)
    trials.times = _times(folder, len(trials.responses))
    trials.runs = _runs(folder, len(trials.responses))
    _narrow(folder, trials)
    period = None if card.period is None else float(to_seconds([card.period], card.period_unit)[0])
    if period is not None:
        check_period(period, card.modality, f"{path}: period")
    runs = np.zeros(len(trials.responses), dtype=np.int64) if trials.runs is None else trials.runs
    events = read_card_events(path, card, chosen, runs, period, folder.notes)
    return Recording.from_arrays(
        trials.responses,
        name=card.name or path.name,
        period=period,
        times=trials.times,
        runs=trials.runs,
        stimulus=stimulus,
        stimulus_index=trials.index,
        target_coords=_targets(folder, trials.responses.shape[1]),
        rois=_rois(folder, trials.responses.shape[1]) or None,
        repeats=trials.repeats,
        events=events,
        behaviour=_behaviour(folder) or None,
        attrs=_attributes(folder),
        nan_policy=card.nan_policy,
    )


def _responses(folder: _Folder, source: ArraySource) -> Array:
    what = "responses"
    lazy = read_lazily(folder.path, source, folder.chosen, what)
    if lazy is not None:
        return lazy
    array = folder.array(source, what)
    scale = source.scale
    if scale is None and (folder.card.modality != "fmri" or array.dtype.itemsize != 2):
        scale = 1.0  # whole numbers of spikes, or eight-bit fluorescence, are their own values
    values = to_float(array, scale=scale, what=f"{folder.path}: {what}")
    return in_order(values, source.dims, ("sample", "target"), what)


def _repeats(folder: _Folder, responses: Array) -> Array | None:
    source = folder.card.repeats
    if source is None or not folder.exists(source):
        return None
    values = to_float(folder.array(source, "repeats"), scale=source.scale or 1.0, what="repeats")
    repeats = in_order(values, source.dims, ("repeat", "sample", "target"), "repeats")
    if repeats.shape[1:] != responses.shape:
        raise DataError(
            f"{folder.path}: repeats are (repeat, sample, target) = {repeats.shape}, the responses are "
            f"(sample, target) = {responses.shape}: give dims of repeats in the order of the file"
        )
    return repeats


def _times(folder: _Folder, n: int) -> Array | None:
    source = folder.card.times
    if source is None or not folder.exists(source):
        return None
    times = to_seconds(folder.array(source, "times").ravel(), source.unit or "s")
    if len(times) != n:
        raise DataError(f"{folder.path}: {len(times)} times for {n} samples")
    return times


def _runs(folder: _Folder, n: int) -> Indices | None:
    source = folder.card.runs
    if source is None:
        return None
    if source.lengths is not None:
        labels = np.repeat(np.arange(len(source.lengths)), source.lengths)
    elif source.labels is not None:
        labels = _indices(folder.array(source.labels, "runs.labels").ravel(), 0, "runs.labels")
    if len(labels) != n:
        raise DataError(f"{folder.path}: runs cover {len(labels)} samples, the responses have {n}")
    return labels.astype(np.int64)


def _stimulus(folder: _Folder, trials: _Trials) -> Stimulus | None:
    from neuroai_datasets.readers.array_source import locate
    from neuroai_datasets.readers.stimuli import first_of_identical, open_stimulus

    source = folder.card.stimulus
    if source is None or not folder.exists(source):
        return None
    stimulus = open_stimulus(folder.path, source, folder.chosen)
    n = len(trials.responses)
    if source.index is not None:
        shown = folder.array(source.index, "stimulus.index").ravel()
        index = _indices(shown, source.index.first, "stimulus.index")
    elif len(stimulus) == n:
        index = np.arange(n, dtype=np.int64)
    else:
        hint = ""
        if len(stimulus) == trials.responses.shape[1]:
            hint = '; dims = ["target", "sample"] in [responses] would fit'
        raise DataError(
            f"{folder.path}: {len(stimulus)} pictures for {n} samples{hint}; without [stimulus.index] "
            "picture i belongs to sample i"
        )
    if len(index) != n or (n and not -1 <= index.min() <= index.max() < len(stimulus)):
        raise DataError(
            f"{folder.path}: stimulus.index has {len(index)} entries from {index.min(initial=0)} to "
            f"{index.max(initial=0)}; expected {n} entries below {len(stimulus)} "
            "(first = 1 if it counts from 1)"
        )
    path = locate(folder.path, source.file, folder.chosen)
    if source.merge_identical and folder.card.period is None and (path.is_dir() or path.suffix == ".zip"):
        first = first_of_identical(path)
        same = int((first != np.arange(len(first))).sum())
        if same:
            folder.notes.append(f"{same} pictures are copies of earlier ones: they share a stimulus index")
        index = np.where(index >= 0, first[index], -1)
    trials.index = index
    return stimulus


def _narrow(folder: _Folder, trials: _Trials) -> None:
    """Apply subsets and averaging."""
    for subset in folder.card.subsets:
        if holds(subset.when, folder.chosen):
            trials.keep(slice(subset.start, subset.stop))
    rule = folder.card.average_presentations
    if rule is None or not holds(rule, folder.chosen):
        return
    if trials.index is None or trials.repeats is not None or trials.runs is not None:
        raise CardError(f"{folder.path}: average_presentations needs a stimulus, and no repeats and no runs")
    mean, repeats, shown = average_presentations(np.asarray(trials.responses), trials.index)
    trials.responses, trials.repeats, trials.times = mean, repeats, None
    trials.index = shown


def _rois(folder: _Folder, n_targets: int) -> dict[str, npt.NDArray[np.bool_]]:
    rois = {}
    for name, source in folder.card.rois.items():
        if not folder.exists(source):
            continue
        what = f"rois.{name}"
        values = folder.array(source, what).ravel()
        if len(values) == n_targets and np.isin(values, (0, 1)).all():
            rois[name] = values.astype(bool)
            continue
        members = _indices(values, source.first, what)
        if members.size and not 0 <= members.min() <= members.max() < n_targets:
            raise DataError(
                f"{folder.path}: {what} names target {int(members.max())}, there are {n_targets}: expected "
                "one 0/1 a target, or indices of targets"
            )
        rois[name] = np.isin(np.arange(n_targets), members)
    return rois


def _targets(folder: _Folder, n_targets: int) -> dict[str, Array] | None:
    coords: dict[str, Array] = {}
    source = folder.card.responses
    if source is not None and source.columns is not None and len(source.columns) == n_targets:
        coords["label"] = np.array(source.columns)
    for name, coordinate in folder.card.targets.items():
        if not folder.exists(coordinate):
            continue
        values = folder.array(coordinate, f"targets.{name}").ravel()
        if len(values) != n_targets:
            raise DataError(
                f"{folder.path}: targets.{name} has {len(values)} entries for {n_targets} targets"
            )
        coords[name] = values
    return coords or None


def _behaviour(folder: _Folder) -> dict[str, tuple[Array, Array]]:
    series = {}
    for name, source in folder.card.behaviour.items():
        if not folder.exists(source.values):
            continue
        values = folder.array(source.values, f"behaviour.{name}")
        if source.times is not None:
            stamps = folder.array(source.times, f"behaviour.{name}.times").ravel()
            times: Array = to_seconds(stamps, source.times.unit or "s")
        else:
            times = source.start + np.arange(len(values)) * float(source.period or 0.0)
        if len(times) != len(values):
            raise DataError(
                f"{folder.path}: behaviour.{name} has {len(values)} values and {len(times)} times"
            )
        series[name] = (times, values)
    return series


def _read_spikes(folder: _Folder) -> Recording:
    """Build a recording of spike times."""
    from neuroai_datasets.recording import Recording

    source = folder.card.spikes
    if source is None:
        raise CardError(f"{folder.path}: a recording needs [responses] or [spikes]")
    times = folder.array(source.times, "spikes.times").ravel()
    if source.units is not None:
        units = _indices(
            folder.array(source.units, "spikes.units").ravel(), source.units.first, "spikes.units"
        )
        if len(units) != len(times):
            raise DataError(f"{folder.path}: {len(units)} unit numbers for {len(times)} spikes")
        if units.size and not 0 <= units.min() <= units.max() < MOST_UNITS:
            raise DataError(
                f"{folder.path}: unit numbers from {units.min()} to {units.max()}; expected 0 to {MOST_UNITS}"
                " (first = 1 if they count from 1)"
            )
        order = np.argsort(units, kind="stable")
        times, ends = times[order], np.cumsum(np.bincount(units))
    else:
        part, what = (source.counts, "counts") if source.counts is not None else (source.index, "index")
        if part is None:
            raise CardError(f"{folder.path}: spikes need counts, index or units")
        ends = _indices(folder.array(part, f"spikes.{what}").ravel(), 0, f"spikes.{what}")
        ends = np.cumsum(ends) if what == "counts" else ends
    trains = split_trains(times, ends, f"{folder.path}: spikes")
    one_run = np.zeros(1, dtype=np.int64)
    return Recording.from_spikes(
        trains,
        name=folder.card.name or folder.path.name,
        unit_coords=_targets(folder, len(trains)),
        behaviour=_behaviour(folder) or None,
        events=read_card_events(folder.path, folder.card, folder.chosen, one_run, None, folder.notes),
        interval=source.interval,
        repair=source.repair,
        unit=source.unit or source.times.unit,
        resolution=source.resolution,
        attrs=_attributes(folder),
    )


def split_trains(times: Array, ends: Indices, where: str) -> list[Array]:
    """Cut concatenated times at the end of each unit.

    Raises
    ------
    DataError
        If the ends descend or do not end with the last time.

    Examples
    --------
    >>> [t.tolist() for t in split_trains(np.array([0.1, 0.2, 0.3]), np.array([2, 2, 3]), "x")]
    [[0.1, 0.2], [], [0.3]]
    """
    ends = np.asarray(ends, dtype=np.int64)
    last = int(ends[-1]) if ends.size else 0
    if (np.diff(ends, prepend=0) < 0).any() or last != len(times):
        raise DataError(
            f"{where}: unit ends should rise to {len(times)} (the number of spikes), found {last}"
        )
    return np.split(times, ends)[: len(ends)]


def _indices(values: Array, first: int, what: str) -> Indices:
    """Return whole numbers as indices from 0; 0 in a list that counts from 1 means none (-1)."""
    if (
        values.dtype.kind == "f"
        and not ((values == np.rint(values)) & (np.abs(values) < LARGEST_INDEX)).all()
    ):
        raise DataError(
            f"{what}: expected whole numbers, found {values.dtype} with fractions, NaN or too large"
        )
    if values.size and not -LARGEST_INDEX < int(values.min()) <= int(values.max()) < LARGEST_INDEX:
        raise DataError(f"{what}: {values.min()} to {values.max()} are not indices")
    return values.astype(np.int64) - first


def _attributes(folder: _Folder) -> dict[str, Any]:
    card = folder.card
    texts = {
        "title": card.title,
        "citation": card.citation,
        "licence": card.licence,
        "subject": card.subject,
        "session": folder.chosen.get("session", card.session),
        "modality": card.modality,
        "species": card.species,
        "value_unit": card.value_unit,
        "notes": card.notes,
    }
    made = ", ".join(f"{name}={value}" for name, value in folder.chosen.items())
    return {
        **{name: text for name, text in texts.items() if text},
        "provenance": [
            f"arrays of {folder.path.name} by its recording card" + (f" ({made})" if made else "")
        ],
        "repairs": list(folder.notes),
    }
