"""Event-related BOLD with known response shape and amplitudes."""

from __future__ import annotations

from math import factorial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai_datasets.errors import DataError
from neuroai_datasets.simulators.truth import with_truth

if TYPE_CHECKING:
    from neuroai_datasets.recording import Recording

_FINE = 0.05
"""Seconds between points at which a response is sampled for the truth."""


def double_gamma(t: ArrayLike) -> NDArray[np.float64]:
    r"""Haemodynamic response: a gamma peak at 5 s minus a sixth of one at 15 s, largest value 1.

    .. math:: h(t) \propto \Gamma(t; 6, 1) - \tfrac{1}{6}\,\Gamma(t; 16, 1)

    Parameters
    ----------
    t : array-like
        Seconds since the event; the response is 0 before it.

    Returns
    -------
    ndarray of float64
        Same shape as ``t``.

    Notes
    -----
    Time O(size of t).  Source: the canonical response of SPM (Friston et al. 1998, NeuroImage 7:30).

    Examples
    --------
    >>> double_gamma([-1.0, 5.0]).round(2)
    array([0., 1.])
    """
    return _undershoot(np.asarray(t, dtype=np.float64)) / _PEAK


def _undershoot(t: NDArray[np.float64]) -> NDArray[np.float64]:
    after = np.maximum(t, 0.0)
    peak, undershoot = after**5 / factorial(5), after**15 / factorial(15)
    return np.asarray(np.exp(-after) * (peak - undershoot / 6.0))


_PEAK = float(_undershoot(np.linspace(4.0, 6.0, 20_001)).max())


def simulate_bold(
    n_targets: int = 50,
    n_conditions: int = 3,
    *,
    n_runs: int = 4,
    n_volumes: int = 150,
    period: float = 2.0,
    noise: float = 1.0,
    seed: int = 0,
) -> Recording:
    r"""Simulate voxels that respond to brief events with a known shape and known amplitudes.

    .. math::
        y_{tv} = \sum_e \beta_{c(e) v}\, h(t - t_e) + \epsilon_{tv}, \qquad \epsilon \sim N(0, \sigma^2)

    with :math:`h` the `double_gamma`, :math:`\beta \sim N(0, 1)`, and events of random condition
    every 3 to 9 s (not on the grid of volumes), none so late in a run that its peak falls outside.

    Parameters
    ----------
    n_targets, n_conditions : int
        Voxels and kinds of event, at least 1 each.
    n_runs, n_volumes : int
        Runs, and volumes a run (at least 30 s of them).
    period : float
        Repetition time in seconds, 0.1 to 10.
    noise : float
        Standard deviation of the noise, at least 0; an event of amplitude 1 peaks at 1.
    seed : int
        Same seed, same recording.

    Returns
    -------
    Recording
        A series (volume, voxel) with events in seconds **since the start of their run** and runs.  The
        group ``/truth`` holds ``betas`` (condition, target), ``condition_name``, ``response`` and
        ``lag`` (s; every 0.05 s to 32 s), ``signal`` (sample, target), ``noise_variance``.

    Raises
    ------
    DataError
        If an argument is out of range.

    Notes
    -----
    Time O(events x volumes a run + volumes x voxels); memory 24 bytes a volume and voxel.

    Examples
    --------
    >>> recording = simulate_bold(4, n_runs=2, n_volumes=40)
    >>> recording.responses.shape, recording.period
    ((80, 4), 2.0)
    """
    if min(n_targets, n_conditions, n_runs) < 1 or n_volumes * period < 30:
        raise DataError("simulate_bold needs a target, a condition, a run, and runs of at least 30 s")
    if not 0.1 <= period <= 10 or noise < 0:
        raise DataError(f"period {period} s must be 0.1 to 10 s, and noise {noise} at least 0")
    rng = np.random.default_rng(seed)
    betas = rng.normal(size=(n_conditions, n_targets))
    volume_times = np.arange(n_volumes) * period
    onsets, conditions, event_runs, signals = [], [], [], []
    for run in range(n_runs):
        times = _onsets(rng, n_volumes * period - 6.0)
        kinds = rng.integers(n_conditions, size=len(times))
        shape = double_gamma(volume_times[:, None] - times[None, :])
        signals.append(shape @ betas[kinds])
        onsets.append(times)
        conditions.append(kinds)
        event_runs.append(np.full(len(times), run))
    signal = np.concatenate(signals)
    names = np.array([f"condition {c}" for c in range(n_conditions)])
    recording = _record(
        signal + noise * rng.normal(size=signal.shape),
        np.repeat(np.arange(n_runs), n_volumes),
        period,
        {
            "onset": np.concatenate(onsets),
            "duration": np.zeros(sum(map(len, onsets))),
            "trial_type": names[np.concatenate(conditions)],
            "run": np.concatenate(event_runs),
        },
        seed,
    )
    lag = np.arange(0.0, 32.0 + _FINE, _FINE)
    return with_truth(
        recording,
        {
            "betas": (("condition", "target"), betas),
            "condition_name": (("condition",), names),
            "lag": (("lag_index",), lag),
            "response": (("lag_index",), double_gamma(lag)),
            "signal": (("sample", "target"), signal),
            "noise_variance": (("target",), np.full(n_targets, float(noise) ** 2)),
        },
    )


def _onsets(rng: np.random.Generator, last: float) -> NDArray[np.float64]:
    """Draw times from 1 s on, 3 to 9 s apart, up to ``last``."""
    times = 1.0 + np.concatenate([[0.0], np.cumsum(rng.uniform(3.0, 9.0, size=int(last / 3) + 1))])
    return times[times <= last]


def _record(
    values: NDArray[np.float64],
    runs: NDArray[np.int64],
    period: float,
    events: dict[str, NDArray[np.generic]],
    seed: int,
) -> Recording:
    """Wrap what a scanner would have seen, without the truth."""
    from neuroai_datasets.recording import Recording

    return Recording.from_arrays(
        values.astype(np.float32),
        name="simulated BOLD",
        period=period,
        runs=runs,
        events=events,
        attrs={
            "title": "Simulated event-related BOLD",
            "modality": "fmri",
            "provenance": [f"simulate_bold(seed={seed})"],
        },
    )
