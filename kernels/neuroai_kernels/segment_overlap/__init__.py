r"""Overlap of dendritic segments with binary activity: whole numbers, equal in every form, on every device.

.. math:: o_{bs} = \sum_{l} x_{b, i_{sl}}

Three forms: *gather* looks every synapse up, *mask* counts common bits, *event* visits the listeners of
active cells.
"""

from dataclasses import dataclass
from types import ModuleType

from torch import Tensor

from neuroai_kernels._dispatch import Implementation, choose
from neuroai_kernels.errors import ShapeError
from neuroai_kernels.segment_overlap import reference
from neuroai_kernels.segment_overlap.bits import PackedBits as PackedBits
from neuroai_kernels.segment_overlap.bits import pack_bits as pack_bits
from neuroai_kernels.segment_overlap.forms import Form as Form
from neuroai_kernels.segment_overlap.forms import quickest_form, require_form
from neuroai_kernels.segment_overlap.index import SegmentIndex as SegmentIndex

__all__ = [
    "Form",
    "PackedBits",
    "SegmentIndex",
    "SegmentResponses",
    "pack_bits",
    "segment_overlap",
    "segment_responses",
]


@dataclass(frozen=True)
class SegmentResponses:
    """What each neuron's segments do.

    Attributes
    ----------
    active : bool tensor (B, neurons)
        Any segment has its threshold of active synapses.
    largest, best : int32 tensors (B, neurons)
        Largest overlap, and the place among the neuron's segments of the first that has it.
    """

    active: Tensor
    largest: Tensor
    best: Tensor


def _prepared(x: Tensor | PackedBits, segments: Tensor | SegmentIndex) -> tuple[PackedBits, SegmentIndex]:
    bits = x if isinstance(x, PackedBits) else pack_bits(x)
    index = segments if isinstance(segments, SegmentIndex) else SegmentIndex(segments, bits.n)
    if index.n != bits.n:
        raise ShapeError(f"x has {bits.n} cells, the segments were made for {index.n}")
    if index.synapses.device != bits.words.device:
        raise ShapeError(
            f"x is on {bits.words.device}, the segments on {index.synapses.device}: move one of them"
        )
    return bits, index


def _chosen_form(bits: PackedBits, index: SegmentIndex, keeps_index: bool, activity: float | None) -> Form:
    if not keeps_index:
        # Making masks or lists for one call costs more than looking every synapse up.
        return "gather"
    n_rows, device = bits.words.shape[0], bits.words.device.type
    if activity is None and device == "cpu":
        activity = float(reference.popcount(bits.words).sum()) / max(1, n_rows * bits.n)
    additions = float("inf") if activity is None else activity * n_rows * index.n_synapses
    return quickest_form(device, n_rows, bits.n, index.n_segments, index.n_slots, additions)


def _module(implementation: Implementation) -> ModuleType:
    if implementation == "gpu":
        from neuroai_kernels.segment_overlap import gpu

        return gpu
    if implementation == "cpu":
        from neuroai_kernels.segment_overlap import cpu

        return cpu
    return reference


def segment_overlap(
    x: Tensor | PackedBits,
    segments: Tensor | SegmentIndex,
    *,
    form: Form | None = None,
    activity: float | None = None,
    implementation: Implementation | None = None,
) -> Tensor:
    """Active synapses of every segment.

    Parameters
    ----------
    x : tensor (B, n) or (n,), or PackedBits
        Binary activity.
    segments : int32 tensor (S, L), or SegmentIndex
        Presynaptic cells, -1 for none. Make a :class:`SegmentIndex` once for segments used again: it is
        checked once, and keeps the masks and lists of the other two forms.
    form : {"gather", "mask", "event"}, optional
        By a cost model with measured constants when left out (always "gather" for a plain tensor).
    activity : float, optional
        Fraction of active cells to expect, for that choice. On a CPU it is counted; on a GPU counting would
        wait for the device, and "event" is only considered when it is given.
    implementation : {"reference", "cpu", "gpu"}, optional
        By the device when left out.

    Returns
    -------
    int32 tensor (B, S)

    Raises
    ------
    ShapeError
        If x is not binary, a synapse names no cell, sizes or devices differ, or (mask form) a segment has a
        cell twice.
    KernelUnavailableError
        If the implementation cannot run here.

    Notes
    -----
    Bytes, at least: gather ``4 S L`` for each 64 rows, mask ``S n / 8``, event 8 for each listener of an
    active cell; all write ``4 B S``. For more than 8 rows a GPU keeps a copy of the lists, slot by slot.

    Examples
    --------
    >>> import torch
    >>> synapses = torch.tensor([[0, 2, 5], [1, 3, -1]], dtype=torch.int32)
    >>> segment_overlap(torch.tensor([1, 0, 1, 1, 0, 0]), synapses).tolist()
    [[2, 1]]
    """
    bits, index = _prepared(x, segments)
    if form is None:
        form = _chosen_form(bits, index, isinstance(segments, SegmentIndex), activity)
    require_form(form)
    overlap: Tensor = getattr(_module(choose(bits.words, implementation)), f"overlap_{form}")(bits, index)
    return overlap


def segment_responses(
    x: Tensor | PackedBits,
    segments: Tensor | SegmentIndex,
    threshold: int,
    n_per_neuron: int,
    *,
    form: Form | None = None,
    activity: float | None = None,
    implementation: Implementation | None = None,
) -> SegmentResponses:
    """Reduce each neuron's segments: any at threshold, the largest overlap, the first segment that has it.

    Parameters
    ----------
    x, segments, form, activity, implementation : as in :func:`segment_overlap`
    threshold : int
        Active synapses for a dendritic spike, at least 1.
    n_per_neuron : int
        D: segments ``D i`` to ``D i + D - 1`` belong to neuron i.

    Returns
    -------
    SegmentResponses

    Raises
    ------
    ShapeError
        As :func:`segment_overlap`; also if S is no multiple of D, or the threshold is below 1 or above L.

    Notes
    -----
    The gather form with up to 255 synapses reduces as it goes and writes 8 bytes a neuron and row in place of
    ``4 D``: on a GPU for D a power of two, on a CPU for more than 8 rows; other cases store the overlaps
    first. Memory for more than 8 rows as :func:`segment_overlap`.

    Examples
    --------
    >>> import torch
    >>> synapses = torch.tensor([[0, 2, 5], [1, 3, -1]], dtype=torch.int32)
    >>> found = segment_responses(torch.tensor([1, 0, 1, 1, 0, 0]), synapses, threshold=2, n_per_neuron=2)
    >>> found.active.tolist(), found.largest.tolist(), found.best.tolist()
    ([[True]], [[2]], [[0]])
    """
    bits, index = _prepared(x, segments)
    if n_per_neuron < 1 or index.n_segments % n_per_neuron:
        raise ShapeError(f"{index.n_segments} segments are no multiple of n_per_neuron={n_per_neuron}")
    if not 1 <= threshold <= index.n_slots:
        raise ShapeError(f"threshold={threshold}: expected 1..{index.n_slots}, the synapses of a segment")
    if form is None:
        form = _chosen_form(bits, index, isinstance(segments, SegmentIndex), activity)
    implementation = choose(bits.words, implementation)
    found = None
    if implementation != "reference" and form == "gather":
        found = _module(implementation).respond_gather(bits, index, n_per_neuron)
    if found is None:
        overlap = segment_overlap(bits, index, form=form, implementation=implementation)
        reduce = _module("cpu" if implementation == "cpu" else "reference").reduce_segments
        found = reduce(overlap, n_per_neuron)
    return SegmentResponses(found[0] >= threshold, *found)
