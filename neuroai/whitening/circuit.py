r"""The adaptive circuit: fast recurrent responses, slow interneuron gains.

Responses to inputs ``x`` settle at :math:`y = M^{-1} x`, :math:`M = \alpha I + W\,\mathrm{diag}(g)\,W^T`;
each gain then follows the variance of its own input :math:`z_i = w_i^T y` alone,

.. math:: g \leftarrow g + \eta\,(\langle z \circ z \rangle - \|w\|^2) .

Functions of tensors, float32 or float64, on any device, batched over populations in leading dimensions.

References
----------
Duong, Lipshutz, Heeger, Chklovskii, Simoncelli (2023), ICML: algorithm 1.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from neuroai.errors import ConfigError
from neuroai.kernels import relax

__all__ = ["Adaptation", "adapt", "frame_preconditioner", "gain_drive", "respond", "settle", "update_gains"]


def respond(inputs: Tensor, frame: Tensor, gains: Tensor, leak: float = 1.0) -> Tensor:
    r"""Settled responses ``M^{-1} x`` by one factorisation of ``M``.

    Parameters
    ----------
    inputs : Tensor (..., b, n)
        Zero mean.
    frame : Tensor (..., n, k)
    gains : Tensor (..., k)
    leak : float
        Positive.

    Returns
    -------
    Tensor (..., b, n)

    Raises
    ------
    ConfigError
        If ``M`` is not positive definite: the circuit would run away instead of settling.

    Notes
    -----
    Time ``O(n^2 k + n^3 + b n^2)`` a population.

    Examples
    --------
    >>> x = torch.ones(1, 2)
    >>> respond(x, torch.eye(2), torch.tensor([1.0, 3.0]))
    tensor([[0.5000, 0.2500]])
    """
    factor, failed = torch.linalg.cholesky_ex(_response_matrix(frame, gains, leak))
    if bool(failed.any()):
        raise ConfigError(
            f"M = {leak:g} I + W diag(g) W^T is not positive definite (least gain {float(gains.min()):.4g}): "
            "the circuit cannot settle. Make the gain step smaller or use nonnegative gains"
        )
    return torch.cholesky_solve(inputs.mT, factor).mT


def settle(
    inputs: Tensor,
    frame: Tensor,
    gains: Tensor,
    leak: float = 1.0,
    *,
    tolerance: float = 1e-6,
    n_steps: int = 10_000,
) -> Tensor:
    r"""The same by running the fast dynamics :math:`\tau \dot y = x - W (g \circ W^T y) - \alpha y`.

    Never forms ``M`` with dense arithmetic in ``y``: time ``O(b n k)`` a step. The Euler step stays below
    ``1 / lambda_max(M)``, bounded by the trace and the row sums of the feedback of the positive gains.

    Parameters
    ----------
    inputs, frame, gains, leak
        As in `respond`.
    tolerance : float
        Relative change of a step at which the responses count as settled.
    n_steps : int

    Returns
    -------
    Tensor (..., b, n)

    Raises
    ------
    ConfigError
        If the responses have not settled, as when ``M`` is not positive definite.
    """
    size = 0.9 / (leak + _largest_feedback(frame, gains))

    def step(y: Tensor) -> Tensor:
        feedback = (gains.unsqueeze(-2) * (y @ frame)) @ frame.mT
        return y + size * (inputs - feedback - leak * y)

    try:
        settled = relax(step, torch.zeros_like(inputs), n_steps, tolerance=tolerance)
    except ValueError as error:
        raise ConfigError(f"the circuit does not settle: {error}") from error
    if not settled.converged:
        raise ConfigError(
            f"responses still change after {n_steps} steps: M is (nearly) singular or not positive definite"
        )
    return settled.state


def gain_drive(responses: Tensor, frame: Tensor) -> Tensor:
    r"""Excess variance of each interneuron's input, :math:`\langle (w_i^T y)^2 \rangle - \|w_i\|^2`.

    Parameters
    ----------
    responses : Tensor (..., b, n)
        Averaged over ``b``.
    frame : Tensor (..., n, k)

    Returns
    -------
    Tensor (..., k)
    """
    return (responses @ frame).square().mean(dim=-2) - frame.square().sum(dim=-2)


def update_gains(
    gains: Tensor,
    drive: Tensor,
    step: float,
    *,
    nonnegative: bool = False,
    preconditioner: Tensor | None = None,
) -> Tensor:
    """One gain step: up the gradient (times the preconditioner), then clipped at zero if asked for.

    Parameters
    ----------
    gains, drive : Tensor (..., k)
    step : float
        ``eta``, positive, below `~neuroai.whitening.convergence.largest_stable_step`.
    nonnegative : bool
    preconditioner : Tensor (..., k, k), optional
        From `frame_preconditioner`.

    Returns
    -------
    Tensor (..., k)
    """
    if preconditioner is not None:
        drive = (preconditioner @ drive.unsqueeze(-1)).squeeze(-1)
    moved = gains + step * drive
    return moved.clamp(min=0) if nonnegative else moved


def frame_preconditioner(frame: Tensor) -> Tensor:
    r"""Pseudo-inverse of :math:`\Gamma = (W^T W)^{\circ 2}`, which makes adaptation independent of the frame.

    With it the update of ``M`` is :math:`\eta (y y^T - I)` for every spanning frame: the same as
    plasticity of all lateral synapses. Time ``O(k^3)``, once a frame.
    """
    inverse: Tensor = torch.linalg.pinv((frame.mT @ frame).square(), hermitian=True, rtol=1e-10)
    return inverse


@dataclass(frozen=True)
class Adaptation:
    """Gains, and the covariance of the responses, along an adaptation.

    Attributes
    ----------
    gains : Tensor (t, ..., k)
        Before the first step and after each one recorded.
    response_covariance : Tensor (t, ..., n, n)
    steps : Tensor (t,)
        Number of gain steps taken.
    """

    gains: Tensor
    response_covariance: Tensor
    steps: Tensor


def adapt(
    covariance: Tensor,
    frame: Tensor,
    step: float,
    n_steps: int,
    *,
    gains: Tensor | None = None,
    leak: float = 1.0,
    nonnegative: bool = False,
    preconditioned: bool = False,
    every: int = 1,
) -> Adaptation:
    r"""Adapt to a known covariance: the drive is its expectation, :math:`w_i^T C_{yy} w_i - \|w_i\|^2`.

    Parameters
    ----------
    covariance : Tensor (..., n, n)
    frame : Tensor (..., n, k)
    step : float
        ``eta``.
    n_steps : int
    gains : Tensor (..., k), optional
        Start; zero by default, where responses equal inputs.
    leak : float
    nonnegative, preconditioned : bool
    every : int
        Record every so many steps.

    Returns
    -------
    Adaptation

    Raises
    ------
    ConfigError
        If ``M`` stops being positive definite: the step is too large.

    Notes
    -----
    Time ``O(n_steps (n^2 k + n^3))`` a population.

    Examples
    --------
    >>> from neuroai.whitening.frames import mercedes_benz
    >>> c = torch.tensor([[2.0, 0.8], [0.8, 1.0]], dtype=torch.float64)
    >>> adapted = adapt(c, torch.from_numpy(mercedes_benz()), 0.1, 400)
    >>> torch.allclose(adapted.response_covariance[-1], torch.eye(2, dtype=torch.float64))
    True
    """
    preconditioner = frame_preconditioner(frame) if preconditioned else None
    norms = frame.square().sum(dim=-2)
    g = norms.new_zeros((*covariance.shape[:-2], norms.shape[-1])) if gains is None else gains
    kept_gains, kept_covariances, kept_steps = [], [], []
    for taken in range(n_steps + 1):
        responses = _response_covariance(covariance, frame, g, leak)
        if taken % every == 0:
            kept_gains.append(g)
            kept_covariances.append(responses)
            kept_steps.append(taken)
        drive = torch.einsum("...ik,...ij,...jk->...k", frame, responses, frame) - norms
        g = update_gains(g, drive, step, nonnegative=nonnegative, preconditioner=preconditioner)
    return Adaptation(torch.stack(kept_gains), torch.stack(kept_covariances), torch.tensor(kept_steps))


def _response_matrix(frame: Tensor, gains: Tensor, leak: float) -> Tensor:
    eye = torch.eye(frame.shape[-2], dtype=frame.dtype, device=frame.device)
    return leak * eye + (frame * gains.unsqueeze(-2)) @ frame.mT


def _response_covariance(covariance: Tensor, frame: Tensor, gains: Tensor, leak: float) -> Tensor:
    # M^-1 C M^-1: respond to the columns of C, then to the columns of the (transposed) result.
    return respond(respond(covariance, frame, gains, leak).mT, frame, gains, leak)


def _largest_feedback(frame: Tensor, gains: Tensor) -> Tensor:
    """Upper bound on the largest eigenvalue of ``W diag(max(g, 0)) W^T``: its trace or its row sums."""
    positive = gains.clamp(min=0).unsqueeze(-2)
    trace = (frame.square() * positive).sum(dim=(-2, -1))
    rows = ((frame.abs() * positive) @ frame.abs().mT).sum(dim=-1).amax(dim=-1)
    return torch.minimum(trace, rows)[..., None, None]
