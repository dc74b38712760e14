r"""Shape distances between all pairs of many networks.

Each representation is centred, whitened, scaled and reduced to its principal directions once; a pair then
costs one product of matrices and the sum of its singular values.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import ConfigError, DataError, ShapeError
from neuroai.geometry.nuclear import nuclear_norms, stacked
from neuroai.geometry.shape import Metric, partially_whitened, shape_distance

__all__ = ["pairwise_distances"]

Array = NDArray[np.float64]
Progress = Callable[[str, int, int], None]

#: Above this cosine the arc cosine loses digits, and the distance is measured by its residual.
_NEAR = 0.999


def pairwise_distances(
    networks: Sequence[ArrayLike],
    *,
    alpha: float = 1.0,
    metric: Metric = "angular",
    center: bool = True,
    n_jobs: int = 1,
    device: str = "cpu",
    checkpoint: str | Path | None = None,
    progress: Progress | None = None,
) -> Array:
    """Matrix of `shape_distance` (orthogonal group) between representations of the same conditions.

    Parameters
    ----------
    networks : sequence of arrays (m, n_i)
        Widths may differ.
    alpha, metric, center
        As in `shape_distance`.
    n_jobs : int
        Threads; -1 for one a core. Give the linear algebra library one thread of its own.
    device : str
        "cpu", or a CUDA device, where the pairs of a row go through one batch.
    checkpoint : path, optional
        An ``.npz`` file that keeps finished rows: the same call goes on after them.
    progress : callable, optional
        Called as ``progress("distances", rows_done, rows)``.

    Returns
    -------
    ndarray (k, k)
        Symmetric, zero on the diagonal.

    Raises
    ------
    ShapeError
        If conditions differ.
    DataError
        For non-finite values, a representation without variation, or a checkpoint of other networks.

    Notes
    -----
    Time ``O(k^2 m w^2 + k^2 w^3)`` with ``w = min(m, n)``; memory ``O(k m w)``, all on the GPU where one is
    used. Double precision throughout.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((20, 5))
    >>> bool(pairwise_distances([x, 2 * x[:, ::-1], x**2])[0, 1] < 1e-7)
    True
    """
    shapes = [_prepared(network, index, alpha, center) for index, network in enumerate(networks)]
    if len({len(shape) for shape in shapes}) > 1:
        raise ShapeError(
            f"networks have {sorted({len(s) for s in shapes})} conditions: they must be the same"
        )
    if metric not in ("angular", "euclidean"):
        raise ConfigError(f"unknown metric {metric!r}: choose 'angular' or 'euclidean'")
    sizes = np.array([np.linalg.norm(shape) for shape in shapes])
    if metric == "angular" and (sizes == 0).any():
        raise DataError(f"network {int(np.argmin(sizes))} is the same for all conditions: it has no shape")
    store = _Checkpoint(checkpoint, shapes, metric)
    for row, similarity in _rows(shapes, store.pending(), n_jobs, device):
        later = slice(row + 1, None)
        store.add(row, _distances(row, shapes, similarity, sizes[row], sizes[later], metric))
        if progress is not None:
            progress("distances", store.done, len(shapes))
    matrix: Array = store.matrix + store.matrix.T
    return matrix


def _prepared(network: ArrayLike, index: int, alpha: float, center: bool) -> Array:
    data = np.asarray(network, dtype=np.float64)
    if data.ndim != 2:
        raise ShapeError(f"network {index} has shape {data.shape}; (conditions, neurons) is needed")
    if not np.isfinite(data).all():
        raise DataError(f"network {index} holds NaN or infinite values")
    if center:
        data = data - data.mean(axis=0)
    if alpha != 1.0:
        data = partially_whitened(data, alpha)
    if data.shape[1] > len(data):
        # Rotations are ignored, so m conditions need no more than m coordinates.
        u, s, _ = np.linalg.svd(data, full_matrices=False)
        data = u * s
    return data


def _rows(
    shapes: Sequence[Array], pending: Sequence[int], n_jobs: int, device: str
) -> Iterator[tuple[int, Array]]:
    if device != "cpu":
        together = stacked(shapes, device)
        for row in pending:
            yield row, nuclear_norms(together[row], together[row + 1 :])
        return

    def norms(row: int) -> Array:
        values = [np.linalg.svd(shapes[row].T @ y, compute_uv=False).sum() for y in shapes[row + 1 :]]
        return np.array(values, dtype=np.float64)

    # The linear algebra releases the interpreter, so threads share the representations at no cost.
    with ThreadPoolExecutor(n_jobs if n_jobs > 0 else os.cpu_count()) as pool:
        yield from zip(pending, pool.map(norms, pending), strict=True)


def _distances(
    row: int, shapes: Sequence[Array], similarity: Array, size: float, others: Array, metric: Metric
) -> Array:
    squares, product = size**2 + others**2, np.maximum(size * others, 1e-300)
    if metric == "angular":
        distances = np.arccos(np.minimum(similarity / product, 1.0))
        near = similarity > _NEAR * product
    else:
        distances = np.sqrt(np.maximum(squares - 2 * similarity, 0))
        near = squares - 2 * similarity < 1e-3 * squares
    for place in np.flatnonzero(near).tolist():
        other = shapes[row + 1 + place]
        distances[place] = shape_distance(shapes[row], other, metric=metric, center=False)
    return distances


class _Checkpoint:
    """Finished rows of the upper triangle, in memory and perhaps on disk."""

    def __init__(self, path: str | Path | None, shapes: Sequence[Array], metric: str) -> None:
        self.path = None if path is None else Path(path)
        self.matrix: Array = np.zeros((len(shapes), len(shapes)))
        self.finished = np.zeros(len(shapes), dtype=bool)
        if self.path is None:
            return
        self.digest = _digest(shapes, metric)
        if self.path.exists():
            self._read(self.path)

    @property
    def done(self) -> int:
        return int(self.finished.sum())

    def pending(self) -> list[int]:
        return [int(row) for row in np.flatnonzero(~self.finished)]

    def add(self, row: int, distances: Array) -> None:
        self.matrix[row, row + 1 :] = distances
        self.finished[row] = True
        if self.path is not None:
            from neuroai_datasets.store import write_atomic

            write_atomic(self.path, self._write)

    def _write(self, part: Path) -> None:
        with part.open("wb") as stream:
            np.savez(stream, digest=self.digest, matrix=self.matrix, finished=self.finished)

    def _read(self, path: Path) -> None:
        from neuroai_datasets.safe import load_npz

        kept = load_npz(path, ["digest", "matrix", "finished"])
        if kept["digest"].tobytes() != self.digest.tobytes() or kept["matrix"].shape != self.matrix.shape:
            raise DataError(f"{path} holds distances of other networks or settings: give another file")
        self.matrix, self.finished = kept["matrix"].copy(), kept["finished"].astype(bool)


def _digest(shapes: Sequence[Array], metric: str) -> NDArray[np.uint8]:
    digest = hashlib.sha256(metric.encode())
    for shape in shapes:
        digest.update(repr(shape.shape).encode())
        digest.update(np.ascontiguousarray(shape).data)
    return np.frombuffer(digest.digest(), dtype=np.uint8)
