"""`WhiteningLayer`: the adaptive circuit as a module inside a network, batched over populations."""

import torch
from torch import Tensor, nn

from neuroai.errors import ConfigError, ShapeError
from neuroai.kernels import lateral_step
from neuroai.whitening.circuit import gain_drive, respond, update_gains

__all__ = ["WhiteningLayer"]


class WhiteningLayer(nn.Module):
    r"""Whiten features, responses or spike counts; adapt in training mode, keep still in evaluation.

    .. math:: y = M^{-1} (x - \mu), \qquad M = I + W\,\mathrm{diag}(g)\,W^T

    Gradients flow through the responses to the inputs; adaptation follows its own local rule, without them.

    Parameters
    ----------
    n : int
        Neurons of a population.
    populations : tuple of int
        Leading dimensions; every population adapts on its own.
    frame : Tensor (n, k), optional
        Unit columns. Without one, gains act on every pair of neurons with the frame-independent update,
        :math:`M \leftarrow M + \eta (\langle y y^T \rangle - I)`.
    step : float
        For one sample; a batch of ``b`` takes ``1 - (1 - step) ** b``.
    nonnegative : bool
        Keep gains at or above zero (needs a frame): never amplifies, stable at any step.

    Attributes
    ----------
    mean : Tensor (*populations, n)
    gains : Tensor (*populations, k)
        With a frame.
    matrix : Tensor (*populations, n, n)
        Without one.

    Notes
    -----
    Time ``O(n^3 + b n^2)`` a population. All state is in buffers: it moves, saves and loads with the module.

    Examples
    --------
    >>> layer = WhiteningLayer(3, step=0.01)
    >>> x = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([2.0, 1.0, 0.5])
    >>> for batch in x.split(20):
    ...     _ = layer(batch)
    >>> white = layer.eval()(x).T.cov()
    >>> bool((white - torch.eye(3)).abs().max() < 0.3)
    True
    """

    mean: Tensor
    gains: Tensor
    matrix: Tensor
    frame: Tensor

    def __init__(
        self,
        n: int,
        *,
        populations: tuple[int, ...] = (),
        frame: Tensor | None = None,
        step: float = 0.001,
        nonnegative: bool = False,
    ) -> None:
        super().__init__()
        if not 0 < step < 1:
            raise ConfigError(f"step must lie between 0 and 1; found {step}")
        if nonnegative and frame is None:
            raise ConfigError("nonnegative gains need a frame, for example signed_pair_frame(n)")
        if frame is not None and (frame.ndim != 2 or frame.shape[0] != n):
            raise ShapeError(f"the frame has shape {tuple(frame.shape)}; ({n}, k) is needed")
        self.step, self.nonnegative, self.populations = step, nonnegative, populations
        self.register_buffer("mean", torch.zeros(*populations, n))
        if frame is None:
            self.register_buffer("matrix", torch.eye(n).repeat(*populations, 1, 1))
        else:
            self.register_buffer("frame", frame.detach().clone())
            self.register_buffer("gains", frame.new_zeros(*populations, frame.shape[1]))
            self.mean = self.mean.to(frame.dtype)

    def forward(self, inputs: Tensor) -> Tensor:
        """Responses to inputs (*populations, b, n), given before the circuit adapts to them."""
        expected = (*self.populations, self.mean.shape[-1])
        if inputs.ndim != len(expected) + 1 or (*inputs.shape[:-2], inputs.shape[-1]) != expected:
            raise ShapeError(
                f"inputs have shape {tuple(inputs.shape)}; (*{self.populations}, b, {expected[-1]}) is needed"
            )
        centred = inputs - self.mean.unsqueeze(-2)
        responses = self._respond(centred)
        if self.training:
            if not bool(torch.isfinite(responses).all()):
                raise ConfigError("inputs hold NaN or infinite values: the circuit did not adapt to them")
            with torch.no_grad():
                self._adapt(centred, responses)
        return responses

    @torch.no_grad()
    def stream(self, inputs: Tensor) -> Tensor:
        """Respond and adapt to one sample of every population (p, n): the fast path of many populations.

        One fused kernel on a GPU: see `neuroai.kernels.lateral_step`. Without a frame, one leading dimension.
        A sample that holds NaN or infinite values gives NaN and leaves its population as it was.
        """
        if len(self.populations) != 1 or not hasattr(self, "matrix"):
            raise ConfigError("stream needs one dimension of populations and no frame")
        if inputs.shape != self.mean.shape:
            raise ShapeError(f"inputs have shape {tuple(inputs.shape)}; {tuple(self.mean.shape)} is needed")
        centred = inputs - self.mean
        responses, self.matrix = lateral_step(self.matrix, centred, self.step)
        moved = torch.add(self.mean, centred, alpha=self.step)
        self.mean = torch.where(responses.isnan(), self.mean, moved)
        return responses

    def _respond(self, centred: Tensor) -> Tensor:
        if hasattr(self, "frame"):
            return respond(centred, self.frame, self.gains)
        factor, failed = torch.linalg.cholesky_ex(self.matrix)
        if bool(failed.any()):
            raise ConfigError("M is not positive definite: make the step smaller, or use nonnegative gains")
        return torch.cholesky_solve(centred.mT, factor).mT

    def _adapt(self, centred: Tensor, responses: Tensor) -> None:
        share = 1 - (1 - self.step) ** centred.shape[-2]
        self.mean = self.mean + share * centred.mean(-2)
        if hasattr(self, "frame"):
            drive = gain_drive(responses, self.frame)
            self.gains = update_gains(self.gains, drive, share, nonnegative=self.nonnegative)
            return
        second = responses.mT @ responses / responses.shape[-2]
        eye = torch.eye(second.shape[-1], dtype=second.dtype, device=second.device)
        self.matrix = self.matrix + share * (second - eye)
