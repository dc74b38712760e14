"""Designs made of events: haemodynamic regressors and finite impulse responses, one run at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from neuroai.encoders.features.maps import FeatureMaps
from neuroai.encoders.features.spec import FeatureSpec
from neuroai.encoders.hrf import Basis, double_gamma
from neuroai.encoders.scores import Float
from neuroai.errors import ConfigError, DataError
from neuroai_datasets.delays import delay, run_borders

if TYPE_CHECKING:
    from neuroai_datasets.recording import Recording

#: Seconds between the samples on which events meet the haemodynamic response.
_STEP = 0.25
#: Seconds that a finite impulse response covers when no lags are given.
_MEMORY = 30.0


@dataclass(frozen=True)
class _Events:
    """Events of one run: seconds from its start, and the column of each event's type."""

    onset: Float
    duration: Float
    kind: NDArray[np.int64]


def hrf_design(recording: "Recording", spec: FeatureSpec) -> FeatureMaps:
    """Boxcars of each event type on a 0.25 s grid, convolved with the response, sampled at the samples."""
    period, kinds = _checked(recording, spec)
    kernels = double_gamma(_STEP, cast(Basis, spec.layer or "canonical"))
    blocks = []
    for times, events in _by_run(recording, kinds, period):
        n_steps = int(np.ceil((times[-1] + period) / _STEP)) + 1
        boxcars = _boxcars(events, len(kinds), n_steps)
        grid = np.arange(n_steps) * _STEP
        regressors = [np.convolve(boxcar, kernel)[:n_steps] for kernel in kernels for boxcar in boxcars]
        blocks.append(np.stack([np.interp(times, grid, x) for x in regressors], axis=1))
    names = [kind + suffix for suffix in ("", "'")[: len(kernels)] for kind in kinds]
    return FeatureMaps(np.concatenate(blocks).astype(np.float32), str(spec), tuple(names))


def fir_design(recording: "Recording", spec: FeatureSpec, delays: tuple[int, ...]) -> FeatureMaps:
    """Onsets of each event type, delayed by each lag."""
    period, kinds = _checked(recording, spec)
    if spec.layer is not None and (not spec.layer.isdigit() or int(spec.layer) < 1):
        raise ConfigError(f"{spec}: expected a number of lags, e.g. events-fir:15, found {spec.layer!r}")
    if not delays:
        n_lags = int(spec.layer) if spec.layer else max(1, round(_MEMORY / period))
        delays = tuple(range(n_lags))
    elif spec.layer is not None:
        raise ConfigError(f"{spec} names its lags and delays {list(delays)} were given too: leave one out")
    blocks = []
    for times, events in _by_run(recording, kinds, period):
        onsets = np.zeros((len(times), len(kinds)), np.float32)
        # An event belongs to the sample during which it starts; 1e-6 s absorbs rounding of tables.
        row = np.searchsorted(times, events.onset + 1e-6, side="right") - 1
        np.add.at(onsets, (np.maximum(row, 0), events.kind), 1.0)
        blocks.append(delay(onsets, delays))
    names = [f"{kind}@{lag}" for lag in delays for kind in kinds]
    return FeatureMaps(np.concatenate(blocks), str(spec), tuple(names))


def _checked(recording: "Recording", spec: FeatureSpec) -> tuple[float, list[str]]:
    if recording.events is None or recording.period is None:
        what = "no events" if recording.events is None else "trials, not a series"
        raise ConfigError(f"{spec} needs events on a series; recording {recording.name!r} has {what}")
    kinds = sorted({str(kind) for kind in recording.events["trial_type"].values})
    return recording.period, kinds


def _by_run(recording: "Recording", kinds: list[str], period: float) -> Iterator[tuple[Float, _Events]]:
    """Sample times and events of each stretch of samples of one run."""
    responses, table = recording.responses, recording.events
    assert responses is not None  # series have responses
    assert table is not None  # _checked
    n = recording.n_samples
    runs = responses.coords["run"].values if "run" in responses.coords else np.zeros(n, np.int64)
    event_runs = table["run"].values if "run" in table else np.full(table.sizes["event"], runs[0])
    onset, duration = (np.asarray(table[name].values, np.float64) for name in ("onset", "duration"))
    column = {kind: i for i, kind in enumerate(kinds)}
    kind = np.array([column[str(k)] for k in table["trial_type"].values], np.int64)
    times = responses.coords["time"].values if "time" in responses.coords else None
    unknown = np.flatnonzero(~np.isin(event_runs, runs))
    for start, stop in run_borders(n, runs):
        seconds = np.arange(stop - start) * period if times is None else times[start:stop]
        rows = np.asarray(seconds, np.float64)
        mine = np.flatnonzero(event_runs == runs[start])
        late = mine[(onset[mine] < 0) | (onset[mine] > rows[-1] + period)]
        if len(late):
            raise DataError(
                f"event {late[0]} of run {runs[start]} starts at {onset[late[0]]:g} s, but the run lasts "
                f"from 0 to {rows[-1] + period:g} s: check the unit of onsets and that they count from the "
                "start of their run"
            )
        yield rows, _Events(onset[mine], duration[mine], kind[mine])
    if len(unknown) == len(event_runs):
        raise DataError(f"no event of {recording.name!r} belongs to a run of its samples: check the runs")


def _boxcars(events: _Events, n_kinds: int, n_steps: int) -> Float:
    """Share of each step that an event of each type covers; an instant counts as one step."""
    boxcars = np.zeros((n_kinds, n_steps))
    edges = np.arange(n_steps + 1) * _STEP
    stops = events.onset + np.maximum(events.duration, _STEP)
    for onset, stop, kind in zip(events.onset, stops, events.kind, strict=True):
        covered = np.minimum(edges[1:], stop) - np.maximum(edges[:-1], onset)
        boxcars[kind] += np.maximum(covered, 0.0) / _STEP
    return boxcars
