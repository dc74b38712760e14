r"""Spikes times sparse weights: work in proportion to the spikes, gradients at the synapses only.

.. math:: y_{bj} = \sum_{i : s_{bi} \neq 0} s_{bi} \sum_{k : i \to j} w_k
"""

import torch
from torch import Tensor

from neuroai_kernels._dispatch import Implementation, choose
from neuroai_kernels.errors import KernelUnavailableError, ShapeError
from neuroai_kernels.event_matmul.forms import Form as Form
from neuroai_kernels.event_matmul.forms import event_product
from neuroai_kernels.event_matmul.index import SynapseIndex as SynapseIndex
from neuroai_kernels.event_matmul.index import Transposed as Transposed
from neuroai_kernels.event_matmul.spikes import SpikeList as SpikeList
from neuroai_kernels.event_matmul.spikes import Spikes as Spikes
from neuroai_kernels.segment_overlap.bits import PackedBits

__all__ = ["Form", "SpikeList", "Spikes", "SynapseIndex", "Transposed", "event_matmul"]

#: Gather when each source spikes more often than this over the rows of a batch, as found by
#: ``benchmarks/event_matmul.py``; on an H200 the forms were equal at 1.6 with 8 rows, at 2.5 with 32.
GATHER_FROM = {"cpu": 7.0, "cuda": 2.0}
_BITS_BELOW_LARGEST = 40
_SMALLEST = 1e-200  # so that a quantum and its inverse are normal numbers


def _checked(spikes: Spikes, synapses: SynapseIndex) -> tuple[Tensor, Tensor | None, tuple[int, ...]]:
    """Tensors of the operator, and the leading shape of the result."""
    count: Tensor | None = None
    leading: tuple[int, ...] = ()
    if isinstance(spikes, SpikeList):
        found, values, count = spikes.n, spikes.neurons, spikes.count
    elif isinstance(spikes, PackedBits):
        found, values, leading = spikes.n, spikes.words, (len(spikes.words),)
    else:
        if spikes.ndim == 0:
            raise ShapeError("spikes are a single number: expected (..., n_pre)")
        found, leading = spikes.shape[-1], tuple(spikes.shape[:-1])
        values = spikes.reshape(-1, found)
    if found != synapses.n_pre:
        raise ShapeError(f"spikes of {found} neurons: the synapses come from {synapses.n_pre}")
    if values.device != synapses.indptr.device:
        raise ShapeError(
            f"spikes are on {values.device}, the synapses on {synapses.indptr.device}: move one of them"
        )
    return values.contiguous(), count, leading


def _checked_weights(weights: Tensor | float, synapses: SynapseIndex) -> Tensor | None:
    """Weights of the synapses; None for one that all share."""
    if not isinstance(weights, Tensor) or weights.ndim == 0:
        return None
    if weights.shape != (synapses.n_synapses,) or not weights.is_floating_point():
        raise ShapeError(
            f"weights are {weights.dtype} {tuple(weights.shape)}: expected floating "
            f"({synapses.n_synapses},), one a synapse, or one number"
        )
    if weights.device != synapses.indptr.device:
        raise ShapeError(
            f"weights are on {weights.device}, the synapses on {synapses.indptr.device}: move one of them"
        )
    return weights.contiguous()


def _quantum(weights: Tensor | None, device: torch.device) -> Tensor:
    """A power of two, 2^-40 of the largest weight; on the device, so that nothing waits."""
    if weights is None or not weights.numel():
        return torch.full((), 2.0**-_BITS_BELOW_LARGEST, dtype=torch.float64, device=device)
    low, high = torch.aminmax(weights.detach())  # reads once, and writes no array of absolute values
    largest = torch.maximum(-low, high).double().clamp(min=_SMALLEST)
    return torch.exp2(torch.ceil(torch.log2(largest)) - _BITS_BELOW_LARGEST)


def _dtype(values: Tensor, weights: Tensor | float) -> torch.dtype:
    if isinstance(weights, Tensor):
        return weights.dtype
    return values.dtype if values.is_floating_point() else torch.float32


def _chosen_form(
    values: Tensor, count: Tensor | None, synapses: SynapseIndex, activity: float | None
) -> Form:
    """Gather for busy batches, if the synapses by target were made before; else scatter."""
    device = values.device.type
    # A list of spikes is short by its nature.
    if count is not None or "transposed" not in synapses.__dict__ or values.dtype == torch.int32:
        return "scatter"
    if activity is None and device == "cpu":
        activity = int(torch.count_nonzero(values)) / max(1, values.numel())
    busy = activity is not None and activity * len(values) > GATHER_FROM.get(device, 2.0)
    return "gather" if busy else "scatter"


