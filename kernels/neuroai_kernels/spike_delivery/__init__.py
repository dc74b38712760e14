r"""Delivery of spikes into a ring of future inputs, with a delay for each synapse.

.. math:: b_{(k + d_j) \bmod D,\; t_j} \mathrel{+}= w_j

for every synapse j of every source that spiked in step k.

Two forms. *Scatter* follows the rows of the spikes: work in proportion to spikes times synapses a row.
*Gather* reads every synapse and adds those whose source's bit is set: quicker when many sources are active,
without atomic additions.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from neuroai_kernels._dispatch import Implementation, choose
from neuroai_kernels.errors import ShapeError
from neuroai_kernels.segment_overlap.bits import pack_bits
from neuroai_kernels.spike_delivery.rows import SynapseBins as SynapseBins
from neuroai_kernels.spike_delivery.rows import SynapseRows as SynapseRows
from neuroai_kernels.spike_delivery.rows import fixed_point as fixed_point
from neuroai_kernels.spike_delivery.rows import quantum_above as quantum_above
from neuroai_kernels.spike_delivery.rows import safe_quantum as safe_quantum
from neuroai_kernels.spike_delivery.runs import SynapseRuns as SynapseRuns

__all__ = [
    "DeliveryForm",
    "SynapseBins",
    "SynapseRows",
    "SynapseRuns",
    "deliver_spikes",
    "fixed_point",
    "quantum_above",
    "safe_quantum",
]

DeliveryForm = Literal["scatter", "gather"]

# Share of active sources above which reading all synapses is quicker on one core; it was 0.17 to 0.65 for
# tables of 2e6 to 1e7 synapses, with 100 to 1,000 a row.
_GATHER_SHARE = 0.4


def _validate(spikes: Tensor, rows: SynapseRows, buffer: Tensor, count: Tensor | None) -> None:
    if buffer.ndim != 2 or buffer.shape[0] & (buffer.shape[0] - 1) or not buffer.is_contiguous():
        raise ShapeError(f"buffer is {tuple(buffer.shape)}: expected contiguous (D, n), D a power of two")
    if buffer.is_floating_point() != rows.weights.is_floating_point():
        raise ShapeError(
            f"weights are {rows.weights.dtype}, the buffer {buffer.dtype}: expected both floating point or "
            "both whole numbers (see fixed_point)"
        )
    if spikes.ndim != 1 or spikes.dtype != torch.int32:
        raise ShapeError(
            f"spikes are {spikes.dtype} {tuple(spikes.shape)}: expected int32 (n,), source indices"
        )
    if {spikes.device, rows.targets.device} != {buffer.device}:
        raise ShapeError(
            f"spikes on {spikes.device}, rows on {rows.targets.device}, buffer on {buffer.device}: move them"
        )
    if buffer.device.type != "cpu":
        # Looking at values would wait for the device.
        return
    spikes = spikes if count is None else spikes[: int(count)]
    if len(spikes) and not 0 <= int(spikes.min()) <= int(spikes.max()) < rows.n_sources:
        raise ShapeError(
            f"spikes of sources {int(spikes.min())}..{int(spikes.max())}: there are {rows.n_sources}"
        )
    if rows.n_synapses and int(rows.delays.max()) >= buffer.shape[0]:
        raise ShapeError(
            f"the longest delay is {int(rows.delays.max())} steps, the ring has {buffer.shape[0]}: "
            "expected more slots than the longest delay"
        )
    if rows.n_synapses and int(rows.targets.max()) >= buffer.shape[1]:
        raise ShapeError(f"target {int(rows.targets.max())}: the ring has {buffer.shape[1]} inputs")


def _quickest_form(spikes: Tensor, rows: SynapseRows, count: Tensor | None) -> DeliveryForm:
    if spikes.device.type != "cpu" or "bins" not in vars(rows):
        return "scatter"
    n = len(spikes) if count is None else int(count)
    return "gather" if n > _GATHER_SHARE * rows.n_sources else "scatter"


def deliver_spikes(
    spikes: Tensor,
    rows: SynapseRows,
    buffer: Tensor,
    step: int | Tensor,
    *,
    count: Tensor | None = None,
    form: DeliveryForm | None = None,
    implementation: Implementation | None = None,
) -> None:
    """Add what the spikes of one step cause to the ring of future inputs, in place.

    Parameters
    ----------
    spikes : int32 tensor (n,)
        Sources that fired, each at most once.
    rows : SynapseRows
    buffer : tensor (D, n_inputs)
        Slot ``k % D`` holds the inputs of step k; D a power of two above the longest delay. Whole numbers
        where the weights are (see :func:`fixed_point`): the result then does not depend on the order.
    step : int, or int64 tensor (1,) on the device
        The step k in which the spikes were found.
    count : int32 tensor (1,), optional
        Only the first ``count`` entries of spikes are spikes: the length stays on the device.
    form : {"scatter", "gather"}, optional
        Gather reads all synapses, in the order of ``rows.bins``. When left out: gather on a CPU if more than
        two fifths of the sources spike and ``rows.bins`` was made before (making it takes a sort), else
        scatter; on a GPU, where counting would wait, scatter.
    implementation : {"reference", "cpu", "gpu"}, optional
        By the buffer's device when left out.

    Raises
    ------
    ShapeError
        If shapes, types, devices, a source, a target or a delay do not fit (values are looked at on a CPU
        only).

    Notes
    -----
    Scatter: 9 bytes and one addition a delivered synapse. Gather: 8 bytes a stored synapse.

    Examples
    --------
    >>> rows = SynapseRows(torch.tensor([0, 2, 3]), torch.tensor([0, 1, 1], dtype=torch.int32),
    ...                    torch.tensor([0.5, 2.0, -1.0]), torch.tensor([1, 3, 1], dtype=torch.uint8))
    >>> ring = torch.zeros(4, 2)
    >>> deliver_spikes(torch.tensor([0], dtype=torch.int32), rows, ring, step=2)
    >>> ring.tolist()
    [[0.0, 0.0], [0.0, 2.0], [0.0, 0.0], [0.5, 0.0]]
    """
    if form is None:
        form = _quickest_form(spikes, rows, count)
    if form not in get_args(DeliveryForm):
        raise ShapeError(f"form={form!r}: expected one of {', '.join(get_args(DeliveryForm))}")
    _validate(spikes, rows, buffer, count)
    chosen = choose(buffer, implementation)
    if chosen == "gpu":
        from neuroai_kernels.spike_delivery import gpu

        deliver = gpu.gather_gpu if form == "gather" else gpu.scatter_gpu
        deliver(spikes, count, rows, buffer, step)
        return
    found = spikes if count is None else spikes[: int(count)]
    if form == "scatter":
        from neuroai_kernels.spike_delivery.cpu import scatter_cpu
        from neuroai_kernels.spike_delivery.reference import scatter_reference

        (scatter_cpu if chosen == "cpu" else scatter_reference)(found, rows, buffer, int(step))
        return
    from neuroai_kernels.spike_delivery.cpu import gather_cpu
    from neuroai_kernels.spike_delivery.reference import gather_reference

    active = torch.zeros(1, rows.n_sources, dtype=torch.bool, device=buffer.device)
    active[0, found.to(torch.int64)] = True
    words = pack_bits(active).words[0]
    (gather_cpu if chosen == "cpu" else gather_reference)(words, rows, buffer, int(step))
