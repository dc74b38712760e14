"""Many steps in one launch with all that changes kept inside the multiprocessors; see ``resident.cu``."""

from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import torch

from neuroai.simulation.gpu_rows import LEVELS
from neuroai.simulation.gpu_state import External
from neuroai_kernels.neuron_update import Kind

if TYPE_CHECKING:
    from neuroai.simulation.gpu import GpuEngine

__all__ = ["ResidentSteps", "why_not_resident"]

_KINDS = {int(Kind.LIF_DELTA), int(Kind.LIF_EXP)}
_IDS, _COUNTERS, _MOST_THREADS = 3, 8, 1024
# Looks at the mailbox, about half a microsecond each, before a block gives up on the others.
_PATIENCE = 1 << 22


@lru_cache(maxsize=16)
def _compiled(head: str, device: int) -> Any:
    source = (files("neuroai.simulation") / "resident.cu").read_text()
    with torch.cuda.device(device):
        return torch.cuda._compile_kernel(head + source, "resident_steps")


def _up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


class ResidentSteps:
    """Launches of the kernel for one engine."""

    def __init__(self, engine: "GpuEngine", *, profile: bool = False) -> None:
        self._engine, self._profiled = engine, profile
        blocks = engine.blocks.cpu()
        first, stop = blocks[:, 0], blocks[:, 1]
        self._pitch = _up(int((stop - first // 4 * 4).max()), 4)
        self._threads = max(_up(self._pitch, 32), _up(len(blocks), 32))
        shape = (2, len(blocks), len(blocks))
        self._mail = torch.full(shape, -1, dtype=torch.int64, device=engine.device)
        #: Cycles of each block in update, exchange, delivery and the wait for its slowest warp.
        self.profile = torch.zeros(len(blocks), 4, dtype=torch.int64, device=engine.device)

    @property
    def shared_bytes(self) -> int:
        """Shared memory of a block."""
        engine, n_blocks = self._engine, len(self._engine.blocks)
        channels = engine.layout.n_channels
        ring = engine.layout.slots * channels * self._pitch
        table = 0 if engine.rows.stored else engine.rows.tables.shape[0] * channels * LEVELS
        lists = self._pitch + engine._n_thresholds + (_IDS + 2) * n_blocks + self._pitch + _COUNTERS
        return 4 * (ring + table + lists)

    def _kernel(self, external: bool) -> Any:
        engine = self._engine
        flags = {
            "THREADS": self._threads,
            "CHANNELS": engine.layout.n_channels,
            "POISSON": int(engine._static["POISSON"]),
            "CURRENT": int(engine._current is not None),
            "STORED": int(engine.rows.stored),
            "EXTERNAL": int(external),
            "RECORD": int(engine.record),
            "START": "int" if engine.rows.starts.dtype == torch.int32 else "long long",
            "PROFILE": int(self._profiled),
        }
        head = "".join(f"#define {name} {value}\n" for name, value in flags.items())
        kernel = _compiled(head, engine.device.index or 0)
        kernel.set_shared_memory_config(self.shared_bytes)
        return kernel

    def launch(self, n: int, external: External | None) -> None:
        """Start ``n`` steps."""
        engine, layout, rows = self._engine, self._engine.layout, self._engine.rows
        outside: tuple[Any, ...] = (engine._step, engine._step, 0)
        if external is not None:
            outside = (external.places, external.rows, external.origin)
        self._mail.fill_(-1)
        self._kernel(external is not None)(
            grid=(len(engine.blocks), 1, 1),
            block=(self._threads, 1, 1),
            shared_mem=self.shared_bytes,
            args=[
                engine.blocks, engine._bases, engine._coefficients, engine._thresholds, engine.variables,
                engine.free_at, engine.variables if engine._current is None else engine._current,
                engine._seed, rows.starts, rows.words, rows.weights, rows.tables, rows.classes, engine.ring,
                float(rows.quantum), self._mail, engine._more, engine.tally, engine._record, engine._recorded,
                engine._record.shape[1], *outside, engine.position, n, _PATIENCE, engine._failed,
                len(engine.blocks), len(layout.names), 0 if rows.stored else rows.tables.shape[0],
                layout.n_neurons, layout.n_inputs, layout.slots - 1, engine._n_thresholds,
                engine._static["COEFFICIENTS"], self._pitch, engine.lanes.bit_length() - 1, self.profile,
            ],
        )  # fmt: skip


def why_not_resident(engine: "GpuEngine") -> str | None:
    """What keeps a network from this form; None if nothing does."""
    if engine.device.type != "cuda":
        return "it needs a CUDA device"
    kinds = set(engine.layout.populations.kinds.tolist())
    if not kinds <= _KINDS or engine._static["NOISE"]:
        return "its neurons are not all integrate-and-fire with delta or exponential synapses, without noise"
    steps = ResidentSteps(engine)
    room = torch.cuda.get_device_properties(engine.device).shared_memory_per_block_optin
    if steps._threads > _MOST_THREADS or steps.shared_bytes > room:
        return f"a block's ring of {steps.shared_bytes} bytes is beyond the multiprocessor's {room}"
    return None
