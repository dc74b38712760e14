r"""Posteriors of the hidden states of a Markov chain, filtered and smoothed."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai_kernels.errors import ShapeError
from neuroai_kernels.forward_backward.reference import forward_backward_reference

__all__ = ["StatePosterior", "forward_backward"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class StatePosterior:
    r"""What observations tell of the states.

    Attributes
    ----------
    filtered : float64 (T, S)
        :math:`p(s_t \mid y_{1:t})`: causal.
    smoothed : float64 (T, S)
        :math:`p(s_t \mid y_{1:T})`.
    log_likelihood : float
        :math:`\log p(y_{1:T})`.
    """

    filtered: Array
    smoothed: Array
    log_likelihood: float


def forward_backward(
    log_likelihood: ArrayLike,
    transitions: ArrayLike,
    initial: ArrayLike,
    kind: ArrayLike | None = None,
    *,
    implementation: Literal["reference", "cpu"] | None = None,
) -> StatePosterior:
    r"""Infer the states of :math:`p(s_1) \prod_t P_{k_t}(s_{t+1} \mid s_t) \prod_t p(y_t \mid s_t)`.

    .. math:: \alpha_t(s) = p(y_t \mid s) \sum_r \alpha_{t-1}(r) P(s \mid r), \qquad
              \beta_t(r) = \sum_s P(s \mid r)\, p(y_{t+1} \mid s)\, \beta_{t+1}(s)

    Parameters
    ----------
    log_likelihood : array-like (T, S)
        :math:`\log p(y_t \mid s)`, up to a constant a step that only ``log_likelihood`` of the result sees.
        ``-inf`` for states that are impossible, though not for all of a step.
    transitions : array-like (S, S) or (K, S, S)
        Rows sum to one: from a row's state to a column's. K kinds of steps where steps differ, as over gaps.
    initial : array-like (S,)
        :math:`p(s_1)`.
    kind : array-like of int (T - 1,), optional
        Kind of every step; 0 when left out.
    implementation : {"reference", "cpu"}, optional
        The compiled form unless the reference is asked for.

    Returns
    -------
    StatePosterior

    Raises
    ------
    ShapeError
        If arrays do not fit together, hold NaN, or are no probabilities; if all paths have probability zero.

    Notes
    -----
    ``O(T S^2)`` time, ``O(T S + K S^2)`` memory. The compiled form scales probabilities at each step; the
    reference adds logarithms. Source: Rabiner (1989), "A tutorial on hidden Markov models", equations 19 to
    27 and 91 to 103.

    Examples
    --------
    >>> stay = [[0.9, 0.1], [0.1, 0.9]]
    >>> seen = np.log([[0.8, 0.2], [0.5, 0.5], [0.2, 0.8]])
    >>> found = forward_backward(seen, stay, [0.5, 0.5])
    >>> found.filtered[:, 0].round(3).tolist(), found.smoothed[:, 0].round(3).tolist()
    ([0.8, 0.74, 0.36], [0.64, 0.5, 0.36])
    """
    seen, moves = np.asarray(log_likelihood, dtype=np.float64), np.asarray(transitions, dtype=np.float64)
    start = np.asarray(initial, dtype=np.float64)
    moves = moves[None] if moves.ndim == 2 else moves
    steps = np.zeros(max(len(seen) - 1, 0), np.int64) if kind is None else np.asarray(kind, dtype=np.int64)
    _check(seen, moves, start, steps)
    if implementation == "reference":
        filtered, smoothed, total = forward_backward_reference(seen, moves, start, steps)
    else:
        from neuroai_kernels.forward_backward import cpu

        filtered, smoothed, total = cpu.forward_backward_cpu(seen, moves, start, steps)
    if not np.isfinite(total):
        raise ShapeError("every path of states has probability zero: raise likelihoods or transitions")
    return StatePosterior(filtered, smoothed, total)


def _check(seen: Array, moves: Array, start: Array, steps: NDArray[np.int64]) -> None:
    n_steps, n_states = seen.shape if seen.ndim == 2 else (0, 0)
    fits = moves.ndim == 3 and moves.shape[1:] == (n_states, n_states) and start.shape == (n_states,)
    if n_steps < 1 or n_states < 1 or not fits or steps.shape != (n_steps - 1,):
        raise ShapeError(
            f"log_likelihood {seen.shape}, transitions {moves.shape}, initial {start.shape}, kind "
            f"{steps.shape}: expected (T, S), (K, S, S), (S,), (T - 1,)"
        )
    if np.isnan(seen).any() or (seen == np.inf).any() or (seen.max(axis=1) == -np.inf).any():
        raise ShapeError("log_likelihood: expected no NaN, no inf, and a possible state at every step")
    for name, p in (("transitions", moves), ("initial", start)):
        if not (p >= 0).all() or not np.allclose(p.sum(axis=-1), 1.0, atol=1e-6):
            raise ShapeError(f"{name}: expected probabilities that sum to one along the last axis")
    if len(steps) and (steps.min() < 0 or steps.max() >= len(moves)):
        raise ShapeError(f"kind: expected 0 to {len(moves) - 1}, found {steps.min()} to {steps.max()}")
