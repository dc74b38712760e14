"""Windows of a recording: a lazy, indexable set of token batches, and the count of what was left out."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neuroai.datasets import Recording
from neuroai.errors import DataError
from neuroai.neuroformer.alignment import Series, Video, series_of, video_of
from neuroai.neuroformer.batch import Batch
from neuroai.neuroformer.config import Modality, NeuroformerConfig
from neuroai.neuroformer.events import Events, events_of
from neuroai.neuroformer.tokens import cut, following, padded_stream, stream_of

__all__ = ["TokenReport", "Windows", "windows_of"]

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TokenReport:
    """What the tokens of a recording hold and what they leave out.

    Attributes
    ----------
    n_windows, n_units, n_spikes : int
        Spikes are those of the current windows.
    outside : int
        Spikes in no window: after the last whole one of their run, or where an input has no value.
    silent_units : int
    truncated, truncated_past : int
        Spikes left out by ``max_spikes`` and ``max_past_spikes``.
    missing : dict of str to int
        Windows in which a modality has no value (recorded too short, or lost). As an input such a window is
        left out of the set; as a target it does not count in the loss.
    notes : tuple of str
        Corrections in words, such as a video of another rate.
    """

    n_windows: int
    n_units: int
    n_spikes: int
    outside: int
    silent_units: int
    truncated: int
    truncated_past: int
    missing: dict[str, int]
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """One line a fact, for a report."""
        facts = [f"{k}: {v}" for k, v in asdict(self).items() if k not in ("missing", "notes")]
        lost = [f"{name}: missing in {n} windows" for name, n in self.missing.items() if n]
        return [*facts, *lost, *self.notes]


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of one session; ``windows[index]`` is a :class:`Batch`, made when asked for.

    Made by :func:`windows_of`.

    Attributes
    ----------
    config : NeuroformerConfig
    session : str
    events : Events
    run, first : ndarray of int64 (n_windows,)
        Run, and first bin of the current window.
    series, video : mapping of name to Series or Video
        What the modalities read, on clocks of their own.
    report : TokenReport

    Notes
    -----
    Memory: 16 bytes an event and 16 a window; batches are made when they are asked for.

    Examples
    --------
    >>> from neuroai.datasets import simulate_spikes
    >>> windows = windows_of(simulate_spikes(5, 20.0), NeuroformerConfig(sessions={"a": 5}))
    >>> len(windows), windows.select([0, 3]).stop.round(2).tolist(), len(windows[0:7])
    (398, [0.07, 0.22], 7)
    """

    config: NeuroformerConfig
    session: str
    events: Events
    run: Integers
    first: Integers
    series: Mapping[str, Series]
    video: Mapping[str, Video]
    report: TokenReport

    def __len__(self) -> int:
        return len(self.first)

    @property
    def start(self) -> npt.NDArray[np.float64]:
        """Seconds at which each current window begins, on the clock of its run."""
        return self.events.times(self.run, self.first)

    @property
    def stop(self) -> npt.NDArray[np.float64]:
        """Seconds at which each current window ends: its label."""
        return self.events.times(self.run, self.first + self.config.window_bins)

    def select(self, index: npt.ArrayLike) -> "Windows":
        """Some windows (integers or a boolean mask), in the order given."""
        chosen = np.arange(len(self))[np.asarray(index)]
        return replace(self, run=self.run[chosen], first=self.first[chosen])

    def with_config(self, config: NeuroformerConfig) -> "Windows":
        """Return the same windows for a model whose heads or sizes changed; windows must be cut alike.

        Raises
        ------
        DataError
            If bin width, window, past or limits of spikes are others.
        """
        same = ("bin_width", "window", "past", "max_spikes", "max_past_spikes", "padded", "amplitudes")
        if any(getattr(config, name) != getattr(self.config, name) for name in same):
            raise DataError("windows were cut with other settings: make them anew with windows_of")
        return replace(self, config=config)

    def counts(self) -> npt.NDArray[np.int32]:
        """Count the spikes of each window: (n_windows, bins, units), truncated ones included."""
        bins, units = self.config.window_bins, self.events.n_units
        chosen = cut(self.events, self.first, self.first + bins, None)
        window, spike = np.repeat(np.arange(len(self)), chosen.length), chosen.event >= 0
        event = chosen.event[spike]
        out = np.zeros((len(self), bins, units), dtype=np.int32)
        np.add.at(
            out,
            (window[spike], self.events.bin[event] - self.first[window[spike]], self.events.unit[event]),
            1,
        )
        return out

    def rates(self) -> npt.NDArray[np.float64]:
        """Mean count a bin of each unit over these windows, (units,)."""
        chosen = cut(self.events, self.first, self.first + self.config.window_bins, None)
        total = np.bincount(self.events.unit[chosen.event[chosen.event >= 0]], minlength=self.events.n_units)
        return np.asarray(total / max(1, len(self) * self.config.window_bins), dtype=np.float64)

    def behaviour(self, name: str) -> npt.NDArray[np.float64]:
        """Value of a series at the end of each window, (n_windows, size), NaN where missing.

        Parameters
        ----------
        name : str
            A modality of the configuration; values are in the units of the recording.
        """
        series = self.series[name]
        return _held(series, self._last(name, self.stop)[:, None])[:, 0]

    def fingerprint(self) -> str:
        """SHA-256 of what the windows hold: the ``data_hash`` of a training run."""
        digest = hashlib.sha256(f"{self.session} {self.config.window_bins} {self.config.past_bins}".encode())
        for array in (self.events.bin, self.events.unit, self.events.amplitude, self.run, self.first):
            digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
        for name, series in sorted(self.series.items()):
            digest.update(name.encode() + np.ascontiguousarray(series.values).tobytes())
        return digest.hexdigest()

    def __getitem__(self, index: Any) -> Batch:
        chosen = np.atleast_1d(np.arange(len(self))[_as_index(index)])
        run, first, config = self.run[chosen], self.first[chosen], self.config
        begins = np.maximum(first - config.past_bins, self.events.run_first[run])
        now = cut(self.events, first, first + config.window_bins, config.max_spikes)
        before = cut(self.events, begins, first, config.max_past_spikes)
        current = stream_of(self.events, now, first)
        # Bins of the past count from where a whole past window begins, also when the run began later.
        past = stream_of(self.events, before, first - config.past_bins)
        n, symbols = self.events.n_units, config.n_symbols
        unit, bins, amplitude = following(current, n, symbols)
        if config.padded:
            assert config.max_spikes is not None
            assert config.max_past_spikes is not None
            current, unit, bins = padded_stream(current, config.max_spikes + 2, n, symbols)
            past, _, _ = padded_stream(past, config.max_past_spikes + 2, n, symbols)
        return Batch(
            self.session,
            current,
            past,
            unit,
            bins,
            amplitude,
            {m.name: self._input(m, run, first) for m in config.inputs},
            {m.name: self._target(m, run, first) for m in config.targets},
        )

    def _moments(self, modality: Modality, run: Integers, first: Integers) -> npt.NDArray[np.float64]:
        """Seconds at which an input is read, (n_windows, samples), the newest last."""
        length = self.config.window_bins if modality.alignment == "window" else 0
        newest = self.events.times(run, first + length)
        back = np.arange(modality.samples)[::-1] * modality.period
        return np.asarray(newest[:, None] - back)

    def _index(self, modality: Modality, run: Integers, first: Integers) -> Integers:
        clock = (
            self.video[modality.name].clock if modality.kind == "video" else self.series[modality.name].clock
        )
        times = self._moments(modality, run, first)
        labels = np.broadcast_to(self.events.run_label[run][:, None], times.shape)
        return clock.last(labels, times)

    def _input(self, modality: Modality, run: Integers, first: Integers) -> Tensor:
        index = self._index(modality, run, first)
        if modality.kind == "video":
            return torch.from_numpy(self.video[modality.name].at(index))
        values = _held(self.series[modality.name], index)
        if modality.kind == "category":
            return torch.from_numpy(values.astype(np.int64))
        return torch.from_numpy(values.astype(np.float32))

    def _target(self, modality: Modality, run: Integers, first: Integers) -> Tensor:
        end = self.events.times(run, first + self.config.window_bins)
        index = self.series[modality.name].clock.last(self.events.run_label[run], end)
        values = _held(self.series[modality.name], index)
        if modality.kind == "category":
            return torch.from_numpy(np.nan_to_num(values, nan=-1.0).astype(np.int64))
        return torch.from_numpy(values.astype(np.float32))

    def _last(self, name: str, times: npt.NDArray[np.float64]) -> Integers:
        return self.series[name].clock.last(self.events.run_label[self.run], times)


