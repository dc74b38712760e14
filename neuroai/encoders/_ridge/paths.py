"""One decomposition a fold, after which every alpha costs one small product.

With training rows T, held-out rows H and ``G_T = X_T' X_T = V diag(s) V'`` (primal), or
``K_T = X_T X_T' = Q diag(s) Q'`` (dual), predictions on H are, for every alpha,

    P(alpha) = U D(alpha) z,    D = diag(1 / (s + alpha)),
    primal: U = X_H V,        z = V' X_T' y_T   (r = n_features)
    dual:   U = X_H X_T' Q,   z = Q' y_T        (r = n_train)

so that both forms share all that follows. With an intercept, X and y are centred with the
means of T, as rank-one corrections to globally centred moments.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from neuroai.encoders._ridge.arrays import eigh, matmul, rows
from neuroai.encoders._ridge.folds import Fold, is_partition


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
    x = design.rows(index)
    return matmul(x.T, x)


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
            shift = design.rows(fold.train).mean(0)
            moment.addr_(shift, shift, alpha=-float(fold.n_train))
        s, basis = eigh(moment)
        held_out = design.rows(fold.test)
        if shift is not None:
            held_out = held_out - shift
        paths.append(FoldPath(fold, basis, s, matmul(held_out, basis), shift, straight))
    return paths


def _sum(parts: list[Tensor]) -> Tensor:
    total = parts[0].clone()
    for part in parts[1:]:
        total += part
    return total


def kernel(design: Design, other: Tensor | None = None, block: int = 4096) -> Tensor:
    """Linear kernel ``X X'`` of centred features, (n, n), summed over blocks of features.

    Parameters
    ----------
    design : Design
    other : Tensor (m, n_features), optional
        Left factor (centred alike); the design itself by default.
    block : int
        Features a block: bounds the working memory at ``n * block`` numbers.
    """
    left = design.x if other is None else other
    total = design.like.new_zeros((left.shape[0], design.x.shape[0]))
    for start in range(0, design.x.shape[1], block):
        columns = slice(start, start + block)
        mean = None if design.mean is None else design.mean[columns]
        b = rows(design.x[:, columns], slice(None), mean, design.like)
        a = b if other is None else rows(other[:, columns], slice(None), mean, design.like)
        total += matmul(a, b.T)
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
        total = _sum(parts)
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
    return matmul(y[index].T, design.rows(index))


def dual_coordinates(paths: list[FoldPath], y: Tensor, means: list[Tensor | None]) -> list[Tensor]:
    """Coordinates ``z' = y_T' Q`` of a block of targets, in every fold: list of (b, n_train)."""
    found = []
    for path, mean in zip(paths, means, strict=True):
        z = matmul(y[path.fold.train].T, path.basis)
        if mean is not None:
            z.addr_(mean, path.basis.sum(0), alpha=-1.0)
        found.append(z)
    return found
