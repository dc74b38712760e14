"""Poisson neurons with known tuning to a position."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neuroai_datasets.errors import DataError
from neuroai_datasets.simulators.truth import with_truth

if TYPE_CHECKING:
    from neuroai_datasets.recording import Recording

_STEP = 0.001
_TRACK = 1.0


def simulate_spikes(
    n_units: int = 30,
    duration: float = 120.0,
    *,
    peak_rate: float = 20.0,
    base_rate: float = 0.5,
    width: float = 0.08,
    seed: int = 0,
) -> Recording:
    r"""Simulate place cells on a track of 1 m, run to and fro.

    .. math::
        \lambda_u(t) = r_0 + r_1 \exp\left(-\frac{(x(t) - c_u)^2}{2 \sigma^2}\right), \qquad
        \text{spikes} \sim \mathrm{Poisson}(\lambda_u)

    The position :math:`x` moves at a speed that changes from lap to lap; within each millisecond the
    rate is constant and spikes fall uniformly.

    Parameters
    ----------
    n_units : int
        Neurons, at least 1; their centres are spread evenly over the track.
    duration : float
        Seconds, 1 to 36,000.
    peak_rate, base_rate : float
        :math:`r_1` and :math:`r_0` in spikes a second, 0 to 500.
    width : float
        :math:`\sigma` in metres, above 0.
    seed : int
        Same seed, same recording.

    Returns
    -------
    Recording
        Spike trains (float64 seconds), behaviour ``position`` (m, every 20 ms).  The group
        ``/truth`` holds ``centre``, ``peak_rate``, ``base_rate``, ``width`` (unit), ``position`` (m)
        with ``tuning`` (unit, position; spikes a second), and ``expected_count`` (unit).

    Raises
    ------
    DataError
        If an argument is out of range.

    Notes
    -----
    Time and memory O(duration / 1 ms), units one after the other.

    Examples
    --------
    >>> simulate_spikes(3, 5.0).spikes.n_units
    3
    """
    if n_units < 1 or not 1 <= duration <= 36_000:
        raise DataError(f"{n_units} units for {duration} s: expected at least 1 unit and 1 to 36,000 s")
    if not (0 <= base_rate <= 500 and 0 <= peak_rate <= 500 and width > 0):
        raise DataError(
            f"base_rate {base_rate} and peak_rate {peak_rate} must be 0 to 500 Hz, width {width} positive"
        )
    from neuroai_datasets.recording import Recording

    rng = np.random.default_rng(seed)
    n_steps = round(duration / _STEP)
    middle = (np.arange(n_steps, dtype=np.float64) + 0.5) * _STEP
    position = _position(rng, middle)
    centre = (np.arange(n_units) + 0.5) / n_units * _TRACK
    trains, expected = [], np.empty(n_units)
    for u in range(n_units):
        rate = base_rate + peak_rate * np.exp(-((position - centre[u]) ** 2) / (2 * width**2))
        expected[u] = rate.sum() * _STEP
        step = np.repeat(np.arange(n_steps), rng.poisson(rate * _STEP))
        trains.append(np.sort((step + rng.random(len(step))) * _STEP))
    seen = slice(None, None, 20)
    recording = Recording.from_spikes(
        trains,
        name="simulated place cells",
        behaviour={"position": (middle[seen], position[seen])},
        attrs={
            "title": "Simulated place cells on a linear track",
            "modality": "spikes",
            "provenance": [f"simulate_spikes(seed={seed})"],
        },
    )
    grid = np.linspace(0.0, _TRACK, 101)
    tuning = base_rate + peak_rate * np.exp(-((grid - centre[:, None]) ** 2) / (2 * width**2))
    return with_truth(
        recording,
        {
            "centre": (("unit",), centre),
            "peak_rate": ((), float(peak_rate)),
            "base_rate": ((), float(base_rate)),
            "width": ((), float(width)),
            "position": (("place",), grid),
            "tuning": (("unit", "place"), tuning),
            "expected_count": (("unit",), expected),
        },
    )


def _position(rng: np.random.Generator, t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Position in metres: a triangle wave whose laps take 4 to 8 s."""
    laps = rng.uniform(4.0, 8.0, size=int(t[-1] / 4.0) + 2)
    starts = np.concatenate([[0.0], np.cumsum(laps)])
    lap = np.searchsorted(starts, t, side="right") - 1
    phase = (t - starts[lap]) / laps[lap]
    place: NDArray[np.float64] = _TRACK * (1.0 - np.abs(2.0 * phase - 1.0))
    return place