def windows_of(
    recording: Recording,
    config: NeuroformerConfig,
    *,
    session: str | None = None,
    video: Mapping[str, Video] | None = None,
    step: float | None = None,
) -> Windows:
    """Cut a recording into windows, consecutive within each run.

    Parameters
    ----------
    recording : Recording
        With spikes, or with a series of counts (or activity, with ``config.amplitudes``).
    config : NeuroformerConfig
        Of the model the windows are for.
    session : str, optional
        Name of the session in ``config.sessions``; default the only one.
    video : mapping, optional
        Frames and onsets by modality; default the recording's own stimulus.
    step : float, optional
        Seconds from window to window; default ``config.window``, so that each spike is predicted once.

    Returns
    -------
    Windows

    Raises
    ------
    DataError
        If the recording has other units than the session, no window fits, a modality is not there, or all
        its values are missing.

    Examples
    --------
    >>> from neuroai.datasets import simulate_spikes
    >>> recording = simulate_spikes(5, 10.0)
    >>> windows = windows_of(recording, NeuroformerConfig(sessions={"a": 5}))
    >>> windows.report.silent_units, len(windows[[0, 1]])
    (0, 2)
    """
    config_session = _session(config, session, recording)
    events = events_of(recording, config.bin_width, amplitudes=config.amplitudes)
    if events.n_units != config.sessions[config_session]:
        raise DataError(
            f"{recording.name} has {events.n_units} units, session {config_session!r} of the model has "
            f"{config.sessions[config_session]}: add a session with model.add_session(name, n_units)"
        )
    run, first = _places(events, config, step, recording.name)
    named = [m for m in config.modalities if m.kind != "video"]
    series = {m.name: series_of(recording, m) for m in named}
    given = dict(video or {})
    shown = {m.name: given.get(m.name) or video_of(recording, m) for m in config.inputs if m.kind == "video"}
    empty = TokenReport(0, 0, 0, 0, 0, 0, 0, {}, ())
    windows = Windows(config, config_session, events, run, first, series, shown, empty)
    kept, missing = _complete(windows, recording.name)
    windows = windows.select(kept)
    return replace(windows, report=_report(windows, missing))


