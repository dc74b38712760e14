"""The pattern-memory neuron of the theory's experiments: one pattern a segment, or several that share bits.

References
----------
Ahmad, Hawkins (2016), arXiv 1601.00720, simulations of a neuron with 500 segments.
"""

import numpy as np
import numpy.typing as npt

from neuroai.dendrites.population import Population
from neuroai.dendrites.segments import Array
from neuroai.errors import ConfigError

__all__ = ["PatternNeuron"]


class PatternNeuron:
    """One neuron that recognises stored patterns.

    Up to ``n_segments`` patterns get a segment each, connected to a random sample of their active cells. More
    patterns are grouped by shared cells; a segment then prefers the cells most of its group share, and
    adds cells of the members it covers least.

    Parameters
    ----------
    n_inputs : int
    n_segments : int
        ``D``.
    synapses : int
        Of a segment, ``s``.
    threshold : int
        ``theta``.
    seed : int

    Attributes
    ----------
    population : Population
        Of one neuron.

    Raises
    ------
    ConfigError
        If sizes are out of range.

    Examples
    --------
    >>> neuron = PatternNeuron(n_inputs=1000, n_segments=5, synapses=20, threshold=10, seed=0)
    >>> patterns = np.random.default_rng(0).permuted(np.tile(np.arange(1000), (5, 1)), axis=1)[:, :40]
    >>> neuron.store(patterns)
    >>> neuron.recognises(patterns).tolist(), neuron.recognises((patterns + 7) % 1000).any()
    ([True, True, True, True, True], np.False_)
    """

    def __init__(
        self, *, n_inputs: int, n_segments: int = 500, synapses: int = 20, threshold: int = 10, seed: int = 0
    ) -> None:
        if n_segments < 1:
            raise ConfigError(f"n_segments is {n_segments}; expected at least 1")
        self.n_segments, self.synapses = n_segments, synapses
        self._rng = np.random.default_rng(seed)
        self.population = Population(
            n_neurons=1,
            n_inputs=n_inputs,
            activation_threshold=threshold,
            min_threshold=min(8, threshold),
            sample_size=synapses,
            max_synapses=synapses,
            max_segments=n_segments,
            max_segments_per_neuron=n_segments,
            initial=1.0,
        )

    def store(self, patterns: npt.ArrayLike) -> None:
        """Learn patterns in one go, replacing those before.

        Parameters
        ----------
        patterns : integers (m, a)
            Active cells of each pattern, all different in a row; ``a`` at least the synapses of a segment.

        Raises
        ------
        ConfigError
            If the array has another shape or cells repeat or are out of range.
        """
        given = self._checked(patterns)
        if given.shape[1] < self.synapses:
            raise ConfigError(
                f"patterns have {given.shape[1]} active cells but a segment samples {self.synapses} of them"
            )
        self.population.store.destroy(np.flatnonzero(self.population.store.arrays.cell >= 0))
        for group in self._groups(given):
            self.population.add_segment(0, self._sample(given[group]))

    def recognises(self, patterns: npt.ArrayLike) -> Array:
        """Whether any segment has at least ``threshold`` synapses from each pattern; bool (m,).

        Raises
        ------
        ConfigError
            If the array has another shape or cells repeat or are out of range.
        """
        return np.array([len(self.population.respond(pattern)) > 0 for pattern in self._checked(patterns)])

    def _checked(self, patterns: npt.ArrayLike) -> Array:
        given = np.asarray(patterns)
        if given.ndim != 2 or given.dtype.kind not in "iu":
            raise ConfigError(f"patterns are {given.dtype} of shape {given.shape}; expected integers (m, a)")
        n = self.population.settings.n_inputs
        if given.size and (given.min() < 0 or given.max() >= n):
            raise ConfigError(f"cells go from {given.min()} to {given.max()}; expected 0 to {n - 1}")
        ordered = np.sort(given, axis=1)
        if np.any(ordered[:, 1:] == ordered[:, :-1]):
            raise ConfigError("a pattern names a cell more than once; expected each at most once")
        return given

    def _groups(self, patterns: Array) -> list[Array]:
        """One pattern a group if they fit; else each further one joins the first-comer it overlaps most."""
        order = self._rng.permutation(len(patterns))
        first, rest = order[: self.n_segments], order[self.n_segments :]
        groups = [[int(index)] for index in first]
        if len(rest):
            member = np.zeros((len(first), self.population.settings.n_inputs), bool)
            np.put_along_axis(member, patterns[first], True, axis=1)
            most = -(-len(patterns) // len(first))
            for index in rest:
                overlap = member[:, patterns[index]].sum(1)
                overlap[[len(group) >= most for group in groups]] = -1
                groups[int(overlap.argmax())].append(int(index))
        return [np.array(group) for group in groups]

    def _sample(self, members: Array) -> Array:
        """Cells for a segment: random ones of one pattern, else shared ones, then of the least covered."""
        if len(members) == 1:
            return self._rng.permutation(members[0])[: self.synapses]
        cells, shared = np.unique(members, return_counts=True)
        order = self._rng.permutation(len(cells))
        order = order[np.argsort(-shared[order], kind="stable")]
        chosen = list(cells[order[shared[order] > 1]][: self.synapses])
        while len(chosen) < self.synapses:
            covered = np.isin(members, chosen)
            least = int(covered.sum(1).argmin())
            chosen.append(self._rng.choice(members[least][~covered[least]]))
        return np.array(chosen)
