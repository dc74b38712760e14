"""One decomposition a fold, after which every alpha costs one small product.

With training rows T, held-out rows H and ``G_T = X_T' X_T = V diag(s) V'`` (primal), or
``K_T = X_T X_T' = Q diag(s) Q'`` (dual), predictions on H are, for every alpha,

    P(alpha) = U D(alpha) z,    D = diag(1 / (s + alpha)),
    primal: U = X_H V,        z = V' X_T' y_T   (r = n_features)
    dual:   U = X_H X_T' Q,   z = Q' y_T        (r = n_train)

so that both forms share all that follows. With an intercept, X and y are centred with the
means of T, as rank-one corrections to globally centred moments.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from neuroai.encoders._ridge.arrays import eigh, matmul, rows
from neuroai.encoders._ridge.folds import Fold, is_partition

#: Features a block in which kernels are summed.
BLOCK = 4096


def chunk_rows(n_features: int) -> int:
    """Rows that are centred or converted at a time: 4 million numbers, but at least 512 rows."""
    return max(512, 2**22 // n_features)


@dataclass(frozen=True)
class Design:
    """The features and how they are centred.

    Attributes
    ----------
    x : Tensor (n_samples, n_features)
        As given; never copied as a whole.
    mean : Tensor (n_features,) or None
        Column means, subtracted from every block of rows; None without an intercept.
    like : Tensor (0,)
        Carries the working dtype and device.
    """

    x: Tensor
    mean: Tensor | None
    like: Tensor

    def rows(self, index: Tensor | slice) -> Tensor:
        """Globally centred rows in the working dtype (a view if that changes nothing)."""
        return rows(self.x, index, self.mean, self.like)

    def chunks(self, index: Tensor | slice) -> Iterator[tuple[Tensor, Tensor | slice]]:
        """Globally centred rows with their index, as many at a time as may be copied."""
        stop = self.x.shape[0] if isinstance(index, slice) else len(index)
        taken = range(stop)[index] if isinstance(index, slice) else range(stop)
        copied = self.mean is not None or self.x.dtype != self.like.dtype or not isinstance(index, slice)
        size = chunk_rows(self.x.shape[1]) if copied else max(len(taken), 1)
        for first in range(0, len(taken), size):
            some = taken[first : first + size]
            part = slice(some[0], some[-1] + 1)
            at = part if isinstance(index, slice) else index[part]
            yield self.rows(at), at

    def mean_of(self, index: Tensor | slice) -> Tensor:
        """Mean of globally centred rows, (n_features,)."""
        total, count = self.like.new_zeros(self.x.shape[1]), 0
        for x, _ in self.chunks(index):
            total += x.sum(0)
            count += len(x)
        return total / count


@dataclass(frozen=True)
class FoldPath:
    """What one fold needs to predict at any alpha.

    Attributes
    ----------
    fold : Fold
    basis : Tensor (n_features or n_train, r)
        V or Q.
    s : Tensor (r,)
        Eigenvalues, >= 0.
    u : Tensor (n_test, r)
        Held-out features in the eigenbasis, centred with the training mean.
    shift : Tensor (n_features,) or None
        Training mean minus global mean of the features (primal with an intercept).
    direct : bool
        Primal: training moments are summed over T instead of "all minus removed".
    """

    fold: Fold
    basis: Tensor
    s: Tensor
    u: Tensor
    shift: Tensor | None
    direct: bool


def gram(design: Design, index: Tensor | slice) -> Tensor:
    """``X' X`` over the given rows, (n_features, n_features)."""
    return _sum(matmul(x.T, x) for x, _ in design.chunks(index))


def primal_paths(design: Design, folds: list[Fold], total: Tensor) -> list[FoldPath]:
    """Decompose ``G_T`` for every fold by downdating one Gram matrix.

    Parameters
    ----------
    design : Design
    folds : list of Fold
    total : Tensor (n_features, n_features)
        Gram matrix of all rows.

    Notes
    -----
    ``n_removed p²`` operations a fold for the downdate, then 9 p³ for the decomposition.
    """
    paths = []
    for fold in folds:
        straight = fold.n_train < fold.n_removed
        moment = gram(design, fold.train if straight else fold.removed)
        if not straight:
            torch.sub(total, moment, out=moment)
        shift = None
        if design.mean is not None:
            shift = design.mean_of(fold.train)
            moment.addr_(shift, shift, alpha=-float(fold.n_train))
        s, basis = eigh(moment)
        held_out = design.rows(fold.test)
        if shift is not None:
            held_out = held_out - shift
        paths.append(FoldPath(fold, basis, s, matmul(held_out, basis), shift, straight))
    return paths


