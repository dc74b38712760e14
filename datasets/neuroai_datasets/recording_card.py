"""The recording card: ``recording.toml``, which says what the arrays in a folder mean.

Examples
--------
The smallest card, for 200 pictures shown once to 30 neurons::

    name = "my-recording"
    modality = "spikes"

    [responses]
    file = "counts.npy"              # (30, 200)
    dims = ["target", "sample"]

    [stimulus]
    file = "pictures.zip"            # picture i belongs to sample i

A choice between sessions, repeats for one of them, and a region::

    name = "two-sessions"
    modality = "spikes"

    [selections.session]
    choices = ["mon", "tue"]

    [responses]
    file = "{session}/counts.mat"
    key = "data.counts"
    dims = ["sample", "target"]

    [repeats]
    file = "mon/single.npy"
    dims = ["repeat", "sample", "target"]
    when = { session = "mon" }

    [rois.V1]
    file = "{session}/in_v1.npy"

A series with events::

    name = "one-region"
    modality = "fmri"
    period = 2.0

    [responses]
    file = "bold.csv"
    columns = ["bold"]

    [events]
    file = "events.tsv"
"""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from neuroai_datasets.selections import Selection, Table, When


class ArraySource(Table):
    """One array in one file; a bare string stands for ``{file = "..."}``.

    Attributes
    ----------
    file : str
        Path inside the card's folder; ``{session}`` is replaced by the selection of that name.
        ``.npy``, ``.npz``, ``.mat`` (version 5 and 7.3), ``.h5``/``.hdf5``/``.hdf``, ``.csv``, ``.tsv``.
    key : str, optional
        Member of an npz file, path of a MATLAB variable (``session.units.counts``), or path of an
        HDF5 data set.  May be left out where the file holds a single array.
    columns : list of str, optional
        Columns of a table, in this order; all of them when left out.
    dims : list of str, optional
        The array's axes in the file's order, out of ``sample``, ``target``, ``repeat``
        (``frame``, ``height``, ``width``, ``colour`` for pictures).
    unit : str, optional
        Unit of stored times: s, ms, us, ns, min, h, or samples@RATE in Hz.
    scale : float, optional
        Stored numbers are multiplied by this, once.
    first : int
        For indices: the number of the first item, 0 or 1 (MATLAB).
    when : mapping, optional
        Selections under which this array exists, e.g. ``{session = "210325"}``.
    """

    file: str
    key: str | None = None
    columns: list[str] | None = None
    dims: list[str] | None = None
    unit: str | None = None
    scale: float | None = None
    first: Literal[0, 1] = 0
    when: When = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"file": value} if isinstance(value, str) else value

    @field_validator("file")
    @classmethod
    def _inside(cls, value: str) -> str:
        return relative_inside(value)


class StimulusSource(Table):
    """Pictures shown, or frames of a movie.

    Attributes
    ----------
    file : str
        A zip of pictures, a folder of pictures (both in natural order of names: 2 before 10), or an
        array: ``.npy``, ``.npz``, ``.mat``, ``.h5``.
    key : str, optional
        Data set (HDF5) or member (npz, mat) that holds the pictures.
    dims : list of str, optional
        Axes of an array source; ``["frame", "height", "width"]`` unless told.
    index : ArraySource, optional
        For each sample the picture shown; without it picture *i* belongs to sample *i*.
    merge_identical : bool
        Give byte-identical pictures one index, so that a split by stimulus cannot leak.
    """

    file: str
    key: str | None = None
    dims: list[str] | None = None
    index: ArraySource | None = None
    merge_identical: bool = True
    when: When = Field(default_factory=dict)

    @field_validator("file")
    @classmethod
    def _inside(cls, value: str) -> str:
        return relative_inside(value)


class RunsSource(Table):
    """Which samples belong together in time: ``lengths`` in samples, or a ``labels`` array."""

    lengths: list[PositiveInt] | None = None
    labels: ArraySource | None = None

    @model_validator(mode="after")
    def _one_of(self) -> RunsSource:
        if (self.lengths is None) == (self.labels is None):
            raise ValueError("give either lengths or labels")
        return self


class EventsSource(Table):
    """What happened when.

    Either a table (``file`` with columns ``onset``, ``duration``, ``trial_type``, optionally ``run``;
    ``names`` maps these to the file's own column names), or ``codes``: one number a sample, 0 where
    nothing starts, named by ``labels``.

    Attributes
    ----------
    file : str, optional
        ``.tsv`` or ``.csv``.
    names : mapping
        ``{onset = "stim_on", trial_type = "kind"}``.
    unit : str
        Unit of onsets and durations.
    codes : ArraySource, optional
        One code a sample (needs ``period`` in the card).
    labels : mapping
        Code (as text) to name; codes without a name are called by their number.
    duration : float
        Length of coded events in seconds.
    """

    file: str | None = None
    names: dict[str, str] = Field(default_factory=dict)
    unit: str = "s"
    codes: ArraySource | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    duration: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _one_of(self) -> EventsSource:
        if (self.file is None) == (self.codes is None):
            raise ValueError("give either file or codes")
        return self

    @field_validator("file")
    @classmethod
    def _inside(cls, value: str | None) -> str | None:
        return None if value is None else relative_inside(value)


class BehaviourSource(Table):
    """A labelled series: ``values`` with ``times`` or a ``period`` (s) that starts at ``start`` (s)."""

    values: ArraySource
    times: ArraySource | None = None
    period: float | None = Field(default=None, gt=0)
    start: float = 0.0

    @model_validator(mode="after")
    def _one_clock(self) -> BehaviourSource:
        if (self.times is None) == (self.period is None):
            raise ValueError("give either times or period")
        return self


