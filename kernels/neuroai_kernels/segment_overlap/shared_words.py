"""CUDA form for one row: cells in shared memory, compiled by the NVRTC library that PyTorch brings."""

from functools import lru_cache
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor

from neuroai_kernels.segment_overlap.bits import PackedBits
from neuroai_kernels.segment_overlap.index import SegmentIndex

__all__ = ["fits", "overlap", "respond"]

_THREADS, _AHEAD, _LARGEST_INT = 1024, 4, 2**31 - 1
# Shared memory of a multiprocessor that two blocks may divide between them.
_HALF = 100 * 1024


@lru_cache(maxsize=16)
def _kernel(slots: int, per: int, n_bytes: int, device: int) -> Any | None:
    """The compiled kernel; None where NVRTC, or so much shared memory, is missing."""
    source = (files("neuroai_kernels.segment_overlap") / "shared_words.cu").read_text()
    head = f"#define SLOTS {slots}\n#define PER {per}\n#define THREADS {_THREADS}\n"
    try:
        with torch.cuda.device(device):
            kernel = torch.cuda._compile_kernel(head + source, "shared_words")
            kernel.set_shared_memory_config(n_bytes)
    except (AttributeError, ImportError, OSError, RuntimeError):
        return None
    return kernel


def _bytes(bits: PackedBits) -> int:
    return 4 * (bits.words.shape[1] + 1)


def fits(bits: PackedBits, index: SegmentIndex, per: int) -> bool:
    """Whether this form takes such rows, segments and, unless ``per`` is 0, neurons; else Triton does."""
    slots = index.n_slots
    if len(bits.words) != 1 or not bits.words.is_cuda or slots not in {4, 8, 16, 32, 64, 128}:
        return False
    if index.n_segments > _LARGEST_INT or per * slots % (128 * _AHEAD) or index.synapses.data_ptr() % 16:
        return False
    return _kernel(slots, per, _bytes(bits), bits.words.device.index or 0) is not None


def overlap(bits: PackedBits, index: SegmentIndex, out: Tensor) -> None:
    """Write the overlap of every segment."""
    _launch(bits, index, 0, out, out)


def respond(bits: PackedBits, index: SegmentIndex, per: int, largest: Tensor, best: Tensor) -> None:
    """Write each neuron's largest overlap and the first segment that has it."""
    _launch(bits, index, per, largest, best)


def _launch(bits: PackedBits, index: SegmentIndex, per: int, out: Tensor, best: Tensor) -> None:
    device, n_bytes = bits.words.device, _bytes(bits)
    blocks = torch.cuda.get_device_properties(device).multi_processor_count * (2 if n_bytes < _HALF else 1)
    most = -(-index.n_segments * index.n_slots // (_THREADS * 4 * _AHEAD))
    kernel = _kernel(index.n_slots, per, n_bytes, device.index or 0)
    assert kernel is not None, "fits() was not asked"
    kernel(
        grid=(min(blocks, most), 1, 1),
        block=(_THREADS, 1, 1),
        args=[bits.words.contiguous(), index.synapses, out, best, bits.words.shape[1], index.n_segments],
        shared_mem=n_bytes,
    )
