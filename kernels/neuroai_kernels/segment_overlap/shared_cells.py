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
    """Shared memory that one row of words, or the bytes of all, take."""
    return _FIRST + -(-cells[0].nbytes // 16) * 16


@lru_cache(maxsize=16)
def _kernel(rows: int, filtered: bool, slots: int, per: int, device: torch.device) -> Any | None:
    """The compiled kernel; None where NVRTC is missing."""
    sizes = {"ROWS": rows, "FILTER": int(filtered), "SLOTS": slots, "PER": per, "THREADS": _THREADS}
    head = "".join(f"#define {name} {value}\n" for name, value in sizes.items())
    source = (files("neuroai_kernels.segment_overlap") / "shared_cells.cu").read_text()
    try:
        with torch.cuda.device(device):
            kernel = torch.cuda._compile_kernel(head + source, "shared_cells")
            kernel.set_shared_memory_config(_most_bytes(device))
    except (AttributeError, ImportError, OSError, RuntimeError):
        return None
    return kernel


def _compiled(cells: Tensor, table: Tensor | None, index: SegmentIndex, per: int) -> Any | None:
    rows = 1 if table is None and cells.dtype == torch.int32 else 8
    return _kernel(rows, table is not None, index.n_slots, per, cells.device)


def fits(cells: Tensor, index: SegmentIndex, per: int = 0, table: Tensor | None = None) -> bool:
    """Whether :func:`launch` takes such cells, segments and neurons of ``per`` segments; else Triton does."""
    smallest = 4 if table is None and cells.dtype == torch.int32 else 16
    return (
        cells.is_cuda
        and index.n_slots in {4, 8, 16, 32, 64, 128}
        and index.n_slots >= smallest
        and index.n_segments <= _LARGEST_INT
        and per * index.n_slots % (128 * _AHEAD) == 0
        and cells.data_ptr() % 16 == index.synapses.data_ptr() % 16 == 0
        and _bytes(cells) <= _most_bytes(cells.device)
        and _compiled(cells, table, index, per) is not None
    )


def launch(
    cells: Tensor,
    index: SegmentIndex,
    out: Tensor,
    best: Tensor | None = None,
    per: int = 0,
    table: Tensor | None = None,
) -> None:
    """Write every overlap; or, with ``per``, each neuron's largest and the first segment that has it.

    Parameters
    ----------
    cells : contiguous int32 tensor (1, words) or uint8 tensor (1, n)
        One row's packed words, or of up to eight rows the bits of a cell as a byte. With a table: the packed
        words of up to eight rows, (rows, words).
    index : SegmentIndex
    out, best : int32 tensors (rows, segments) or (rows, neurons)
    per : int
        Segments a neuron.
    table : uint8 tensor (1, n), optional
        A byte a cell, left in global memory: read for cells that are active in some row.
    """
    kernel, device = _compiled(cells, table, index, per), cells.device
    assert kernel is not None, "fits() was not asked"
    blocks = torch.cuda.get_device_properties(device).multi_processor_count
    most = -(-index.n_segments * index.n_slots // (_THREADS * 4 * _AHEAD))
    tensors = [cells, cells if table is None else table, index.synapses, out, out if best is None else best]
    with torch.cuda.device(device):
        kernel(
            grid=(min(blocks, most), 1, 1),
            block=(_THREADS, 1, 1),
            args=[*tensors, cells[0].nbytes, len(out), index.n_segments],
            shared_mem=_bytes(cells),
        )