class SpikesSource(Table):
    """Spike times of all units in one array, and one of three ways to tell the units apart.

    ``counts``: spikes of each unit, times stored unit after unit; ``index``: end of each unit's times
    (the NWB convention); ``units``: the unit's number for each spike.

    Attributes
    ----------
    unit : str, optional
        Of the times. Left out, seconds are assumed and checked: times that look like milliseconds or
        sample numbers are refused.
    repair : "none" or "sort"
        Whether times that descend within a unit are sorted (and told of), or refused.
    resolution : float, optional
        Seconds between ticks of the clock: two spikes of a unit may then have the same time.
    interval : (start, stop), optional
        Seconds in which spikes were recorded; may begin below 0.
    """

    times: ArraySource
    unit: str | None = None
    counts: ArraySource | None = None
    index: ArraySource | None = None
    units: ArraySource | None = None
    repair: Literal["none", "sort"] = "none"
    resolution: float | None = Field(default=None, gt=0)
    interval: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _one_of(self) -> SpikesSource:
        if sum(x is not None for x in (self.counts, self.index, self.units)) != 1:
            raise ValueError("give exactly one of counts, index, units")
        if self.unit is not None and self.times.unit is not None:
            raise ValueError("the unit of the times is given twice: as unit, and as times.unit")
        if self.interval is not None and not self.interval[0] < self.interval[1]:
            raise ValueError(f"interval = {list(self.interval)}: expected [start, stop] with start < stop")
        return self


class Subset(Table):
    """Samples ``start <= i < stop``, kept under the selections ``when``."""

    start: int = Field(default=0, ge=0)
    stop: int | None = None
    when: When = Field(default_factory=dict)


#: What a card says of samples, and so of responses.
_OF_SAMPLES = (
    "responses",
    "period",
    "times",
    "stimulus",
    "repeats",
    "average_presentations",
    "subsets",
    "runs",
    "rois",
)


class RecordingCard(Table):
    """``recording.toml``: which array is what.

    Attributes
    ----------
    name, title, citation, licence, subject, session, modality, species, notes : str
        Who and what; ``modality`` is one of fmri, spikes, calcium, ecog, meg, eeg, behaviour, other.
    period : float, optional
        Seconds between samples (TR, frame, bin).  With it the recording is a *series*; without it a
        sample is one stimulus presentation (*trial*).
    period_unit : str
        Unit of ``period``.
    value_unit : str
        Unit of the responses, e.g. "spike count", "percent signal change".
    selections : table of `Selection`
        Choices a user has; ``{name}`` in a path is replaced by what was chosen.
    responses : ArraySource
        The recording, ``dims`` of sample and target.
    times : ArraySource, optional
        Time of each sample where they are not regular.
    stimulus : StimulusSource
        Pictures or frames.
    repeats : ArraySource
        Single presentations, ``dims`` of repeat, sample and target; NaN where one is missing.
    average_presentations : mapping of selections, optional
        Under these selections rows that show the same stimulus become one row: their mean, with the
        single rows kept as repeats.
    subsets : list of `Subset`
        Parts that a selection stands for.
    runs, events, behaviour, spikes
        `RunsSource`, `EventsSource`, table of `BehaviourSource`, `SpikesSource`.
    rois : table of ArraySource
        One boolean array (target) each, or 0-based target indices.
    targets : table of ArraySource
        Coordinates of targets (x, y, z in mm, hemisphere, depth, ...).
    nan_policy : "raise" or "mask"
        What happens to targets with NaN responses.
    """

    name: str | None = Field(default=None, min_length=1)
    title: str = ""
    citation: str = ""
    licence: str = ""
    subject: str = ""
    session: str = ""
    modality: Literal["fmri", "spikes", "calcium", "ecog", "meg", "eeg", "behaviour", "other"] = "other"
    species: str = ""
    notes: str = ""
    period: float | None = Field(default=None, gt=0)
    period_unit: str = "s"
    value_unit: str = ""
    selections: dict[str, Selection] = Field(default_factory=dict)
    responses: ArraySource | None = None
    times: ArraySource | None = None
    stimulus: StimulusSource | None = None
    repeats: ArraySource | None = None
    average_presentations: When | None = None
    subsets: list[Subset] = Field(default_factory=list)
    runs: RunsSource | None = None
    events: EventsSource | None = None
    behaviour: dict[str, BehaviourSource] = Field(default_factory=dict)
    spikes: SpikesSource | None = None
    rois: dict[str, ArraySource] = Field(default_factory=dict)
    targets: dict[str, ArraySource] = Field(default_factory=dict)
    nan_policy: Literal["raise", "mask"] = "raise"

    @model_validator(mode="after")
    def _has_content(self) -> RecordingCard:
        if self.responses is None and self.spikes is None:
            raise ValueError("a recording needs [responses] or [spikes]")
        if self.spikes is None:
            return self
        of_samples = [name for name in _OF_SAMPLES if name in self.model_fields_set]
        if of_samples:
            raise ValueError(
                f"found {', '.join(of_samples)} beside [spikes]: spike times have no samples; expected "
                "spikes with behaviour, events and targets, or [responses]"
            )
        return self


def relative_inside(path: str) -> str:
    """Return `path` if it names something below a folder, whatever the operating system.

    Raises
    ------
    ValueError
        For absolute paths, drive letters, back-slashes, ``..`` and empty names.
    """
    parts = path.split("/")
    if not path or path.startswith("/") or "\\" in path or ".." in parts or re.match(r"^[A-Za-z]:", path):
        raise ValueError(f"{path!r} does not name a file inside the folder: write a relative path with '/'")
    if "\x00" in path:
        raise ValueError(f"{path!r} holds a NUL character")
    return path
