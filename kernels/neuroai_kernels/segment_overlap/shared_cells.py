"""CUDA form for up to eight rows: cells in shared memory; compiled by PyTorch's NVRTC library."""

from functools import lru_cache
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor

from neuroai_kernels.segment_overlap.index import SegmentIndex

__all__ = ["fits", "launch"]

_THREADS, _AHEAD, _FIRST, _LARGEST_INT = 1024, 4, 16, 2**31 - 1


def _most_bytes(device: torch.device) -> int:
    """Shared memory that a block may ask for."""
    return int(getattr(torch.cuda.get_device_properties(device), "shared_memory_per_block_optin", 48 * 1024))


def _bytes(cells: Tensor) -> int:
    return _FIRST + -(-cells.nbytes // 16) * 16


@lru_cache(maxsize=16)
def _kernel(rows: int, slots: int, per: int, device: torch.device) -> Any | None:
    """The compiled kernel; None where NVRTC is missing."""
    sizes = {"ROWS": rows, "SLOTS": slots, "PER": per, "THREADS": _THREADS}
    head = "".join(f"#define {name} {value}\n" for name, value in sizes.items())
    source = (files("neuroai_kernels.segment_overlap") / "shared_cells.cu").read_text()
    try:
        with torch.cuda.device(device):
            kernel = torch.cuda._compile_kernel(head + source, "shared_cells")
            kernel.set_shared_memory_config(_most_bytes(device))
    except (AttributeError, ImportError, OSError, RuntimeError):
        return None
    return kernel


def _compiled(cells: Tensor, index: SegmentIndex, per: int) -> Any | None:
    return _kernel(8 if cells.dtype == torch.uint8 else 1, index.n_slots, per, cells.device)


def fits(cells: Tensor, index: SegmentIndex, per: int = 0) -> bool:
    """Whether :func:`launch` takes such cells, segments and neurons of ``per`` segments; else Triton does."""
    smallest = 16 if cells.dtype == torch.uint8 else 4
    return (
        cells.is_cuda
        and cells.is_contiguous()
        and index.n_slots in {4, 8, 16, 32, 64, 128}
        and index.n_slots >= smallest
        and index.n_segments <= _LARGEST_INT
        and per * index.n_slots % (128 * _AHEAD) == 0
        and cells.data_ptr() % 16 == index.synapses.data_ptr() % 16 == 0
        and _bytes(cells) <= _most_bytes(cells.device)
        and _compiled(cells, index, per) is not None
    )


def launch(cells: Tensor, index: SegmentIndex, out: Tensor, best: Tensor | None = None, per: int = 0) -> None:
    """Write every overlap; or, with ``per``, each neuron's largest and the first segment that has it.

    Parameters
    ----------
    cells : int32 tensor (1, words) or uint8 tensor (1, n)
        One row's packed words, or of up to eight rows the bits of a cell as a byte.
    index : SegmentIndex
    out, best : int32 tensors (rows, segments) or (rows, neurons)
    per : int
        Segments a neuron.
    """
    kernel = _compiled(cells, index, per)
    assert kernel is not None, "fits() was not asked"
    device = cells.device
    blocks = torch.cuda.get_device_properties(device).multi_processor_count
    most = -(-index.n_segments * index.n_slots // (_THREADS * 4 * _AHEAD))
    with torch.cuda.device(device):
        kernel(
            grid=(min(blocks, most), 1, 1),
            block=(_THREADS, 1, 1),
            args=[cells, index.synapses, out, out if best is None else best, cells.nbytes, len(out),
                  index.n_segments],
            shared_mem=_bytes(cells),
        )  # fmt: skip
