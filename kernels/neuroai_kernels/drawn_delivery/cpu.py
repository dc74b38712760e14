"""Delivery of drawn synapses compiled for the CPU."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from neuroai_kernels._numba import jit
from neuroai_kernels.connectivity.cpu import Key, draw_four, pick, scaled, weight_and_delay
from neuroai_kernels.connectivity.rules import ANGLE, RADIUS, TAG_DEVIATE, TAG_TARGET
from neuroai_kernels.drawn_delivery.rows import DrawnRows

__all__ = ["deliver_drawn_cpu", "deliver_drawn_rows"]

_TARGET, _DEVIATE = np.uint64(TAG_TARGET << 24), np.uint64(TAG_DEVIATE << 24)
Array = NDArray[Any]


@jit
def deliver_drawn_rows(
    spikes: NDArray[np.int32], count: int, key: Key, table: NDArray[np.int64], counts: NDArray[np.int32],
    weights: Array, delays: NDArray[np.uint8], classes: NDArray[np.int32], members: NDArray[np.int32],
    starts: NDArray[np.int32], radii: NDArray[np.int32], cosines: NDArray[np.int32], buffer: Array, step: int,
) -> None:  # fmt: skip
    """Draw the rows of the first ``count`` spikes and add them to the ring."""
    mask = buffer.shape[0] - 1
    for i in range(count):
        source = spikes[i]
        if classes[source] < 0:
            continue
        for a in range(starts[classes[source]], starts[classes[source] + 1]):
            c = members[a]
            stream, first_target, n_targets, offset = table[c, 0], table[c, 2], table[c, 3], table[c, 4]
            n = table[c, 5] if offset < 0 else np.int64(counts[offset + source - table[c, 1]])
            for k in range(0, n, 4):
                words = draw_four(key, _TARGET, stream, k >> 2, source)
                deviates = draw_four(key, _DEVIATE, stream, k >> 2, source)
                for j in range(min(4, n - k)):
                    weight, delay = weight_and_delay(pick(deviates, j), weights[c], delays[c], radii, cosines)
                    target = first_target + scaled(pick(words, j), n_targets)
                    buffer[(step + delay) & mask, target] += weight


def deliver_drawn_cpu(spikes: Tensor, rows: DrawnRows, buffer: Tensor, step: int) -> None:
    """Draw the rows of the spikes and add them to the ring."""
    key = np.uint64(rows.seed & 0xFFFFFFFF), np.uint64((rows.seed >> 32) & 0xFFFFFFFF)
    deliver_drawn_rows(
        spikes.numpy(), len(spikes), key, rows.table.numpy(), rows.counts.numpy(), rows.weights.numpy(),
        rows.delays.numpy(), rows.classes.numpy(), rows.members.numpy(), rows.starts.numpy(), RADIUS, ANGLE,
        buffer.numpy(), step,
    )  # fmt: skip
