"""Compiled for the CPU: scatter over the rows that spike, gather over targets, product at the entries.

Indices are made unsigned before they index, which saves Numba's test for negative ones.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroai_kernels._numba import jit, prange, sized_jit

__all__ = ["gather", "sampled_product", "scatter", "transpose"]

Reals = NDArray[Any]
Pointers = NDArray[np.int64]
Ids = NDArray[np.int32]


@jit
def _transpose(indptr: Pointers, indices: Ids, heads: Pointers, sources: Ids, places: NDArray[Any]) -> None:
    """Counting sort; ``heads`` enters as each target's first entry and leaves as its last, plus one."""
    for i in range(len(indptr) - 1):
        for k in range(indptr[i], indptr[i + 1]):
            place = heads[indices[k]]
            heads[indices[k]] += 1
            sources[place] = i
            places[place] = k


def transpose(indptr: Tensor, indices: Tensor, n_out: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pointers by target, the source of each entry, and its place in the order by source."""
    pointers = torch.zeros(n_out + 1, dtype=torch.int64)
    pointers[1:] = torch.bincount(indices, minlength=n_out).cumsum(0)
    sources = torch.empty_like(indices)
    places = torch.empty(len(indices), dtype=torch.int64 if len(indices) >= 2**31 else torch.int32)
    heads = pointers[:-1].clone()
    _transpose(indptr.numpy(), indices.numpy(), heads.numpy(), sources.numpy(), places.numpy())
    return pointers, sources, places


@jit
def _list_neurons(spikes: Reals, words: NDArray[np.uint64], ids: Ids) -> int:
    """Neurons whose value is not 0; how many. ``words`` sees a mask's first values eight at a time."""
    count, first = 0, 8 * len(words)
    for w in range(len(words)):
        if words[w] != 0:
            for i in range(8 * w, 8 * w + 8):
                if spikes[i] != 0:
                    ids[count] = i
                    count += 1
    for i in range(first, len(spikes)):
        if spikes[i] != 0:
            ids[count] = i
            count += 1
    return count


@jit
def _add_part(start: int, stop: int, value: Any, indices: Ids, weights: Reals | None, out: Reals) -> None:
    for k in range(start, stop):
        out[np.uint64(indices[k])] += value if weights is None else value * weights[k]


@jit
def _add_rows(
    ids: Ids, values: Reals | None, indptr: Pointers, indices: Ids, weights: Reals | None, out: Reals
) -> None:
    """Add the rows of the listed neurons to the targets; two rows together keep more fetches underway."""
    for s in range(0, len(ids) - 1, 2):
        i, j = ids[s], ids[s + 1]
        value, other = 1 if values is None else values[i], 1 if values is None else values[j]
        a, b = indptr[i], indptr[j]
        shared = min(indptr[i + 1] - a, indptr[j + 1] - b)
        for k in range(shared):
            out[np.uint64(indices[a + k])] += value if weights is None else value * weights[a + k]
            out[np.uint64(indices[b + k])] += other if weights is None else other * weights[b + k]
        _add_part(a + shared, indptr[i + 1], value, indices, weights, out)
        _add_part(b + shared, indptr[j + 1], other, indices, weights, out)
    if len(ids) % 2:
        i = ids[-1]
        _add_part(indptr[i], indptr[i + 1], 1 if values is None else values[i], indices, weights, out)


@jit
def _add_multiples(
    ids: Ids,
    values: Reals | None,
    indptr: Pointers,
    indices: Ids,
    weights: Reals | None,
    quantum: float,
    out: NDArray[np.int64],
) -> None:
    """The same in whole multiples of the quantum."""
    for s in range(len(ids)):
        i = ids[s]
        value = 1.0 if values is None else np.float64(values[i])
        for k in range(indptr[i], indptr[i + 1]):
            term = value if weights is None else value * np.float64(weights[k])
            out[np.uint64(indices[k])] += np.int64(np.floor(term / quantum + 0.5))


@sized_jit
def _scatter(
    spikes: Reals,
    words: NDArray[np.uint64],
    values: Reals | None,
    indptr: Pointers,
    indices: Ids,
    weights: Reals | None,
    quantum: float | None,
    out: Reals,
) -> None:
    for b in prange(len(spikes)):
        ids = np.empty(spikes.shape[1], np.int32)
        listed = ids[: _list_neurons(spikes[b], words[b], ids)]
        graded = None if values is None else values[b]
        if quantum is None:
            _add_rows(listed, graded, indptr, indices, weights, out[b])
        else:
            _add_multiples(listed, graded, indptr, indices, weights, quantum, out[b])


def scatter(
    spikes: Tensor,
    indptr: Tensor,
    indices: Tensor,
    weights: Tensor | None,
    out: Tensor,
    quantum: float | None,
) -> None:
    """Add the rows of neurons that spike to ``out`` (B, n_out), which is int64 with a quantum."""
    given = spikes.numpy()
    values = None if spikes.dtype == torch.bool else given
    n_bytes = given.shape[1] // 8 * 8 if values is None else 0
    words = np.ascontiguousarray(given[:, :n_bytes]).view(np.uint8).view(np.uint64)
    scales = None if weights is None else weights.numpy()
    # One row is one thread's: two would add to the same targets.
    work = len(indices) * len(spikes) // 10 if len(spikes) > 1 else 0
    arrays = (indptr.numpy(), indices.numpy(), scales, quantum)
    _scatter(work, given, words, values, *arrays, out.numpy())


@sized_jit
def _gather(
    columns: Reals,
    indptr: Pointers,
    sources: Ids,
    places: NDArray[Any] | None,
    weights: Reals | None,
    out: Reals,
) -> None:
    for j in prange(len(indptr) - 1):
        for k in range(indptr[j], indptr[j + 1]):
            column = columns[np.uint64(sources[k])]
            if weights is None:
                for b in range(len(column)):
                    out[j, b] += column[b]
            else:
                weight = weights[k] if places is None else weights[np.uint64(places[k])]
                for b in range(len(column)):
                    out[j, b] += weight * column[b]


def gather(
    x: Tensor, indptr: Tensor, sources: Tensor, places: Tensor | None, weights: Tensor | None
) -> Tensor:
    """``x @ W`` for W given by target: (B, n_rows) to (B, n_out); each thread owns targets."""
    out = torch.zeros((len(indptr) - 1, len(x)), dtype=x.dtype)
    _gather(
        len(sources) * len(x),
        x.T.contiguous().numpy(),
        indptr.numpy(),
        sources.numpy(),
        None if places is None else places.numpy(),
        None if weights is None else weights.numpy(),
        out.numpy(),
    )
    return out.T


@sized_jit
def _sampled(x: Reals, y: Reals, indptr: Pointers, indices: Ids, out: Reals) -> None:
    for i in prange(len(indptr) - 1):
        out[indptr[i] : indptr[i + 1]] = 0
        for b in range(x.shape[0]):
            value = x[b, i]
            if value != 0:
                for k in range(indptr[i], indptr[i + 1]):
                    out[k] += value * y[b, np.uint64(indices[k])]


def sampled_product(x: Tensor, y: Tensor, indptr: Tensor, indices: Tensor) -> Tensor:
    """``x^T y`` at the entries of the matrix; silent rows are skipped."""
    out = torch.empty(len(indices), dtype=y.dtype)
    work = len(indices) * len(x)
    _sampled(work, x.numpy(), y.contiguous().numpy(), indptr.numpy(), indices.numpy(), out.numpy())
    return out
