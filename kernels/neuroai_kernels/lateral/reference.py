"""The specification: a Cholesky solve and a rank-one update."""

import torch
from torch import Tensor

__all__ = ["lateral_step"]


def lateral_step(matrix: Tensor, inputs: Tensor, step: float) -> tuple[Tensor, Tensor]:
    """See `neuroai_kernels.lateral.lateral_step`."""
    factor, failed = torch.linalg.cholesky_ex(matrix)
    y = torch.cholesky_solve(inputs.unsqueeze(-1), factor)
    sound = torch.isfinite(inputs).all(-1)[:, None, None]
    y = torch.where(sound & (failed == 0)[:, None, None], y, torch.nan)
    eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    return y.squeeze(-1), torch.where(sound, matrix + step * (y @ y.mT - eye), matrix)
