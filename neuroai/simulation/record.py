"""From the spikes of a run to a recording of the data layer."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from neuroai_datasets import Recording

__all__ = ["to_recording"]


def to_recording(
    steps: NDArray[np.int32],
    neurons: NDArray[np.int32],
    *,
    dt: float,
    interval: tuple[float, float],
    names: Sequence[str],
    bounds: NDArray[np.int64],
    name: str,
    attrs: Mapping[str, Any],
) -> "Recording":
    """Spikes of step k at time (k + 1) dt, one unit a neuron, labelled by ``population``.

    Notes
    -----
    O(n log n) in the spikes.
    """
    from neuroai_datasets import Recording
    from neuroai_datasets.spikes import SpikeTrains

    n = int(bounds[-1])
    order = np.argsort(neurons, kind="stable")
    # Division by steps a second, where that is a whole number, gives the float nearest to the time.
    rate = 1 / dt
    rate = float(round(rate)) if abs(rate - round(rate)) < 1e-6 * rate else rate
    times = (steps[order].astype(np.float64) + 1) / rate
    counts = np.bincount(neurons, minlength=n)
    trains = SpikeTrains(times, counts, interval)  # ordered by construction: no need to check unit by unit
    population = np.repeat(np.asarray(names, dtype=object), np.diff(bounds))
    return Recording.from_spikes(
        trains,
        name=name,
        unit_coords={"population": population.astype(str)},
        attrs=dict(attrs),
    )
