"""Many steps in one launch with all that changes kept inside the multiprocessors; see ``resident.cu``."""

from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from neuroai.simulation.gpu_rows import LEVELS
from neuroai.simulation.gpu_state import External
from neuroai_kernels.neuron_update import Kind

if TYPE_CHECKING:
    from neuroai.simulation.gpu import GpuEngine

__all__ = ["ResidentSteps"]

# As in resident.cu.
_IDS, _LISTS, _PIECES, _COUNTERS = 7, 4, 1024, 12
_MOST_THREADS, _FEWEST_WORKING, _WARP = 1024, 512, 32
# Looks at the mailbox, about half a microsecond each, before a block gives up on the others.
_PATIENCE = 1 << 22


@lru_cache(maxsize=16)
def _compiled(head: str, device: int) -> Any:
    source = (files("neuroai.simulation") / "resident.cu").read_text()
    with torch.cuda.device(device):
        return torch.cuda._compile_kernel(head + source, "resident_steps")


def _up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


def _bits(number: float) -> int:
    """A float32 as the whole number of its bits: kernels take floats in float64 alone."""
    return int(np.float32(number).view(np.int32))


class ResidentSteps:
    """Launches of the kernel for one engine; compiled for its shape, not for its numbers."""

    def __init__(self, engine: "GpuEngine", *, profile: bool = False) -> None:
        self._engine, self._profiled = engine, profile
        layout, rows, blocks = engine.layout, engine.rows, engine.owners.cpu()
        n_blocks, pitch = len(blocks), _up(int((blocks[:, 1] - blocks[:, 0] // 4 * 4).max()), 4)
        listening = _up(n_blocks, _WARP)
        self.shape: dict[str, int | str] = {
            "THREADS": listening + max(_up(pitch, _WARP), _FEWEST_WORKING),
            "LISTENING": listening,
            "BLOCKS": n_blocks,
            "CHANNELS": layout.n_channels,
            "SLOTS": layout.slots,
            "PITCH": pitch,
            "LANES": engine.lanes,
            "CLASSES": 1 if rows.stored else len(rows.tables),
            "LIMITS": engine._n_thresholds if engine._static["POISSON"] else 0,
            "STORED": int(rows.stored),
            "START": "int" if rows.starts.dtype == torch.int32 else "long long",
        }
        self._mail = torch.empty(2, n_blocks, n_blocks, 2, dtype=torch.int64, device=engine.device)
        self._lists = engine._whole(_LISTS, n_blocks, engine.lanes)
        #: Cycles of each block; of a thread that listens, the first that delivers and one that draws and
        #: delivers: to the end of the update, of exchange or drawing, of delivery, and until all are done.
        self.profile = engine._whole(n_blocks, 3, 4)

    @property
    def nbytes(self) -> int:
        """Bytes of the mailboxes and lists."""
        return self._mail.nbytes + self._lists.nbytes

    @property
    def shared_bytes(self) -> int:
        """Shared memory of a block."""
        shape: dict[str, Any] = self.shape
        ring = shape["SLOTS"] * shape["CHANNELS"] * shape["PITCH"]
        table = shape["CLASSES"] * shape["CHANNELS"] * LEVELS
        pieces = 2 * _PIECES * (1 + self._engine.rows.starts.element_size() // 4)
        lists = 3 * shape["PITCH"] + shape["LIMITS"] + 4 + 4 * (_IDS + 1) * shape["BLOCKS"] + _COUNTERS
        return int(_up(4 * (ring + table + pieces + lists), 16))

    def _kernel(self, external: bool) -> Any:
        engine = self._engine
        flags = {
            "CURRENT": int(engine._current is not None),
            "EXTERNAL": int(external),
            "RECORD": int(engine.record),
            "PROFILE": int(self._profiled),
        }
        head = "".join(f"#define {name} {value}\n" for name, value in {**self.shape, **flags}.items())
        kernel = _compiled(head, engine.device.index or 0)
        kernel.set_shared_memory_config(self.shared_bytes)
        return kernel

    def obstacle(self) -> str | None:
        """What keeps the network from this form; None if nothing does."""
        engine = self._engine
        if engine.device.type != "cuda":
            return "it needs a CUDA device"
        if set(engine.layout.populations.kinds.tolist()) != {int(Kind.LIF_EXP)} or engine._static["NOISE"]:
            return "its neurons are not all LIFExp without noise"
        card: Any = torch.cuda.get_device_properties(engine.device)
        room = card.shared_memory_per_block_optin
        if int(self.shape["THREADS"]) > _MOST_THREADS or self.shared_bytes > room:
            return f"a block's part of the ring, {self.shared_bytes} bytes, exceeds a multiprocessor's {room}"
        try:
            self._kernel(external=False)
        except (AttributeError, ImportError, OSError, RuntimeError) as error:
            return f"its kernel could not be compiled ({error})"
        return None

    def launch(self, n: int, external: External | None) -> None:
        """Start ``n`` steps."""
        engine, layout, rows = self._engine, self._engine.layout, self._engine.rows
        outside: tuple[Any, ...] = (engine.failed, engine.failed, 0)
        if external is not None:
            outside = (external.places, external.rows, external.origin)
        self._mail.fill_(-1)
        self._kernel(external is not None)(
            grid=(len(engine.owners), 1, 1),
            block=(self.shape["THREADS"], 1, 1),
            shared_mem=self.shared_bytes,
            args=[
                engine.owners, engine._coefficients, engine._thresholds, engine.variables, engine.free_at,
                engine.variables if engine._current is None else engine._current, engine._seed,
                rows.starts, rows.words, rows.weights, rows.tables, rows.classes, engine.ring,
                _bits(rows.quantum), self._mail, self._lists, engine.tally, engine._record, engine._recorded,
                engine._record.shape[1], *outside, engine.position, n, _PATIENCE, engine.failed,
                len(layout.names), layout.n_neurons, engine._static["COEFFICIENTS"], self.profile,
            ],
        )  # fmt: skip
