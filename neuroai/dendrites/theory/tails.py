r"""Logarithms of hypergeometric and binomial tails, to about twelve digits at any size.

A difference of log-gammas loses digits (3e-10 at a population of 200,000). Here the first term of the tail
is a product of ratios of order one, rescaled when it leaves the range of a float, and the rest follows by
the ratio of neighbouring terms. Of the two tails the smaller is summed, so probabilities near one keep their
digits too.
"""

import math

import numpy as np
from numpy.typing import NDArray

from neuroai_kernels._numba import jit

__all__ = [
    "log_binomial_coefficients",
    "log_binomial_tails",
    "log_hypergeometric_tails",
    "log_hypergeometric_terms",
]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_BIG = 1e250
_LOG_BIG = math.log(_BIG)
# A term this much smaller than the sum so far cannot change it.
_NEGLIGIBLE = 1e-19


@jit
def _log_term(n: float, marked: float, draws: int, hits: int) -> float:
    """Log of C(draws, hits) C(n - draws, marked - hits) / C(n, marked), real ``marked`` allowed."""
    value, shift = 1.0, 0.0
    for i in range(hits):
        value *= (draws - i) * (marked - i) / ((i + 1.0) * (n - i))
        if value < 1.0 / _BIG:
            value *= _BIG
            shift -= _LOG_BIG
        elif value > _BIG:
            value /= _BIG
            shift += _LOG_BIG
    for j in range(draws - hits):
        value *= (n - marked - j) / (n - hits - j)
        if value < 1.0 / _BIG:
            value *= _BIG
            shift -= _LOG_BIG
    return math.log(value) + shift if value > 0.0 else -math.inf


@jit
def _log_hypergeometric_tail(n: float, marked: float, draws: int, threshold: int) -> float:
    lowest = max(0, math.ceil(draws + marked - n))
    highest = min(draws, math.floor(marked))
    if threshold <= lowest:
        return 0.0
    if threshold > highest:
        return -math.inf
    rest = n - draws - marked
    term, total = 1.0, 1.0
    if threshold > (draws + 1.0) * (marked + 1.0) / (n + 2.0):
        for b in range(threshold, highest):
            term *= (draws - b) * (marked - b) / ((b + 1.0) * (rest + b + 1.0))
            total += term
            if term < total * _NEGLIGIBLE:
                break
        return _log_term(n, marked, draws, threshold) + math.log(total)
    for b in range(threshold - 1, lowest, -1):
        term *= b * (rest + b) / ((draws - b + 1.0) * (marked - b + 1.0))
        total += term
        if term < total * _NEGLIGIBLE:
            break
    return math.log1p(-min(1.0, math.exp(_log_term(n, marked, draws, threshold - 1) + math.log(total))))


@jit
def _log_binomial_term(draws: int, probability: float, hits: int) -> float:
    value, shift = 1.0, (draws - hits) * math.log1p(-probability)
    for i in range(hits):
        value *= (draws - i) / (i + 1.0) * probability
        if value < 1.0 / _BIG:
            value *= _BIG
            shift -= _LOG_BIG
        elif value > _BIG:
            value /= _BIG
            shift += _LOG_BIG
    return math.log(value) + shift


@jit
def _log_binomial_tail(draws: int, probability: float, threshold: int) -> float:
    if threshold <= 0:
        return 0.0
    if threshold > draws or probability <= 0.0:
        return -math.inf
    if probability >= 1.0:
        return 0.0
    odds = probability / (1.0 - probability)
    term, total = 1.0, 1.0
    if threshold > (draws + 1.0) * probability:
        for b in range(threshold, draws):
            term *= (draws - b) / (b + 1.0) * odds
            total += term
            if term < total * _NEGLIGIBLE:
                break
        return _log_binomial_term(draws, probability, threshold) + math.log(total)
    for b in range(threshold - 1, 0, -1):
        term *= b / ((draws - b + 1.0) * odds)
        total += term
        if term < total * _NEGLIGIBLE:
            break
    return math.log1p(
        -min(1.0, math.exp(_log_binomial_term(draws, probability, threshold - 1) + math.log(total)))
    )


@jit
def _log_choose(n: float, k: int) -> float:
    value, shift = 1.0, 0.0
    for i in range(k):
        value *= (n - i) / (i + 1.0)
        if value > _BIG:
            value /= _BIG
            shift += _LOG_BIG
    return math.log(value) + shift


@jit
def log_hypergeometric_tails(n: Floats, marked: Floats, draws: Integers, threshold: Integers) -> Floats:
    """Log P[hits >= threshold] for each setting of four flat arrays of one length."""
    out = np.empty(len(n))
    for i in range(len(n)):
        out[i] = _log_hypergeometric_tail(n[i], marked[i], draws[i], threshold[i])
    return out


@jit
def log_hypergeometric_terms(n: Floats, marked: Floats, draws: Integers, hits: Integers) -> Floats:
    """Log P[hits] for each setting of four flat arrays of one length; minus infinity outside the support."""
    out = np.empty(len(n))
    for i in range(len(n)):
        if max(0.0, draws[i] + marked[i] - n[i]) <= hits[i] <= min(float(draws[i]), marked[i]):
            out[i] = _log_term(n[i], marked[i], draws[i], hits[i])
        else:
            out[i] = -math.inf
    return out


@jit
def log_binomial_tails(draws: Integers, probability: Floats, threshold: Integers) -> Floats:
    """Log P[hits >= threshold] of independent draws, for each setting of three flat arrays."""
    out = np.empty(len(draws))
    for i in range(len(draws)):
        out[i] = _log_binomial_tail(draws[i], probability[i], threshold[i])
    return out


@jit
def log_binomial_coefficients(n: Integers, k: Integers) -> Floats:
    """Log C(n, k) for each setting of two flat arrays; minus infinity where k < 0 or k > n."""
    out = np.empty(len(n))
    for i in range(len(n)):
        if k[i] < 0 or k[i] > n[i]:
            out[i] = -math.inf
        else:
            out[i] = _log_choose(float(n[i]), min(k[i], n[i] - k[i]))
    return out
