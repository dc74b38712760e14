"""Ridge on one design with exact predictions of held-out samples, in whichever form is smaller."""

from collections.abc import Sequence

import torch
from torch import Tensor


class RidgeSystem:
    r"""Ridge regressions that share a centred design ``X`` (n, p), for any penalty and targets.

    .. math:: \hat Y = \bar Y + X (X^\top X + \alpha I)^{-1} X^\top (Y - \bar Y)

    Held-out residuals of a group ``g`` (leave-one-out without groups) are exact:
    ``e_g = (I - H_gg)^{-1} (y_g - yhat_g)``, with ``H`` the hat matrix including the intercept.

    Notes
    -----
    The smaller of the n x n and the p x p system is formed once, in O(n p min(n, p)), and factorised for each
    penalty, in O(min(n, p)^3); applying it costs O(n min(n, p) v).
    """

    def __init__(self, design: Tensor, groups: Sequence[Tensor] | None = None) -> None:
        self.design = design
        self.groups = groups
        self.dual = design.shape[0] <= design.shape[1]
        self.gram = design @ design.T if self.dual else design.T @ design

    def weights(self, targets: Tensor, alpha: float) -> Tensor:
        """Solution for centred ``targets`` (n, v): dual weights (n, v), or coefficients (p, v)."""
        return torch.cholesky_solve(self._moments(targets), self._factor(alpha))

    def solve(self, targets: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
        """Solution, as of :meth:`weights`, and residuals (n, v) of targets held out with their group."""
        n, lower = len(targets), self._factor(alpha)
        if self.dual:
            inverse = torch.cholesky_inverse(lower)
            solution = inverse @ targets
            residual = alpha * solution
        else:
            solution = torch.cholesky_solve(self._moments(targets), lower)
            residual = targets - self.design @ solution
            inverse = torch.linalg.solve_triangular(lower, self.design.T, upper=False)
        if self.groups is None:
            left = alpha * inverse.diagonal() if self.dual else 1 - inverse.square().sum(0)
            return solution, residual / (left - 1 / n).clamp(min=torch.finfo(left.dtype).eps)[:, None]
        held_out = torch.empty_like(residual)
        for rows in self.groups:
            if self.dual:
                left = alpha * inverse[rows][:, rows]
            else:
                left = torch.eye(len(rows)).to(inverse) - inverse[:, rows].T @ inverse[:, rows]
            held_out[rows] = torch.linalg.solve(left - 1 / n, residual[rows])
        return solution, held_out

    def _factor(self, alpha: float) -> Tensor:
        system = self.gram.clone()
        system.diagonal().add_(alpha)
        lower: Tensor = torch.linalg.cholesky(system)
        return lower

    def _moments(self, targets: Tensor) -> Tensor:
        return targets if self.dual else self.design.T @ targets

    def coefficients(self, solution: Tensor) -> Tensor:
        """Coefficients (p, v) of a solution."""
        return self.design.T @ solution if self.dual else solution