def _sum(parts: Iterable[Tensor]) -> Tensor:
    """Sum into the first, which is overwritten."""
    parts = iter(parts)
    total = next(parts)
    for part in parts:
        total += part
    return total


def kernel(design: Design) -> Tensor:
    """Linear kernel ``X X'`` of centred features, (n, n), summed over blocks of features.

    Parameters
    ----------
    design : Design
    """
    total = design.like.new_zeros((design.x.shape[0], design.x.shape[0]))
    for start in range(0, design.x.shape[1], BLOCK):
        columns = slice(start, start + BLOCK)
        mean = None if design.mean is None else design.mean[columns]
        x = rows(design.x[:, columns], slice(None), mean, design.like)
        total += matmul(x, x.T)
    return total


def dual_paths(design: Design, folds: list[Fold], total: Tensor) -> list[FoldPath]:
    """Decompose the centred training kernel of every fold.

    Parameters
    ----------
    design : Design
    folds : list of Fold
    total : Tensor (n_samples, n_samples)
        Kernel of all rows, centred with the global mean.

    Notes
    -----
    9 n_train³ operations a fold; no array of n_features columns is kept.
    """
    paths = []
    for fold in folds:
        k_train = total[fold.train][:, fold.train].clone()
        k_test = total[fold.test][:, fold.train].clone()
        if design.mean is not None:
            column = k_train.mean(0)
            level = column.mean()
            k_test -= k_test.mean(1, keepdim=True) + (column - level)
            k_train -= column[:, None] + (column - level)
        s, basis = eigh(k_train)
        paths.append(FoldPath(fold, basis, s, matmul(k_test, basis), None, True))
    return paths


def primal_coordinates(
    paths: list[FoldPath], design: Design, y: Tensor, means: list[Tensor | None]
) -> tuple[list[Tensor], Tensor]:
    """Coordinates ``z' = (X_T' y_T)' V`` of a block of targets, in every fold.

    Parameters
    ----------
    paths : list of FoldPath
    design : Design
    y : Tensor (n_samples, b)
        Globally centred if there is an intercept.
    means : list of Tensor (b,) or None
        Mean of ``y`` over the training rows of each fold.

    Returns
    -------
    coordinates : list of Tensor (b, n_features)
    moment : Tensor (b, n_features)
        ``(X' y)'`` over all rows.
    """
    parts = [_moment(design, y, path.fold.train if path.direct else path.fold.removed) for path in paths]
    if is_partition([path.fold for path in paths], y.shape[0]) and not any(path.direct for path in paths):
        total = _sum([parts[0].clone(), *parts[1:]])
    else:
        total = _moment(design, y, slice(0, y.shape[0]))
    for number, (path, mean) in enumerate(zip(paths, means, strict=True)):
        moment = parts[number]
        if not path.direct:
            torch.sub(total, moment, out=moment)
        if path.shift is not None and mean is not None:
            moment.addr_(mean, path.shift, alpha=-float(path.fold.n_train))
        parts[number] = matmul(moment, path.basis)
    return parts, total


def _moment(design: Design, y: Tensor, index: Tensor | slice) -> Tensor:
    return _sum(matmul(y[at].T, x) for x, at in design.chunks(index))


def dual_coordinates(paths: list[FoldPath], y: Tensor, means: list[Tensor | None]) -> list[Tensor]:
    """Coordinates ``z' = y_T' Q`` of a block of targets, in every fold: list of (b, n_train)."""
    found = []
    for path, mean in zip(paths, means, strict=True):
        z = matmul(y[path.fold.train].T, path.basis)
        if mean is not None:
            z.addr_(mean, path.basis.sum(0), alpha=-1.0)
        found.append(z)
    return found
