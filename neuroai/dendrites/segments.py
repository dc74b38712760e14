"""A store of growing segments that makes room by itself, forgets by a rule, and can be checked and saved."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from neuroai.dendrites.permanences import UNITS, to_units
from neuroai.errors import CheckpointError, ConfigError
from neuroai_kernels import segment_memory as kernel

__all__ = ["ForgetRule", "SegmentStore", "least_recent", "least_useful"]

Array: TypeAlias = npt.NDArray[Any]
#: Segments and the places in use -> a score each: the lowest are forgotten first.
Score: TypeAlias = Callable[[kernel.Segments], Array]
ForgetRule: TypeAlias = Literal["least-useful", "least-recent"]

_FIRST_PLACES = 1024
# Share of the places freed when all are taken: scoring all segments is then paid once in many creations.
_FREED_SHARE = 16
_SAVED = ("cell", "n_synapses", "presynaptic", "permanence", "last_used")


def least_useful(segments: kernel.Segments) -> Array:
    """Sum of squared permanences: what was confirmed often stays, what was seen once goes first."""
    values = np.empty(len(segments.cell))
    kernel.usefulness(segments, values)
    return values


def least_recent(segments: kernel.Segments) -> Array:
    """Step of the last use (the classical rule, which forgets everything during a burst of noise)."""
    return np.where(segments.cell >= 0, segments.last_used, -1).astype(np.float64)


_RULES: dict[str, Score] = {"least-useful": least_useful, "least-recent": least_recent}


class SegmentStore:
    """Segments of a population of cells, with the room they need.

    Parameters
    ----------
    n_cells, n_inputs : int
        Owners of segments, cells that synapses may come from.
    max_segments : int
        Of the whole store. When it is full, the lowest sixteenth by ``forget`` is dropped at once.
    max_synapses : int
        Of a segment.
    connected : float
        Permanence from which a synapse counts.
    dtype : "uint8" or "uint16"
    forget : "least-useful" or "least-recent"
        Ties: the least recently used one, then the lowest place.

    Attributes
    ----------
    arrays : neuroai_kernels.segment_memory.Segments

    Notes
    -----
    Memory follows the segments in use by doubling: 10 bytes a synapse place and 4 to 8 an indexed synapse.
    """

    def __init__(
        self,
        n_cells: int,
        n_inputs: int,
        *,
        max_segments: int,
        max_synapses: int,
        connected: float,
        dtype: Literal["uint8", "uint16"] = "uint16",
        forget: ForgetRule = "least-useful",
    ) -> None:
        for name, value in (
            ("n_cells", n_cells),
            ("n_inputs", n_inputs),
            ("max_segments", max_segments),
            ("max_synapses", max_synapses),
        ):
            if value < 1:
                raise ConfigError(f"{name} is {value}; expected at least 1")
        if max_synapses > 0x7FFF:
            raise ConfigError(f"max_synapses is {max_synapses}; overlaps are counted in 15 bits (32767)")
        if forget not in _RULES:
            raise ConfigError(f"forget is {forget!r}; expected one of {', '.join(_RULES)}")
        self.max_segments = max_segments
        self.forget: ForgetRule = forget
        threshold = to_units(connected, dtype, "connected")
        if threshold == 0:
            raise ConfigError("connected is 0; expected a permanence above 0")
        self.arrays = kernel.allocate(
            n_cells,
            n_inputs,
            min(max_segments, _FIRST_PLACES),
            max_synapses,
            connected=threshold,
            one=UNITS[dtype],
            dtype=dtype,
        )

    @property
    def n_segments(self) -> int:
        """Live segments."""
        return len(self.arrays.cell) - int(self.arrays.counters[0])

    @property
    def n_synapses(self) -> int:
        """Live synapses."""
        return int(self.arrays.counters[1])

    @property
    def n_bytes(self) -> int:
        """Memory of all arrays."""
        return sum(array.nbytes for array in self.arrays if isinstance(array, np.ndarray))

    def reserve(self, n_new: int, room: int) -> int:
        """Make sure of free places for ``n_new`` segments and of ``room`` entries in the index.

        Returns
        -------
        int
            Segments that were forgotten for it.

        Raises
        ------
        ConfigError
            If ``n_new`` is more than the store may ever hold.
        """
        n_forgotten = self._reserve_places(n_new)
        short = int(self.arrays.counters[2]) + room - len(self.arrays.entries)
        if short > 0:
            size = len(self.arrays.entries)
            self.arrays = kernel.with_entries(self.arrays, max(2 * size, size + short))
        return n_forgotten

    def _reserve_places(self, n_new: int) -> int:
        n_free = int(self.arrays.counters[0])
        if n_new <= n_free:
            return 0
        if n_new > self.max_segments:
            raise ConfigError(
                f"{n_new} segments are to be made at once but max_segments is {self.max_segments}: raise it"
            )
        size = len(self.arrays.cell)
        if size < self.max_segments:
            wanted = max(2 * size, size + n_new - n_free)
            self.arrays = kernel.with_places(self.arrays, min(self.max_segments, wanted))
            n_free = int(self.arrays.counters[0])
        if n_new <= n_free:
            return 0
        n_dropped = max(n_new - n_free, self.max_segments // _FREED_SHARE)
        self.destroy(self.lowest(n_dropped))
        return n_dropped

    def destroy(self, which: Array) -> None:
        """Remove segments by place."""
        kernel.destroy_segments(self.arrays, np.asarray(which, np.int32))

    def lowest(self, n: int, cell: int | None = None) -> Array:
        """Places of the ``n`` segments (of one cell, if given) to be forgotten first."""
        own = np.flatnonzero(self.arrays.cell >= 0 if cell is None else self.arrays.cell == cell)
        score = _RULES[self.forget](self.arrays)[own]
        order = np.lexsort((own, self.arrays.last_used[own], score))[:n]
        return np.sort(own[order]).astype(np.int32)

    def synapses(self, segment: int) -> tuple[Array, Array]:
        """Inputs (sorted) and permanences (float64 in [0, 1]) of one segment.

        Raises
        ------
        ConfigError
            If there is no such segment.
        """
        if not (0 <= segment < len(self.arrays.cell) and self.arrays.cell[segment] >= 0):
            raise ConfigError(f"segment {segment} does not exist; the store holds {self.n_segments}")
        n = self.arrays.n_synapses[segment]
        order = np.argsort(self.arrays.presynaptic[segment, :n])
        values = self.arrays.permanence[segment, :n][order] / self.arrays.one
        return self.arrays.presynaptic[segment, :n][order], values

    def state(self) -> dict[str, Array]:
        """Arrays that :meth:`restore` needs; indexes and counters follow from them."""
        n_free = int(self.arrays.counters[0])
        width = max(1, int(self.arrays.n_synapses.max(initial=0)))
        state = {name: getattr(self.arrays, name) for name in _SAVED}
        state["presynaptic"] = np.ascontiguousarray(self.arrays.presynaptic[:, :width])
        state["permanence"] = np.ascontiguousarray(self.arrays.permanence[:, :width])
        return state | {"free": self.arrays.free[:n_free].copy()}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take over saved segments after checking that they are possible.

        Raises
        ------
        CheckpointError
            If arrays are missing, of another shape or type, or name cells that do not exist. The store is
            unchanged then.
        """
        n_places = _check_state(state, self.arrays, self.max_segments)
        width = self.arrays.presynaptic.shape[1]
        fresh = kernel.allocate(
            len(self.arrays.n_segments),
            len(self.arrays.list_start),
            n_places,
            width,
            connected=self.arrays.connected,
            one=self.arrays.one,
            dtype=self.arrays.permanence.dtype,
        )
        for name in _SAVED:
            saved, own = state[name], getattr(fresh, name)
            if saved.ndim == 2:
                own[:, : saved.shape[1]] = saved
            else:
                own[:] = saved
        n_free = len(state["free"])
        fresh.free[:n_free] = state["free"]
        fresh.counters[0] = n_free
        fan_out = np.bincount(_live(fresh, fresh.presynaptic), minlength=1)
        # Twice a block of the next power of two, for each input.
        n_entries = int(4 * fan_out.sum() + 8 * np.count_nonzero(fan_out))
        fresh = kernel.with_entries(fresh, max(n_entries, len(fresh.entries)))
        kernel.build_index(fresh)
        self.arrays = fresh