def event_matmul(
    spikes: Spikes,
    synapses: SynapseIndex,
    weights: Tensor | float,
    *,
    form: Form | None = None,
    activity: float | None = None,
    deterministic: bool = False,
    implementation: Implementation | None = None,
) -> Tensor:
    r"""What the spikes add to every target: ``spikes @ W``.

    Parameters
    ----------
    spikes : tensor (..., n_pre), PackedBits or SpikeList
        A bool tensor is a mask; any other tensor is graded, its values multiply (spikes of
        :func:`neuroai_kernels.neuron_scan.neuron_scan` are 0 and 1 in floating point, and take a gradient).
    synapses : SynapseIndex
    weights : floating tensor (nnz,), or one number
        In the order of ``synapses``. One number (a float, or a tensor () that takes a gradient) saves
        reading them.
    form : {"scatter", "gather", "tiled"}, optional
        *scatter* visits the synapses of neurons that spike; *gather* visits every synapse by target, free of
        atomics, for busy batches; *tiled* scatters into shared memory (CUDA with NVRTC, float32; by name
        only), quicker from 1 % activity on. Left out: scatter, or gather by ``GATHER_FROM`` where
        `SynapseIndex.transposed` was made.
    activity : float, optional
        Share of neurons that spike, for that choice; counted on a CPU, never on a GPU, where that would wait.
    deterministic : bool
        Add whole multiples of :math:`2^{-40}` of the largest weight: the same bits in every form, order and
        device. Reads all weights once to find it.
    implementation : {"reference", "cpu", "gpu"}, optional
        By the device when left out.

    Returns
    -------
    tensor (..., n_post)
        In the weights' dtype; for one float, in that of graded spikes, else float32.

    Raises
    ------
    ShapeError
        If sizes, dtypes or devices do not fit.
    KernelUnavailableError
        If the form or implementation cannot run here.

    Notes
    -----
    Time: scatter ``O(B n_pre + events)``, gather ``O(B nnz)``. Least bytes of a scatter: 8 an event
    (4 with one weight). Gradient of the weights: :math:`\partial w_k = \sum_b s_{bi} g_{bj}` at the
    synapses, silent rows skipped; of the spikes: ``g @ W^T`` over all synapses, since a surrogate is not 0
    without a spike. All offsets are 64 bits wide. A torch operator: opaque to ``torch.compile`` without a
    graph break; CUDA forms wait for nothing and can be captured in a graph.

    Examples
    --------
    >>> import torch
    >>> synapses = SynapseIndex(torch.tensor([0, 2, 3]), torch.tensor([0, 2, 2], dtype=torch.int32), 3)
    >>> event_matmul(torch.tensor([True, True]), synapses, torch.tensor([1.0, 2.0, 4.0]))
    tensor([1., 0., 6.])
    >>> event_matmul(torch.tensor([True, True]), synapses, 0.5)
    tensor([0.5000, 0.0000, 1.0000])
    """
    values, count, leading = _checked(spikes, synapses)
    each = _checked_weights(weights, synapses)
    chosen = choose(synapses.indptr, implementation)
    dtype = _dtype(values, weights)
    if isinstance(spikes, Tensor) and values.dtype not in (torch.bool, dtype):
        values = values.to(dtype)
    if chosen == "cpu" and dtype not in (torch.float32, torch.float64):
        chosen = "reference"
    form = _chosen_form(values, count, synapses, activity) if form is None else form
    quantum = _quantum(each, values.device) if deterministic else None
    if deterministic:
        form = "scatter"
    product: Tensor = event_product(
        values, count, synapses.indptr, synapses.indices, each, _extra(form, synapses, dtype),
        quantum, synapses.n_post, dtype, form, chosen,
    )  # fmt: skip
    product = product.reshape(*leading, synapses.n_post)
    return product if each is not None else product * weights


def _extra(form: str, synapses: SynapseIndex, dtype: torch.dtype) -> list[Tensor]:
    """What a form needs beside the synapses by source."""
    if form == "scatter":
        return []
    if form == "gather":
        by_target = synapses.transposed
        return [by_target.indptr, by_target.sources, by_target.places]
    if form != "tiled":
        raise ShapeError(f"form={form!r}: expected scatter, gather or tiled")
    if synapses.indptr.device.type != "cuda" or dtype != torch.float32:
        raise KernelUnavailableError(
            f"form='tiled' runs on CUDA devices in float32; found {synapses.indptr.device}, {dtype}"
        )
    return [synapses.tiles]
