"""CUDA form that adds in shared memory, compiled by the NVRTC library that PyTorch brings."""

from functools import lru_cache
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor

from neuroai_kernels.errors import KernelUnavailableError
from neuroai_kernels.event_matmul.index import TILE
from neuroai_kernels.segment_overlap.bits import PackedBits

__all__ = ["scatter"]

_WARPS, _ROUND, _AHEAD = 16, 6144, 4
_BLOCKS_A_MULTIPROCESSOR, _LEAST_SOURCES, _MOST_PIECES = 2, 128, 8
_MASK, _GRADED, _PACKED = 0, 1, 2


@lru_cache(maxsize=16)
def _kernel(kind: int, weighted: bool, device: int) -> Any:
    source = (files("neuroai_kernels.event_matmul") / "tiled.cu").read_text()
    constants = {
        "KIND": kind, "WEIGHTED": int(weighted), "TILE": TILE, "WARPS": _WARPS, "ROUND": _ROUND,
        "AHEAD": _AHEAD,
    }  # fmt: skip
    head = "".join(f"#define {name} {value}\n" for name, value in constants.items())
    try:
        with torch.cuda.device(device):
            return torch.cuda._compile_kernel(head + source, "tiled_scatter")
    except (AttributeError, ImportError, OSError, RuntimeError) as error:
        raise KernelUnavailableError(
            f"form='tiled' could not be compiled ({error}): use form='scatter', or install the CUDA toolkit"
        ) from error


def scatter(
    spikes: Tensor | PackedBits,
    pointers: Tensor,
    indices: Tensor,
    weights: Tensor | None,
    n_out: int,
) -> Tensor:
    """``spikes @ W`` in float32; ``pointers`` divide each row by tiles of targets."""
    packed = isinstance(spikes, PackedBits)
    values = spikes.words if isinstance(spikes, PackedBits) else spikes
    kind = _PACKED if packed else _MASK if values.dtype == torch.bool else _GRADED
    n_tiles = -(-n_out // TILE)
    n_pre = (len(pointers) - 1) // n_tiles
    out = torch.zeros((len(values), n_out), dtype=torch.float32, device=values.device)
    processors = torch.cuda.get_device_properties(values.device).multi_processor_count
    n_shares = max(1, min(_BLOCKS_A_MULTIPROCESSOR * processors // n_tiles, n_pre // _LEAST_SOURCES))
    mean_part = len(indices) // max(1, n_pre * n_tiles)
    n_pieces = min(_MOST_PIECES, 1 + mean_part // 32)
    row_bytes = values.shape[1] * values.element_size()
    _kernel(kind, weights is not None, values.device.index or 0)(
        grid=(n_tiles * n_shares, len(values), 1),
        block=(_WARPS * 32, 1, 1),
        args=[
            values, pointers, indices, indices if weights is None else weights, out,
            n_pre, n_out, n_tiles, n_shares, n_pieces, row_bytes,
        ],
    )  # fmt: skip
    return out
