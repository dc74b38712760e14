r"""Spatial pooler: columns that compete to represent an input by a sparse code, and learn what they win with.

References
----------
Cui, Ahmad, Hawkins (2017), "The HTM spatial pooler", Frontiers in Computational Neuroscience, equations 1-9.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from neuroai.dendrites import spatial_pooler_step as compiled
from neuroai.dendrites.permanences import UNITS, to_units
from neuroai.dendrites.population_files import read_memory, write_memory
from neuroai.dendrites.segments import Array
from neuroai.dendrites.sequence_memory import as_indices
from neuroai.errors import CheckpointError, ConfigError

__all__ = ["PoolerSettings", "SpatialPooler"]

_TENSORS = ("permanence", "potential", "active_duty", "overlap_duty")


@dataclass(frozen=True)
class PoolerSettings:
    """Settings of a `SpatialPooler`; permanences from 0 to 1.

    Attributes
    ----------
    n_inputs, n_columns : int
    density : float
        Share of the columns (of a neighbourhood) that win.
    potential_share : float
        Share of the inputs within ``potential_radius`` that a column may connect to.
    potential_radius : int, optional
        Inputs on either side of the column's centre; all inputs if None.
    inhibition_radius : int, optional
        Columns on either side that compete; all columns if None.
    stimulus_threshold : int
        Overlap below which a column cannot win.
    increment, decrement, connected : float
    boost : float
        Strength of boosting; 0 is off.
    duty_period : float
        Steps over which duty cycles average.
    min_overlap_duty : float
        Columns below this share of the largest overlap duty raise all their permanences.
    permanence_dtype : "uint8" or "uint16"
    seed : int
    """

    n_inputs: int
    n_columns: int = 2048
    density: float = 0.02
    potential_share: float = 0.5
    potential_radius: int | None = None
    inhibition_radius: int | None = None
    stimulus_threshold: int = 1
    increment: float = 0.05
    decrement: float = 0.008
    connected: float = 0.1
    boost: float = 0.0
    duty_period: float = 1000.0
    min_overlap_duty: float = 0.001
    permanence_dtype: Literal["uint8", "uint16"] = "uint16"
    seed: int = 0

    def check(self) -> None:
        """Raise `ConfigError` if a setting is out of range."""
        for name, least in (("n_inputs", 1), ("n_columns", 1), ("stimulus_threshold", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected at least {least}")
        for name in ("potential_radius", "inhibition_radius"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}; expected at least 1, or None for no limit")
        for name in ("density", "potential_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected a share above 0, up to 1")
        if round(self.density * self.n_columns) < 1:
            raise ConfigError(
                f"density {self.density} of {self.n_columns} columns is no column: raise either"
            )
        if self.boost < 0 or self.duty_period < 1 or not 0 <= self.min_overlap_duty < 1:
            raise ConfigError(
                f"boost {self.boost}, duty_period {self.duty_period} and min_overlap_duty "
                f"{self.min_overlap_duty} must be at least 0, at least 1, and from 0 to below 1"
            )


class SpatialPooler:
    r"""Columns with one proximal segment each; the ``k`` with the largest boosted overlap win.

    .. math:: s_c = o_c \exp(\beta (\rho - \bar a_c)), \qquad o_c = \sum_i [p_{ci} \ge \theta] x_i

    Parameters
    ----------
    settings : PoolerSettings, optional
    **changes
        Single settings by name.

    Attributes
    ----------
    active_duty, overlap_duty : float64 (column,)
        Moving averages of winning and of overlap at or above the stimulus threshold.

    Raises
    ------
    ConfigError
        If settings are out of range.

    Notes
    -----
    Memory: ``n_inputs * n_columns`` times 3 bytes and the permanence. Time of a step: active inputs times
    columns additions of bytes; learning touches the inputs of the winners.

    Examples
    --------
    >>> pooler = SpatialPooler(n_inputs=100, n_columns=200, density=0.05, seed=3)
    >>> len(pooler.step(range(0, 20))), len(pooler.step([]))
    (10, 0)
    """

    def __init__(self, settings: PoolerSettings | None = None, **changes: Any) -> None:
        try:
            self.settings = PoolerSettings(**(asdict(settings) if settings else {}) | changes)
        except TypeError as error:
            names = ", ".join(PoolerSettings.__annotations__)
            raise ConfigError(f"{error}; settings are {names}") from error
        self.settings.check()
        dtype = self.settings.permanence_dtype
        self._one = UNITS.get(dtype, 0)
        self._up, self._down, self._threshold = (
            to_units(getattr(self.settings, name), dtype, name)
            for name in ("increment", "decrement", "connected")
        )
        n = self.settings.n_columns
        self.active_duty, self.overlap_duty = np.zeros(n), np.zeros(n)
        self._potential, self._permanence = self._draw()
        self._connect()
        self._counts, self._scratch = np.zeros(n, np.int32), np.zeros(n)
        self._is_active = np.zeros(self.settings.n_inputs, np.uint8)

    @property
    def permanence(self) -> Array:
        """Permanences in [0, 1], float64 (column, input); 0 outside the potential pool."""
        return np.asarray(self._permanence / self._one)

    def overlaps(self, active: npt.ArrayLike | Iterable[int]) -> Array:
        """Connected synapses from active inputs, int32 (column,), before threshold and boosting.

        Raises
        ------
        ConfigError
            If inputs are repeated or out of range.
        """
        return self._overlaps(as_indices(active, self.settings.n_inputs, "active")).copy()

    def step(self, active: npt.ArrayLike | Iterable[int], *, learn: bool = True) -> Array:
        """Winners for a set of active inputs.

        Parameters
        ----------
        active : integers
            Active inputs, all different.
        learn : bool
            Adapt the winners' synapses and the duty cycles.

        Returns
        -------
        int32 (<= k,)
            Winning columns, sorted; fewer than k only if fewer reach the stimulus threshold. Ties go to the
            lowest index.

        Raises
        ------
        ConfigError
            If inputs are repeated or out of range.
        """
        given = as_indices(active, self.settings.n_inputs, "active")
        counts = self._overlaps(given)
        winners = self._compete(self._scores(counts))
        if learn:
            self._learn(given, counts, winners)
        return winners

    def save(self, path: str | Path) -> None:
        """Write everything to one file, complete or not at all.

        Raises
        ------
        CheckpointError
            If it cannot be written.
        """
        tensors = {
            "permanence": self._permanence,
            "potential": self._potential,
            "active_duty": self.active_duty,
            "overlap_duty": self.overlap_duty,
        }
        write_memory(Path(path), "SpatialPooler", asdict(self.settings), tensors)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises
        ------
        CheckpointError
            If the file is missing, damaged or of another kind.
        """
        settings, tensors = read_memory(Path(path), "SpatialPooler")
        try:
            pooler = cls(**settings)
        except (ConfigError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path} holds no usable SpatialPooler: {error}") from error
        own = (pooler._permanence, pooler._potential, pooler.active_duty, pooler.overlap_duty)
        for name, array in zip(_TENSORS, own, strict=True):
            saved = tensors.get(name)
            if saved is None or saved.shape != array.shape or saved.dtype != array.dtype:
                found = "nothing" if saved is None else f"{saved.dtype} {saved.shape}"
                raise CheckpointError(
                    f"{path} holds {found} as {name!r}; expected {array.dtype} {array.shape}"
                )
            array[:] = saved
        if pooler._permanence.max() > pooler._one:
            raise CheckpointError(f"{path} holds permanences above 1: use another copy")
        pooler._connect()
        return pooler

    # -- parts

    def _draw(self) -> tuple[Array, Array]:
        """Potential pools, uint8 (column, input), and permanences: half of them connected."""
        s = self.settings
        rng = np.random.default_rng(s.seed)
        potential = np.zeros((s.n_columns, s.n_inputs), np.uint8)
        permanence = np.zeros((s.n_columns, s.n_inputs), s.permanence_dtype)
        for column in range(s.n_columns):
            pool = np.arange(s.n_inputs)
            if s.potential_radius is not None:
                centre = (column * s.n_inputs + s.n_inputs // 2) // s.n_columns
                pool = pool[np.abs(pool - centre) <= s.potential_radius]
            size = max(1, round(s.potential_share * len(pool)))
            chosen = rng.permutation(pool)[:size]
            potential[column, chosen] = 1
            connected = rng.random(size) < 0.5
            above = rng.integers(self._threshold, self._one, size, endpoint=True)
            below = rng.integers(0, max(self._threshold, 1), size)
            permanence[column, chosen] = np.where(connected, above, below)
        return potential, permanence

    def _connect(self) -> None:
        linked = (self._permanence >= self._threshold) & (self._potential == 1)
        self._connected = np.ascontiguousarray(linked.T).astype(np.uint8)

    def _overlaps(self, active: Array) -> Array:
        compiled.overlaps(self._connected, active, self._counts)
        return self._counts

    def _scores(self, counts: Array) -> Array:
        scores = np.where(counts >= self.settings.stimulus_threshold, counts, 0).astype(np.float64)
        if self.settings.boost > 0:
            scores *= np.exp(self.settings.boost * (self.settings.density - self.active_duty))
        return scores

    def _compete(self, scores: Array) -> Array:
        s = self.settings
        if s.inhibition_radius is None:
            return compiled.highest(scores, round(s.density * s.n_columns), self._scratch)
        return compiled.locally_highest(scores, s.density, s.inhibition_radius)

    def _learn(self, active: Array, counts: Array, winners: Array) -> None:
        s = self.settings
        self._is_active[active] = 1
        self._adapt(winners, self._up, self._down)
        self._is_active[active] = 0
        compiled.update_duty(self.active_duty, winners, s.duty_period)
        compiled.update_overlap_duty(self.overlap_duty, counts, s.stimulus_threshold, s.duty_period)
        if s.min_overlap_duty > 0:
            weak = np.flatnonzero(self.overlap_duty < s.min_overlap_duty * self.overlap_duty.max())
            if len(weak):
                # A tenth of the threshold on every potential synapse, active or not.
                step = max(1, self._threshold // 10)
                self._adapt(weak.astype(np.int32), step, -step)

    def _adapt(self, columns: Array, up: int, down: int) -> None:
        compiled.adapt(
            self._permanence,
            self._potential,
            self._connected,
            columns,
            self._is_active,
            up,
            down,
            self._threshold,
            self._one,
        )