def _as_index(index: Any) -> Any:
    return index.numpy() if isinstance(index, Tensor) else index


def _session(config: NeuroformerConfig, session: str | None, recording: Recording) -> str:
    if session is None and len(config.sessions) == 1:
        return next(iter(config.sessions))
    if session is None or session not in config.sessions:
        raise DataError(
            f"{recording.name}: session {session!r}; the model knows {', '.join(config.sessions) or 'none'}: "
            "name one, or add it with model.add_session"
        )
    return session


def _places(
    events: Events, config: NeuroformerConfig, step: float | None, name: str
) -> tuple[Integers, Integers]:
    """Run and first bin of every window."""
    stride = config.window_bins if step is None else round(step / config.bin_width)
    if stride < 1:
        raise DataError(f"step = {step} s is below the bin width of {config.bin_width} s")
    n = np.maximum(0, (events.run_bins - config.window_bins) // stride + 1)
    if n.sum() == 0:
        raise DataError(f"{name}: no run is as long as a window of {config.window} s")
    run = np.repeat(np.arange(len(n)), n)
    number = np.arange(len(run)) - (np.cumsum(n) - n)[run]
    return run, events.run_first[run] + number * stride


def _complete(windows: Windows, name: str) -> tuple[npt.NDArray[np.bool_], dict[str, int]]:
    """Which windows have all inputs; how many lack each modality."""
    kept, missing = np.ones(len(windows), dtype=bool), {}
    for modality in windows.config.inputs:
        index = windows._index(modality, windows.run, windows.first)
        there = (index >= 0).all(axis=1)
        if modality.kind != "video":
            values = _held(windows.series[modality.name], index).reshape(len(index), -1)
            there &= np.isfinite(values).all(axis=1)
        missing[modality.name] = int((~there).sum())
        kept &= there
    for modality in windows.config.targets:
        values = windows.behaviour(modality.name).reshape(len(windows), -1)
        missing[f"{modality.name} (target)"] = int((~np.isfinite(values).all(axis=1)).sum())
    for what, n in missing.items():
        if n == len(windows):
            raise DataError(f"{name}: {what} has no value in any window: check its clock and its unit")
    return kept, missing


def _report(windows: Windows, missing: dict[str, int]) -> TokenReport:
    events, config = windows.events, windows.config
    begins = np.maximum(windows.first - config.past_bins, events.run_first[windows.run])
    now = cut(events, windows.first, windows.first + config.window_bins, config.max_spikes)
    before = cut(events, begins, windows.first, config.max_past_spikes)
    n_spikes = int((now.event >= 0).sum() + now.truncated.sum())
    inside = np.unique(now.event[now.event >= 0]).size + int(now.truncated.sum())
    notes = [
        f"{m.name}: frames come every {windows.video[m.name].clock.period:.4g} s, read every {m.period:.4g} "
        "s (last frame held)"
        for m in config.inputs
        if m.kind == "video" and not np.isclose(windows.video[m.name].clock.period, m.period, rtol=0.05)
    ]
    return TokenReport(
        len(windows),
        events.n_units,
        n_spikes,
        len(events.bin) - inside,
        events.n_silent,
        int(now.truncated.sum()),
        int(before.truncated.sum()),
        missing,
        tuple(notes),
    )


def _held(series: Series, index: Integers) -> npt.NDArray[np.float64]:
    """Values at sample numbers of any shape, NaN at -1."""
    values = np.asarray(series.values[np.maximum(index, 0)], dtype=np.float64)
    values[index < 0] = np.nan
    return values
