"""The same operations in plain numpy, without an index: the specification."""

import numpy as np

from neuroai_kernels.segment_memory.layout import Array, Segments


def segment_counts(seg: Segments, active: Array) -> tuple[Array, Array]:
    """Connected and all synapses of each segment that come from active inputs.

    Parameters
    ----------
    seg : Segments
    active : integer array (n,)

    Returns
    -------
    connected, potential : int64 (segment,)
        Zero at free places.
    """
    is_active = np.zeros(len(seg.list_start), bool)
    is_active[active] = True
    width = seg.presynaptic.shape[1]
    live = (np.arange(width) < seg.n_synapses[:, None]) & (seg.cell >= 0)[:, None]
    hit = is_active[seg.presynaptic] & live
    return (hit & (seg.permanence >= seg.connected)).sum(1), hit.sum(1)


def reinforced(permanence: Array, is_active: Array, up: int, down: int, one: int) -> Array:
    """Permanences (int64) after learning; those at zero are to be removed."""
    return np.clip(permanence.astype(np.int64) + np.where(is_active, up, down), 0, one)


def mixed(value: Array) -> Array:
    """Scramble 32 bits (Wellons' "lowbias32" finaliser) of an int64 array."""
    x = value & 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    x = ((x ^ (x >> 15)) * 0x846CA68B) & 0xFFFFFFFF
    return x ^ (x >> 16)


def drawn(sources: Array, present: Array, n_new: int, salt: int) -> Array:
    """Inputs that a segment with synapses from ``present`` grows to: lowest keys of the others, sorted."""
    left = np.setdiff1d(sources, present).astype(np.int64)
    keys = mixed(salt ^ mixed(left + 0x9E3779B9))
    return np.sort(left[np.lexsort((left, keys))[: max(n_new, 0)]])
