"""Pair rules of spike-timing-dependent plasticity, and the traces that they read."""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["StdpRule", "StdpTraces"]


@dataclass(frozen=True)
class StdpRule:
    r"""One pair rule: how far a weight moves at a spike, given the trace of the other side.

    .. math::
        \text{post spike: } w \leftarrow w + A_+ w^{\mu_+} x, \qquad
        \text{pre spike: } w \leftarrow w - A_- w^{\mu_-} y, \qquad w \in [0, w_{\max}]

    Attributes
    ----------
    a_plus, a_minus : float
        Sizes of potentiation and depression, in units of :math:`w^{1-\mu}`.
    tau_plus, tau_minus : float
        Seconds, time constants of the traces of pre and post spikes.
    mu_plus, mu_minus : float
        Dependence on the weight; 0 is the additive rule.
    w_max : float
        Upper bound; infinite for none.

    Raises
    ------
    ValueError
        If a time constant or the upper bound is not positive, or an exponent negative.

    Examples
    --------
    >>> StdpRule.power_law(0.1, 0.0513, 0.4, w_0=45.0, tau_plus=15e-3, tau_minus=30e-3).mu_minus
    1.0
    """

    a_plus: float
    a_minus: float
    tau_plus: float = 20e-3
    tau_minus: float = 20e-3
    mu_plus: float = 0.0
    mu_minus: float = 0.0
    w_max: float = float("inf")

    def __post_init__(self) -> None:
        for name in ("tau_plus", "tau_minus", "w_max"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)}: expected a positive number")
        for name in ("mu_plus", "mu_minus"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}={getattr(self, name)}: expected 0 or more")

    @classmethod
    def power_law(
        cls, rate: float, asymmetry: float, mu: float, *, w_0: float, tau_plus: float, tau_minus: float
    ) -> "StdpRule":
        r"""Potentiation :math:`\lambda w_0^{1-\mu} w^\mu x`, depression :math:`\lambda \alpha w y`.

        Parameters
        ----------
        rate, asymmetry, mu : float
            :math:`\lambda`, :math:`\alpha` and :math:`\mu`.
        w_0 : float
            Reference weight.
        tau_plus, tau_minus : float
            Seconds.

        Notes
        -----
        Morrison, Aertsen and Diesmann (2007).
        """
        return cls(rate * w_0 ** (1 - mu), rate * asymmetry, tau_plus, tau_minus, mu, 1.0)


@dataclass(frozen=True)
class StdpTraces:
    """Traces of both sides, each as it was after the neuron's last spike: decay is applied when read.

    Attributes
    ----------
    pre, post : tensors (n_pre,), (n_post,)
        Values after the last spike.
    pre_step, post_step : int64 tensors
        Step of that spike.
    period : float
        Seconds a step.
    """

    pre: Tensor
    pre_step: Tensor
    post: Tensor
    post_step: Tensor
    period: float

    @classmethod
    def silent(
        cls,
        n_pre: int,
        n_post: int,
        period: float,
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> "StdpTraces":
        """Traces before any spike.

        Examples
        --------
        >>> StdpTraces.silent(2, 3, 1e-4).post.tolist()
        [0.0, 0.0, 0.0]
        """
        pre, post = (torch.zeros(n, dtype=dtype, device=device) for n in (n_pre, n_post))
        pre_step, post_step = (torch.zeros(n, dtype=torch.int64, device=device) for n in (n_pre, n_post))
        return cls(pre, pre_step, post, post_step, period)

    def at(self, step: int | Tensor, rule: StdpRule) -> tuple[Tensor, Tensor]:
        """Both traces decayed to a step."""
        return tuple(
            value * torch.exp((step - last).to(value.dtype) * (-self.period / tau))
            for value, last, tau in (
                (self.pre, self.pre_step, rule.tau_plus),
                (self.post, self.post_step, rule.tau_minus),
            )
        )  # type: ignore[return-value]
