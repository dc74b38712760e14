"""Learning of many memories at once, as plain functions of tensors: one row a learning segment."""

import torch
from torch import Tensor

__all__ = ["draw_keys", "grown", "lowest_places", "mix", "reinforced"]

_LAST = 2**62


def mix(value: Tensor) -> Tensor:
    """Scramble 32 bits of int64 (the same numbers as `neuroai_kernels.segment_memory.mix`)."""
    x = value & 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    x = ((x ^ (x >> 15)) * 0x846CA68B) & 0xFFFFFFFF
    return x ^ (x >> 16)


def draw_keys(salt: Tensor, items: Tensor) -> Tensor:
    """Random 32-bit keys (int64) of items; broadcasts."""
    return mix(salt ^ mix(items + 0x9E3779B9))


def reinforced(
    sources: Tensor, permanence: Tensor, is_active: Tensor, up: int, down: int, one: int, nobody: Tensor
) -> tuple[Tensor, Tensor]:
    """Rows after learning; synapses at zero are gone.

    Parameters
    ----------
    sources : int32 (m, synapse)
        ``nobody`` at unused places.
    permanence : int32 (m, synapse)
    is_active : bool (m, synapse)
        Activity of the sources.
    up, down, one : int
        Steps for active and other sources; permanence 1.0.
    nobody : int32 (m, 1)

    Returns
    -------
    sources, permanence : int32 (m, synapse)
    """
    used = sources != nobody
    step = torch.where(is_active, up, down)
    changed = torch.where(used, (permanence + step).clamp(0, one), 0).to(permanence.dtype)
    return torch.where(changed > 0, sources, nobody), changed


def grown(
    sources: Tensor,
    permanence: Tensor,
    candidates: Tensor,
    keys: Tensor,
    n_new: Tensor,
    initial: int,
    nobody: Tensor,
) -> tuple[Tensor, Tensor]:
    """Rows with new synapses: to the candidates of the lowest keys that have none yet.

    Where they do not fit, the weakest synapses from other cells than the candidates make room (ties: lowest
    source), then fewer are grown.

    Parameters
    ----------
    sources, permanence : int32 (m, synapse)
        Sources below 2**28.
    candidates : int32 (m, w)
        ``nobody`` at unused places.
    keys : int64 (m, w)
        Below 2**32.
    n_new : int (m,)
    initial : int
        Permanence of new synapses.
    nobody : int32 (m, 1)

    Returns
    -------
    sources, permanence : int32 (m, synapse)

    Notes
    -----
    Time and memory ``m w synapse`` bits for the comparison, and a sort of ``m (w + synapse)``.
    """
    width = sources.shape[1]
    same = sources.unsqueeze(2) == candidates.unsqueeze(1)
    # Unused places equal unused candidates; both are masked out below.
    protected, present = same.any(2), same.any(1)
    rank = torch.where(present | (candidates == nobody), _LAST, (keys << 28) | candidates.long())
    rank, order = rank.sort(1)
    place = torch.arange(candidates.shape[1], device=rank.device)
    chosen = (place < n_new.unsqueeze(1)) & (rank < _LAST)
    # Order of survival: synapses from candidates, new ones, then the others, strongest first.
    weakness = (2**17 - permanence.long() << 28) | (2**28 - 1 - sources.long())
    old = torch.where(protected, 0, 2**58 + weakness)
    old = torch.where(sources == nobody, _LAST, old)
    new = torch.where(chosen, 1 + place, _LAST)
    survival, keep = torch.cat((old, new), 1).sort(stable=True, dim=1)
    keep, lost = keep[:, :width], survival[:, :width] == _LAST
    all_sources = torch.cat((sources, candidates.gather(1, order)), 1).gather(1, keep)
    all_permanence = torch.cat((permanence, torch.full_like(candidates, initial)), 1).gather(1, keep)
    return torch.where(lost, nobody, all_sources), torch.where(lost, 0, all_permanence)


def lowest_places(owner: Tensor, score: Tensor, last_used: Tensor, n: int) -> Tensor:
    """Places of the ``n`` segments of each memory with the lowest score; ties: oldest, then lowest place.

    Parameters
    ----------
    owner : int32 (b, segment)
        -1 for free places, which come last.
    score : float64 (b, segment)
    last_used : int64 (b, segment)

    Returns
    -------
    int64 (b, n)
    """
    by_age = last_used.argsort(dim=1, stable=True)
    score = torch.where(owner >= 0, score, torch.inf).gather(1, by_age)
    return by_age.gather(1, score.argsort(dim=1, stable=True))[:, :n]
