"""Drawn synapses by way of lists of arrivals, ``listed.cu``: compiled by the NVRTC library of PyTorch."""

from functools import lru_cache
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor

from neuroai_kernels.connectivity.gpu import deviate_tables, wrapped_seed
from neuroai_kernels.connectivity.rules import WEIGHT_LEVELS
from neuroai_kernels.drawn_delivery.gpu import processors
from neuroai_kernels.drawn_delivery.rows import DrawnRows
from neuroai_kernels.errors import KernelUnavailableError

__all__ = ["ArrivalLists"]

# Targets of a list, and those that a block adds in its shared memory.
_TILE, _PART = 1 << 16, 1 << 15
# Arrivals of a step that a list holds for each of its targets; more go to the ring at once.
_ROOM = 4
_THREADS, _EACH, _PROGRAMS, _ADDING = 256, 8, 8, 1024
_TABLE_BYTES, _MOST_TABLES, _MOST_SHARED = 4096 * (2 + 4) + 2048, 32, 200_000


@lru_cache(maxsize=16)
def _kernel(name: str, head: str, shared: int, device: int) -> Any:
    source = (files("neuroai_kernels.drawn_delivery") / "listed.cu").read_text()
    try:
        with torch.cuda.device(device):
            kernel = torch.cuda._compile_kernel(head + source, name)
    except (AttributeError, ImportError, OSError, RuntimeError) as error:
        raise KernelUnavailableError(f"{name} could not be compiled: {error}") from error
    kernel.set_shared_memory_config(shared)
    return kernel


class ArrivalLists:
    """What drawn synapses send to later steps, as lists beside a ring of whole numbers.

    Parameters
    ----------
    rows : DrawnRows
        With whole weights.
    ring : int32 tensor (D, n_inputs)
        On a CUDA device; complete for a step once :meth:`add` was called in it.
    step : int64 tensor (1,)
        The present step, on the device.

    Raises
    ------
    KernelUnavailableError
        If the kernels cannot be compiled, or the connections do not fit them.

    Notes
    -----
    16 bytes for each place of the ring, and 8 moved for each arrival where an addition to a ring beyond the
    second cache moves 64. The sums are of whole numbers, the ring's to the last bit.
    """

    def __init__(self, rows: DrawnRows, ring: Tensor, step: Tensor) -> None:
        self._rows, self._ring, self._step, device = rows, ring, step, ring.device
        self._slots, self._n_inputs = ring.shape
        self._n_tiles = -(-self._n_inputs // _TILE)
        self._weights, kinds = torch.unique(rows.weights, dim=0, return_inverse=True)
        self._kinds = kinds.to(torch.int32)
        self._seed = wrapped_seed(rows.seed, device)
        self._room = _ROOM * min(_TILE, self._n_inputs)
        span = max((self._tiles(c.first_target, c.n_targets) for c in rows.connections), default=1)
        self._shared = _TABLE_BYTES + 8 * span * self._slots + 12 * _THREADS + 8 + 6 * _EACH * _THREADS
        tables = len(self._weights)
        constants = {
            "SLOTS": self._slots, "TILE": _TILE, "PART": _PART, "SPAN": span, "EACH": _EACH, "TABLES": tables,
        }  # fmt: skip
        self._head = "".join(f"#define {name} {value}\n" for name, value in constants.items())
        if tables > _MOST_TABLES or self._shared > _MOST_SHARED:
            raise KernelUnavailableError(
                f"{tables} distinct tables of weights, and targets over {span} tiles, which take "
                f"{self._shared} bytes of shared memory: expected at most {_MOST_TABLES} tables and "
                f"{_MOST_SHARED} bytes"
            )
        self._draw = self._compiled("list_drawn", _THREADS, self._shared)
        self._adding = 4 * (_PART + tables * WEIGHT_LEVELS)
        self._add = self._compiled("add_lists", _ADDING, self._adding)
        n_lists = self._n_tiles * self._slots
        self._lengths = torch.zeros(n_lists, dtype=torch.int32, device=device)
        self._lists = torch.empty(n_lists * self._room, dtype=torch.int32, device=device)

    @staticmethod
    def _tiles(first: int, n: int) -> int:
        return (first + n - 1) // _TILE - first // _TILE + 1

    def _compiled(self, name: str, threads: int, shared: int) -> Any:
        head = f"#define THREADS {threads}\n" + self._head
        return _kernel(name, head, shared, self._ring.device.index or 0)

    @property
    def nbytes(self) -> int:
        """Bytes of the lists."""
        return self._lists.nbytes + self._lengths.nbytes

    def deliver(self, spikes: Tensor, count: Tensor) -> None:
        """Draw the rows of the first ``count`` of the sources listed, and write their arrivals down."""
        rows, device = self._rows, self._ring.device
        self._draw(
            grid=(_PROGRAMS * processors(device), 1, 1),
            block=(_THREADS, 1, 1),
            shared_mem=self._shared,
            args=[
                spikes, count, self._seed, rows.table, rows.counts, rows.delays, rows.classes, rows.members,
                rows.starts, self._kinds, *deviate_tables(device), self._weights, self._ring, self._lists,
                self._lengths, self._step, self._n_inputs, self._n_tiles, rows.most,
                -(-rows.longest // (_EACH * _THREADS)), self._room,
            ],
        )  # fmt: skip

    def add(self, *, all_steps: bool = False) -> None:
        """Add the lists of this step to the ring; with ``all_steps``, all of them, which are then empty."""
        parts = self._n_tiles * (_TILE // _PART) * (self._slots if all_steps else 1)
        self._add(
            grid=(parts, 1, 1),
            block=(_ADDING, 1, 1),
            shared_mem=self._adding,
            args=[
                self._lists, self._lengths, self._weights, self._ring, self._step, int(all_steps),
                self._n_inputs, self._room,
            ],
        )  # fmt: skip
        if all_steps:
            self._lengths.zero_()

    def clear(self) -> None:
        """Forget all arrivals."""
        self._lengths.zero_()
