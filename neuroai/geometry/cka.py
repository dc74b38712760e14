r"""Centred kernel alignment: how similar two representations' Gram matrices are.

References
----------
Kornblith, Norouzi, Lee, Hinton (2019), ICML; Song, Smola, Gretton, Bedo, Borgwardt (2012), JMLR, equation 5
(unbiased estimate); Nguyen, Raghu, Kornblith (2021), ICLR (mini-batches).
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import DataError, ShapeError
from neuroai.geometry.shape import matched_conditions

__all__ = ["cka", "kernel_cka", "minibatch_cka", "unbiased_hsic"]

Array = NDArray[np.float64]


def cka(x: ArrayLike, y: ArrayLike, *, debiased: bool = False) -> float:
    r"""Linear centred kernel alignment.

    .. math:: \mathrm{CKA} = \frac{\|X^T Y\|_F^2}{\|X^T X\|_F \|Y^T Y\|_F}

    Parameters
    ----------
    x : array (m, n_x)
        Conditions in rows; centred here.
    y : array (m, n_y)
    debiased : bool
        Use the unbiased estimate of each term, which does not grow with the number of neurons. Needs m >= 4;
        may be negative.

    Returns
    -------
    float
        In [0, 1]; at most 1 when debiased.

    Notes
    -----
    The form with the smaller matrices is used: ``O(m n^2)`` through features or ``O(m^2 n)`` through Gram
    matrices. The whitened cosine of two squared Euclidean RDMs equals the linear CKA.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((30, 4))
    >>> round(cka(x, 2 * x[:, ::-1] + 1), 12)
    1.0
    """
    a, b = matched_conditions(x, y)
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    if debiased:
        return _debiased(a @ a.T, b @ b.T)
    if max(a.shape[1], b.shape[1]) <= len(a):
        cross, own_a, own_b = _size(a.T @ b), _size(a.T @ a), _size(b.T @ b)
        return _ratio(cross**2, own_a * own_b)
    return _aligned(a @ a.T, b @ b.T)


def kernel_cka(gram_x: ArrayLike, gram_y: ArrayLike, *, debiased: bool = False) -> float:
    """Centred alignment of two given Gram matrices (m, m), of any kernel.

    Parameters
    ----------
    gram_x, gram_y : array (m, m)
        Symmetric; centred here.
    debiased : bool

    Returns
    -------
    float
    """
    k, h = np.asarray(gram_x, dtype=np.float64), np.asarray(gram_y, dtype=np.float64)
    if k.ndim != 2 or k.shape != h.shape or k.shape[0] != k.shape[1]:
        raise ShapeError(f"Gram matrices have shapes {k.shape} and {h.shape}; two of (m, m) are needed")
    return _debiased(k, h) if debiased else _aligned(_centred(k), _centred(h))


def minibatch_cka(batches: Iterable[tuple[ArrayLike, ArrayLike]]) -> float:
    """Debiased CKA from batches of conditions: unbiased terms summed over batches before dividing.

    Parameters
    ----------
    batches : iterable of (x, y)
        Arrays (m_batch, n_x) and (m_batch, n_y) with m_batch >= 4.

    Returns
    -------
    float
        Converges to the debiased CKA of all conditions; memory that of one batch.
    """
    terms = np.zeros(3)
    for x, y in batches:
        a, b = matched_conditions(x, y)
        k, h = a @ a.T, b @ b.T
        terms += [unbiased_hsic(k, h), unbiased_hsic(k, k), unbiased_hsic(h, h)]
    return _ratio(terms[0], np.sqrt(max(terms[1], 0) * max(terms[2], 0)))


def unbiased_hsic(gram_x: Array, gram_y: Array) -> float:
    r"""Unbiased estimate of the Hilbert-Schmidt independence criterion.

    .. math::
        \frac{\mathrm{tr}(KL) + \frac{1^T K 1\, 1^T L 1}{(m-1)(m-2)} - \frac{2}{m-2} 1^T K L 1}{m (m - 3)}

    with the diagonals of ``K`` and ``L`` (m, m) set to zero.
    """
    m = len(gram_x)
    if m < 4:
        raise DataError(f"{m} conditions: the unbiased estimate needs at least 4")
    k, h = gram_x - np.diag(np.diag(gram_x)), gram_y - np.diag(np.diag(gram_y))
    rows_k, rows_l = k.sum(axis=0), h.sum(axis=0)
    products = (
        (k * h).sum() + rows_k.sum() * rows_l.sum() / ((m - 1) * (m - 2)) - 2 / (m - 2) * (rows_k @ rows_l)
    )
    return float(products / (m * (m - 3)))


def _debiased(k: Array, h: Array) -> float:
    own = unbiased_hsic(k, k) * unbiased_hsic(h, h)
    return _ratio(unbiased_hsic(k, h), np.sqrt(max(own, 0.0)))


def _aligned(k: Array, h: Array) -> float:
    return _ratio(float((k * h).sum()), _size(k) * _size(h))


def _centred(gram: Array) -> Array:
    rows = gram.mean(axis=0)
    centred: Array = gram - rows - rows[:, None] + rows.mean()
    return centred


def _size(matrix: Array) -> float:
    return float(np.linalg.norm(matrix))


def _ratio(above: float, below: float) -> float:
    if not below > 0:
        raise DataError(
            "a representation that is the same for all conditions has no alignment: CKA is undefined"
        )
    return float(above / below)
