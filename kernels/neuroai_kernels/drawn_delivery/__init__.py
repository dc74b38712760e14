r"""Delivery of spikes through synapses that are drawn again at every spike, and stored nowhere.

.. math:: b_{(k + d_j) \bmod D,\; t_j} \mathrel{+}= w_j

for the synapses that :func:`neuroai_kernels.connectivity.draw_rows` draws for the sources that spiked in step
k: the same synapses, from the same counters. Networks whose synapses exceed the memory run on one card.
"""

from torch import Tensor

from neuroai_kernels._dispatch import Implementation, choose
from neuroai_kernels.drawn_delivery.rows import DrawnRows as DrawnRows
from neuroai_kernels.drawn_delivery.rows import draw_plan as draw_plan
from neuroai_kernels.drawn_delivery.rows import quantum_of as quantum_of
from neuroai_kernels.errors import ShapeError

__all__ = ["DrawnRows", "deliver_drawn", "draw_plan", "quantum_of"]


def deliver_drawn(
    spikes: Tensor,
    rows: DrawnRows,
    buffer: Tensor,
    step: int | Tensor,
    *,
    count: Tensor | None = None,
    implementation: Implementation | None = None,
) -> None:
    """Add what the spikes of one step cause to the ring of future inputs, in place.

    Parameters
    ----------
    spikes : int32 tensor (n,)
        Sources that fired, each at most once.
    rows : DrawnRows
        See :func:`draw_plan`.
    buffer : tensor (D, n_inputs)
        As for :func:`neuroai_kernels.spike_delivery.deliver_spikes`; whole numbers if the weights are.
    step : int, or int64 tensor (1,) on the device
    count : int32 tensor (1,), optional
        Only the first ``count`` entries of spikes are spikes.
    implementation : {"reference", "cpu", "gpu"}, optional

    Raises
    ------
    ShapeError
        If the ring does not fit the connections.

    Notes
    -----
    Two Philox calls for four synapses, about 60 integer operations each; no memory but the ring's.

    Examples
    --------
    >>> import torch
    >>> from neuroai_kernels.connectivity import Connection, constant_delay, constant_weight
    >>> c = Connection("fixed_outdegree", 7, 0, 4, 0, 5, constant_weight(2.0), constant_delay(3), stream=0)
    >>> rows, ring = draw_plan([c], seed=1, n_rows=4), torch.zeros(4, 5)
    >>> deliver_drawn(torch.tensor([2], dtype=torch.int32), rows, ring, step=0)
    >>> ring.sum(1).tolist()
    [0.0, 0.0, 0.0, 14.0]
    """
    if buffer.ndim != 2 or buffer.shape[0] & (buffer.shape[0] - 1) or not buffer.is_contiguous():
        raise ShapeError(f"buffer is {tuple(buffer.shape)}: expected contiguous (D, n), D a power of two")
    if buffer.is_floating_point() != rows.weights.is_floating_point():
        raise ShapeError(f"weights are {rows.weights.dtype}, the buffer {buffer.dtype}: expected alike")
    longest = max((int(c.delays.max()) for c in rows.connections), default=1)
    last = max((c.first_target + c.n_targets for c in rows.connections), default=0)
    if longest >= buffer.shape[0] or last > buffer.shape[1]:
        raise ShapeError(
            f"delays up to {longest} steps and {last} inputs: the ring has {tuple(buffer.shape)}, expected "
            "more slots than the longest delay and a place for each input"
        )
    form = choose(buffer, implementation)
    if form == "gpu":
        from neuroai_kernels.drawn_delivery.gpu import deliver_drawn_gpu

        deliver_drawn_gpu(spikes, count, rows, buffer, step)
        return
    found = spikes if count is None else spikes[: int(count)]
    if form == "cpu":
        from neuroai_kernels.drawn_delivery.cpu import deliver_drawn_cpu

        deliver_drawn_cpu(found, rows, buffer, int(step))
        return
    from neuroai_kernels.drawn_delivery.reference import deliver_drawn_reference

    deliver_drawn_reference(found, rows, buffer, int(step))
