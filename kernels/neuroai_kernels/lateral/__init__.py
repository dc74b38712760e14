"""One sample of every population through its lateral circuit, with the plasticity that it causes."""

from torch import Tensor

from neuroai_kernels._dispatch import Implementation, choose
from neuroai_kernels.lateral import reference as _reference

__all__ = ["lateral_step"]


def lateral_step(
    matrix: Tensor, inputs: Tensor, step: float, *, implementation: Implementation | None = None
) -> tuple[Tensor, Tensor]:
    r"""Settle and adapt: :math:`y = M^{-1} x`, then :math:`M \leftarrow M + \eta\,(y y^T - I)`.

    The update of ``M`` is that of gains on any spanning frame, preconditioned; see
    `neuroai.whitening.circuit.frame_preconditioner`.

    Parameters
    ----------
    matrix : Tensor (p, n, n)
        Symmetric positive definite, one a population; float32 or float64, not written to.
    inputs : Tensor (p, n)
    step : float
        ``eta``.
    implementation : {"reference", "cpu", "gpu"}, optional
        By device; the reference is also the CPU form (one batched factorisation).

    Returns
    -------
    responses : Tensor (p, n)
    matrix : Tensor (p, n, n)

    Notes
    -----
    The Triton form keeps ``M`` in registers, settles by conjugate gradients to a relative residual of 1e-6
    (1e-12 in float64) and moves each byte of ``M`` once each way; ``n`` at most 128. A matrix that is not
    positive definite gives NaN responses and NaN entries there; the reference does the same. A sample that
    holds NaN or infinite values gives NaN responses and leaves ``M`` of its population as it was: raising
    would make every step wait for the device.

    Examples
    --------
    >>> import torch
    >>> y, moved = lateral_step(2 * torch.eye(2)[None], torch.tensor([[2.0, 0.0]]), 0.1)
    >>> y, moved
    (tensor([[1., 0.]]), tensor([[[2.0000, 0.0000],
             [0.0000, 1.9000]]]))
    """
    if matrix.ndim != 3 or matrix.shape[1] != matrix.shape[2] or inputs.shape != matrix.shape[:2]:
        raise ValueError(
            f"matrix {tuple(matrix.shape)} and inputs {tuple(inputs.shape)} do not fit: "
            "(p, n, n) and (p, n) are needed"
        )
    if choose(matrix, implementation) == "gpu":
        from neuroai_kernels.lateral import gpu

        return gpu.lateral_step(matrix, inputs, step)
    return _reference.lateral_step(matrix, inputs, step)