def _live(segments: kernel.Segments, values: Array) -> Array:
    used: Array = values[np.arange(values.shape[1]) < segments.n_synapses[:, None]]
    return used


def _check_state(state: Mapping[str, Array], like: kernel.Segments, max_segments: int) -> int:
    """Number of places of a saved state that is sound."""
    for name in (*_SAVED, "free"):
        if name not in state:
            raise CheckpointError(f"saved segments lack {name!r}; they hold {', '.join(sorted(state))}")
        own = getattr(like, name)
        if state[name].dtype != own.dtype or state[name].ndim != own.ndim:
            raise CheckpointError(
                f"saved {name!r} is {state[name].dtype} with {state[name].ndim} dimensions; "
                f"expected {own.dtype} with {own.ndim}"
            )
    cell, count, free = state["cell"], state["n_synapses"], state["free"]
    inputs, permanence = state["presynaptic"], state["permanence"]
    n, width = len(cell), inputs.shape[1]
    if not 1 <= n <= max_segments or any(len(state[name]) != n for name in _SAVED):
        raise CheckpointError(
            f"saved segments have lengths {[len(state[name]) for name in _SAVED]}; "
            f"expected the same for all, from 1 to {max_segments}"
        )
    if permanence.shape != inputs.shape:
        raise CheckpointError(f"saved inputs are {inputs.shape} but permanences {permanence.shape}")
    used = np.arange(width) < count[:, None]
    # Rows sorted with their unused places made different: equal neighbours are repeated inputs.
    rows = np.sort(np.where(used, inputs, -1 - np.arange(width)), axis=1)
    sound = {
        "cells": bool(np.all((cell >= -1) & (cell < len(like.n_segments)))),
        "synapse counts": bool(np.all((count >= 0) & (count <= width)))
        and width <= like.presynaptic.shape[1],
        "free places": np.array_equal(np.sort(free), np.flatnonzero(cell < 0)),
        "inputs": bool(np.all(~used | ((inputs >= 0) & (inputs < len(like.list_start))))),
        "repeated inputs": not np.any(rows[:, 1:] == rows[:, :-1]),
        "permanences": bool(np.all(permanence <= like.one)),
    }
    wrong = [name for name, good in sound.items() if not good]
    if wrong:
        raise CheckpointError(f"saved segments are inconsistent ({', '.join(wrong)}): use another copy")
    return n
