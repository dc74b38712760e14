r"""High-order sequence memory: columns of cells whose segments learn to predict the next input.

A cell fires alone when one of its segments recognised the last step; a column that nobody predicted bursts.

References
----------
Hawkins, Ahmad (2016), "Why neurons have thousands of synapses", Frontiers in Neural Circuits, section
"Network model": :math:`\pi_{ij}(t) = [\exists d: \tilde D^d_{ij} \cdot A(t) \ge \theta]`.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self, cast

import numpy as np
import numpy.typing as npt

from neuroai.dendrites import sequence_memory_step as compiled
from neuroai.dendrites.permanences import to_units
from neuroai.dendrites.population_files import read_memory, write_memory
from neuroai.dendrites.segments import Array, ForgetRule, SegmentStore
from neuroai.errors import CheckpointError, ConfigError

__all__ = ["MemoryStep", "SequenceMemory", "SequenceSettings"]


@dataclass(frozen=True)
class SequenceSettings:
    """Settings of a `SequenceMemory`; permanences from 0 to 1.

    Attributes
    ----------
    n_columns, cells_per_column : int
        One cell a column makes a first-order memory.
    activation_threshold : int
        Connected synapses from active cells that switch a segment on.
    min_threshold : int
        Synapses, connected or not, from active cells with which a segment may learn.
    max_new_synapses : int
        A learning segment is grown to this many synapses from cells that won in the last step.
    initial, connected, increment, decrement, punishment : float
        Permanence of new synapses; of those that count; steps of learning; step down of segments that
        recognised the last input while their column got none.
    max_segments_per_cell, max_synapses : int
    max_segments : int
        Of the whole memory: bounds memory and the time of a step.
    forget : "least-useful" or "least-recent"
        Which segments make room; see `neuroai.dendrites.segments.SegmentStore`.
    permanence_dtype : "uint8" or "uint16"
    seed : int
        Of the choice of cells and synapses.
    """

    n_columns: int = 2048
    cells_per_column: int = 32
    activation_threshold: int = 13
    min_threshold: int = 10
    max_new_synapses: int = 20
    initial: float = 0.21
    connected: float = 0.5
    increment: float = 0.1
    decrement: float = 0.1
    punishment: float = 0.0
    max_segments_per_cell: int = 255
    max_synapses: int = 64
    max_segments: int = 2**20
    forget: ForgetRule = "least-useful"
    permanence_dtype: Literal["uint8", "uint16"] = "uint16"
    seed: int = 0

    def rules(self) -> compiled.Rules:
        """The settings in integers.

        Raises
        ------
        ConfigError
            If one is out of range or they contradict each other.
        """
        for name in (
            "n_columns",
            "cells_per_column",
            "activation_threshold",
            "min_threshold",
            "max_new_synapses",
            "max_segments_per_cell",
        ):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected at least 1")
        if not self.min_threshold <= self.activation_threshold <= self.max_synapses:
            raise ConfigError(
                f"min_threshold {self.min_threshold} <= activation_threshold {self.activation_threshold} <= "
                f"max_synapses {self.max_synapses} does not hold: no segment could learn or switch on"
            )
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed is {self.seed}; expected 0 to 2**32 - 1")
        if self.n_columns * self.cells_per_column >= 2**31:
            raise ConfigError(f"{self.n_columns} x {self.cells_per_column} cells exceed 2**31 - 1")
        units = {
            name: to_units(getattr(self, name), self.permanence_dtype, name)
            for name in ("initial", "increment", "decrement", "punishment")
        }
        if units["initial"] == 0:
            raise ConfigError("initial is 0; expected a permanence above 0")
        return compiled.Rules(
            self.cells_per_column,
            self.activation_threshold,
            self.min_threshold,
            self.max_new_synapses,
            **units,
            max_segments_per_cell=self.max_segments_per_cell,
            drop_least_recent=self.forget == "least-recent",
        )


@dataclass(frozen=True, slots=True)
class MemoryStep:
    """What one step found.

    Attributes
    ----------
    anomaly : float
        Share of the input columns that were not predicted; 0 for empty input.
    n_correct : int
        Columns that were predicted and got input.
    n_expected : int
        Columns that were predicted for this step.
    """

    anomaly: float
    n_correct: int
    n_expected: int

    @property
    def precision(self) -> float:
        """Share of the predicted columns that got input; 0 if none was predicted."""
        return self.n_correct / self.n_expected if self.n_expected else 0.0


class SequenceMemory:
    """Temporal memory of one stream on the CPU.

    Parameters
    ----------
    settings : SequenceSettings, optional
    **changes
        Single settings by name.

    Raises
    ------
    ConfigError
        If settings are out of range.

    Notes
    -----
    A step costs the synapses of the active cells, not the size of the memory. Ties and draws do not depend
    on order: the same seed gives the same memory, also after `save` and `load`, and the batched
    `neuroai.dendrites.SequenceStreams` learns the same synapses. A learning step right after a step without
    learning grows synapses only to cells that had been predicted.

    Examples
    --------
    >>> memory = SequenceMemory(n_columns=64, cells_per_column=4, activation_threshold=3, min_threshold=2)
    >>> letters = [range(8 * i, 8 * i + 8) for i in range(4)]
    >>> for epoch in range(6):
    ...     memory.reset()
    ...     last = [memory.step(letter).anomaly for letter in letters]
    >>> last
    [1.0, 0.0, 0.0, 0.0]
    """

    def __init__(self, settings: SequenceSettings | None = None, **changes: Any) -> None:
        try:
            self.settings = SequenceSettings(**(asdict(settings) if settings else {}) | changes)
        except TypeError as error:
            raise ConfigError(
                f"{error}; settings are {', '.join(SequenceSettings.__annotations__)}"
            ) from error
        self._rules = self.settings.rules()
        self.store = SegmentStore(
            self.n_cells,
            self.n_cells,
            max_segments=self.settings.max_segments,
            max_synapses=self.settings.max_synapses,
            connected=self.settings.connected,
            dtype=self.settings.permanence_dtype,
            forget=self.settings.forget,
        )
        self._state = self._new_state()

    @property
    def n_cells(self) -> int:
        """Columns times cells a column."""
        return self.settings.n_columns * self.settings.cells_per_column

    @property
    def n_segments(self) -> int:
        """Live segments."""
        return self.store.n_segments

    @property
    def n_synapses(self) -> int:
        """Live synapses."""
        return self.store.n_synapses

    @property
    def active_cells(self) -> Array:
        """Cells active in the last step, sorted."""
        return np.sort(self._state.active[: self._state.n[compiled.ACTIVE]])

    @property
    def winner_cells(self) -> Array:
        """Cells that new synapses of the next step may come from, sorted."""
        return np.sort(self._state.winners[: self._state.n[compiled.WINNERS]])

    @property
    def predictive_cells(self) -> Array:
        """Cells with an active segment, which the next step activates if their column gets input; sorted."""
        on = self._state.segments_on[: self._state.n[compiled.ON]]
        return np.unique(self.store.arrays.cell[on])

    @property
    def predicted_columns(self) -> Array:
        """Columns predicted for the next step, sorted."""
        return np.unique(self.predictive_cells // self.settings.cells_per_column)

    def reset(self) -> None:
        """Forget the last step: the next input starts a sequence and is not predicted."""
        n = self._state.n
        self._state.is_active[self._state.active[: n[compiled.ACTIVE]]] = 0
        n[compiled.ACTIVE] = n[compiled.WINNERS] = 0
        compiled.dendrites(self.store.arrays, self._state, self._rules, True)

    def step(self, columns: npt.ArrayLike | Iterable[int], *, learn: bool = True) -> MemoryStep:
        """Take the columns that get input.

        Parameters
        ----------
        columns : integers
            All different; may be empty.
        learn : bool
            Without it nothing but the activity changes, and a step costs less.

        Returns
        -------
        MemoryStep

        Raises
        ------
        ConfigError
            If columns are repeated, out of range or no integers.
        """
        given = as_indices(columns, self.settings.n_columns, "columns")
        if learn:
            self._reserve(len(given), compiled.room_for_step(self.store.arrays, self._state, len(given)))
        compiled.step(self.store.arrays, self._state, self._rules, given, learn)
        if learn:
            self._reserve(len(given), 0)
        result = self._state.result
        correct, expected = int(result[compiled.CORRECT]), int(result[compiled.EXPECTED])
        return MemoryStep(1 - correct / len(given) if len(given) else 0.0, correct, expected)

    def kill(self, cells: npt.ArrayLike | Iterable[int]) -> None:
        """Remove cells for good, with their segments; their synapses onto others fall silent.

        Raises
        ------
        ConfigError
            If cells are repeated or out of range.
        """
        dead = as_indices(cells, self.n_cells, "cells")
        self._state.dead[dead] = 1
        self._silence()
        owned = np.flatnonzero(
            (self.store.arrays.cell >= 0) & (self._state.dead[self.store.arrays.cell] == 1)
        )
        self.store.destroy(owned)
        self._match_places()

    def save(self, path: str | Path) -> None:
        """Write everything to one file, complete or not at all; see `neuroai.dendrites.population_files`.

        Raises
        ------
        CheckpointError
            If it cannot be written.
        """
        n = self._state.n
        tensors = self.store.state() | {
            "active": self._state.active[: n[compiled.ACTIVE]].copy(),
            "winners": self._state.winners[: n[compiled.WINNERS]].copy(),
            "dead": np.flatnonzero(self._state.dead).astype(np.int32),
        }
        numbers = {"now": int(n[compiled.NOW])}
        write_memory(Path(path), "SequenceMemory", asdict(self.settings) | {"numbers": numbers}, tensors)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what :meth:`save` wrote; going on gives the same results as without the pause.

        Raises
        ------
        CheckpointError
            If the file is missing, damaged, of another kind, or holds an impossible memory.
        """
        settings, tensors = read_memory(Path(path), "SequenceMemory")
        numbers = settings.pop("numbers", None)
        try:
            memory = cls(**settings)
            memory.store.restore(tensors)
            memory._restore(tensors, int(cast("dict[str, int]", numbers)["now"]))
        except (ConfigError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path} holds no usable SequenceMemory: {error}") from error
        return memory

    # -- parts

    def _new_state(self) -> compiled.State:
        n_cells, n_columns = self.n_cells, self.settings.n_columns
        places = len(self.store.arrays.cell)
        state = compiled.State(
            active=np.zeros(n_cells, np.int32),
            winners=np.zeros(n_cells, np.int32),
            is_active=np.zeros(n_cells, np.uint8),
            is_next=np.zeros(n_cells, np.uint8),
            dead=np.zeros(n_cells, np.uint8),
            segments_on=np.zeros(places, np.int32),
            segments_matching=np.zeros(places, np.int32),
            predicted=np.zeros(n_columns, np.int64),
            column=np.zeros(n_columns, np.uint8),
            best=np.zeros(n_columns, np.int64),
            next_active=np.zeros(n_cells, np.int32),
            next_winners=np.zeros(n_cells, np.int32),
            learning=np.zeros(places + n_columns, np.int32),
            keys=np.zeros(n_cells, np.int64),
            n=np.zeros(compiled.N_NUMBERS, np.int64),
            result=np.zeros(compiled.N_RESULTS, np.int64),
        )
        state.n[compiled.SEED] = self.settings.seed
        state.n[compiled.HAS_POTENTIAL] = 1
        return state

    def _reserve(self, n_new: int, room: int) -> None:
        """Room for segments and synapses; after a learning step too, so that predictions are final."""
        if self.store.reserve(n_new, room) or len(self.store.arrays.cell) != len(self._state.segments_on):
            self._match_places()

    def _match_places(self) -> None:
        """Lists of segments as long as the store, and the dendrites again, since segments came or went."""
        places = len(self.store.arrays.cell)
        if len(self._state.segments_on) != places:
            lists = {name: np.zeros(places, np.int32) for name in ("segments_on", "segments_matching")}
            learning = np.zeros(places + self.settings.n_columns, np.int32)
            self._state = self._state._replace(learning=learning, **lists)
        compiled.dendrites(self.store.arrays, self._state, self._rules, True)

    def _silence(self) -> None:
        """Take dead cells out of the last step."""
        state, n = self._state, self._state.n
        for cells, length in ((state.active, compiled.ACTIVE), (state.winners, compiled.WINNERS)):
            alive = cells[: n[length]][state.dead[cells[: n[length]]] == 0]
            cells[: len(alive)] = alive
            n[length] = len(alive)
        state.is_active[state.dead == 1] = 0

    def _restore(self, tensors: dict[str, Array], now: int) -> None:
        state = self._state
        for name, length in (("active", compiled.ACTIVE), ("winners", compiled.WINNERS), ("dead", None)):
            cells = as_indices(tensors[name], self.n_cells, name)
            if length is None:
                state.dead[cells] = 1
            else:
                getattr(state, name)[: len(cells)] = cells
                state.n[length] = len(cells)
        state.is_active[state.active[: state.n[compiled.ACTIVE]]] = 1
        state.n[compiled.NOW] = now
        self._match_places()


def as_indices(values: npt.ArrayLike | Iterable[int], n: int, name: str) -> Array:
    """Sorted int32 indices, all different, from 0 to n - 1.

    Raises
    ------
    ConfigError
        If they are not.
    """
    given = np.asarray(values if isinstance(values, np.ndarray) else list(cast("Iterable[int]", values)))
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise ConfigError(f"{name} are {given.dtype} of shape {given.shape}; expected a list of integers")
    if given.size == 0:
        return np.zeros(0, np.int32)
    found = np.sort(given)
    if found[0] < 0 or found[-1] >= n:
        raise ConfigError(f"{name} go from {found[0]} to {found[-1]}; expected 0 to {n - 1}")
    found = found.astype(np.int32)
    same = found[1:] == found[:-1]
    if same.any():
        repeated = int(found[1:][same][0])
        raise ConfigError(f"{name} name {repeated} more than once; expected each at most once")
    return found
