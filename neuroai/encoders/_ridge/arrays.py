"""Array plumbing: one kind of tensor inside, whatever the user brought outside.

Inside, everything is a :class:`torch.Tensor` on the device of the features. On the CPU a
tensor shares its memory with a numpy array, and products go through numpy's BLAS: OpenBLAS
runs at full vector width on every x86 vendor, torch's own library does not.
"""

import mmap
from typing import Any, Protocol

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from neuroai.errors import DataError


def matmul(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """Return ``a @ b``, by numpy's BLAS on the CPU.

    Parameters
    ----------
    a, b : Tensor (i, j), (j, k)
        One dtype and device; transposed views cost nothing.
    out : Tensor (i, k), optional
        Written in place.
    """
    if a.device.type != "cpu":
        return torch.matmul(a, b) if out is None else torch.matmul(a, b, out=out)
    if out is None:
        return torch.from_numpy(np.matmul(a.numpy(), b.numpy()))
    np.matmul(a.numpy(), b.numpy(), out=out.numpy())
    return out


def row_dot(a: Tensor, b: Tensor) -> Tensor:
    """Return ``sum_j a[i, j] b[i, j]``, shape (i,)."""
    if a.device.type != "cpu":
        product: Tensor = torch.linalg.vecdot(a, b)
        return product
    return torch.from_numpy(np.vecdot(a.numpy(), b.numpy()))


def eigh(gram: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues (clamped at 0, ascending) and eigenvectors of a symmetric matrix.

    Notes
    -----
    LAPACK ``?syevd`` (divide and conquer), 9 r³ operations. ``gram`` is overwritten on the CPU.
    """
    if gram.device.type != "cpu":
        values, vectors = torch.linalg.eigh(gram)
        return values.clamp_(min=0), vectors
    found, basis = scipy.linalg.eigh(gram.numpy(), driver="evd", overwrite_a=True, check_finite=False)
    return torch.from_numpy(found).clamp_(min=0), torch.from_numpy(np.ascontiguousarray(basis))


#: Rows of a memmap that are read before its pages are given back.
MAPPED_ROWS = 32


class Lazy(Protocol):
    """What is read in blocks: a numpy memmap, an h5py dataset, a lazily backed xarray, a tensor."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> Any: ...

    def __getitem__(self, key: Any) -> Any: ...


def from_numpy(array: Any) -> Tensor:
    """Share memory with a numpy array, or copy it if it is read-only (torch cannot wrap that)."""
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def is_lazy(array: Any) -> bool:
    """Whether ``array`` must not be turned into one array in memory."""
    if isinstance(array, np.memmap):
        return True
    if isinstance(array, np.ndarray | torch.Tensor) or hasattr(array, "iloc"):
        return False
    return all(hasattr(array, name) for name in ("shape", "dtype", "ndim", "__getitem__"))


def read_block(targets: Lazy, start: int, stop: int, like: Tensor) -> Tensor:
    """Read targets ``start:stop`` as (n_samples, stop - start) in the dtype and on the device of ``like``.

    Raises
    ------
    DataError
        If a value is NaN or infinite; names the first such target.
    """
    block = _copy_mapped(targets, start, stop) if isinstance(targets, np.memmap) else targets[:, start:stop]
    if not isinstance(block, Tensor):
        block = np.asarray(block)
        if block.dtype.kind not in "fiub":
            raise DataError(f"targets have dtype {block.dtype}; expected real numbers: convert them first")
        block = from_numpy(block)
    block = block.to(device=like.device, dtype=like.dtype)
    if not bool(torch.isfinite(block.sum())):
        _name_the_bad_target(block, start)
    return block


def _copy_mapped(targets: Any, start: int, stop: int) -> Any:
    """Copy columns of a memmap, giving its pages back on the way.

    Pages of a file stay in the process until the system is short of memory: columns read from a row-major
    file would pull in all of it. A copy-on-write map (mode "c") must keep its pages: they may be changed.
    """
    held = targets.base
    while held is not None and not isinstance(held, mmap.mmap):
        held = held.base
    if targets.mode == "c" or not hasattr(held, "madvise"):
        held = None
    block = np.empty((targets.shape[0], stop - start), targets.dtype)
    for first in range(0, len(block), MAPPED_ROWS):
        rows_read = slice(first, first + MAPPED_ROWS)
        block[rows_read] = targets[rows_read, start:stop]
        if held is not None:
            held.madvise(mmap.MADV_DONTNEED)
    return block


def _name_the_bad_target(block: Tensor, start: int) -> None:
    bad = torch.nonzero(~torch.isfinite(block).all(0)).flatten()
    if len(bad):
        target = start + int(bad[0])
        raise DataError(
            f"Input y contains NaN or infinity: target {target} is the first of {len(bad)} in its block; "
            "leave such targets out or fill them before fitting"
        )


def rows(x: Tensor, index: Tensor | slice, offset: Tensor | None, like: Tensor) -> Tensor:
    """Rows of ``x`` in the dtype of ``like``, minus ``offset``; a view where nothing needs to change."""
    taken = x[index].to(dtype=like.dtype)
    return taken if offset is None else taken - offset


def as_output(tensor: Tensor, numpy: bool) -> Any:
    """Give back the kind of array that came in."""
    return tensor.cpu().numpy() if numpy else tensor


def varying(y: Tensor) -> Tensor:
    """Which columns of ``y`` (n, b) are not constant, bool (b,).

    Notes
    -----
    Columns that differ within eight spread rows are done; only the others are read as a whole.
    """
    probe = y[:: max(1, y.shape[0] // 8)]
    found = (probe != probe[0]).any(0)
    doubtful = torch.nonzero(~found).flatten()
    if len(doubtful):
        column = y[:, doubtful]
        found[doubtful] = (column != column[0]).any(0)
    return found
