r"""Protecting what was learned: weights that mattered are pulled back to where they were.

Both rules add :math:`\tfrac12 \sum_i k_i (\theta_i - \theta^*_i)^2` to the loss of the next task; they differ
in the stiffness :math:`k`. Springs of several tasks are one spring, as stiff as all together, that rests at
the mean of their rests: two numbers a weight, however many tasks there were. The pull on a weight that has
not moved is exactly 0, which counts where Adam scales every gradient to the same step.

References
----------
Zenke, Poole, Ganguli (2017), "Continual learning through synaptic intelligence".
Kirkpatrick et al. (2017), "Overcoming catastrophic forgetting in neural networks".
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neuroai.dendrites.continual.optimizer import BlockAdam
from neuroai.kernels import AdamSprings

__all__ = ["Consolidation", "ElasticWeights", "NoConsolidation", "SynapticIntelligence"]

#: Logits of R networks for the training samples at n places (int64), (R, n, classes).
SampleLogits = Callable[[Tensor], Tensor]


class Consolidation(Protocol):
    """What a rule does while a task is learned and when it is done."""

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Act before and after every step of a task's optimiser."""

    def end_task(self, logits: SampleLogits, n_samples: int, generator: torch.Generator) -> None:
        """Take over the weights of a finished task."""


class NoConsolidation:
    """Leave the weights to the next task."""

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Nothing to do."""

    def end_task(self, logits: SampleLogits, n_samples: int, generator: torch.Generator) -> None:
        """Nothing to do."""


class _Springs:
    """Stiffness and rest position of every weight."""

    def __init__(self, network: nn.Module) -> None:
        self.weights = list(network.parameters())
        self.stiffness = [torch.zeros_like(w) for w in self.weights]
        self.rest = [w.detach().clone() for w in self.weights]

    def pull(self) -> None:
        """Add the gradient of the springs' energy to the weights' gradients."""
        for w, stiffness, rest in zip(self.weights, self.stiffness, self.rest, strict=True):
            if w.grad is not None:
                w.grad.addcmul_(stiffness, w.detach() - rest)

    def add(self, number: int, stiffness: Tensor) -> None:
        """Springs of the present task, which rest at the weights as they are."""
        total, rest = self.stiffness[number].add_(stiffness), self.rest[number]
        share = stiffness / total.clamp(min=torch.finfo(total.dtype).tiny)
        rest.lerp_(self.weights[number].detach(), share)


class SynapticIntelligence:
    r"""Weights that lowered the loss on their way are stiff.

    .. math:: k_i = 2c \sum_{\text{tasks}} \frac{\max(0, \omega_i)}{\Delta_i^2 + \xi},
              \qquad \omega_i = -\sum_{\text{steps}} g_i\, \delta\theta_i

    with :math:`g` the gradient of the task's loss alone and :math:`\Delta` the weight's change over the task.
    All springs rest at the weights of the latest task.

    Parameters
    ----------
    network : nn.Module
    strength : float
        :math:`c`.
    damping : float
        :math:`\xi`.

    Notes
    -----
    Weights that made the loss larger (:math:`\omega < 0`) get no spring: a negative one would have no rest.
    Three numbers a weight, the optimiser's not counted. `BlockAdam` follows path and pull in its own pass;
    other optimisers through hooks, with two more numbers a weight during a step.
    """

    def __init__(self, network: nn.Module, strength: float = 0.1, damping: float = 0.1) -> None:
        self.springs, self.strength, self.damping = _Springs(network), strength, damping
        self._path = [torch.zeros_like(w) for w in self.springs.weights]
        self._before: list[tuple[Tensor, Tensor] | None] = []

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Follow the path of the weights, under the pull of the springs."""
        springs = self.springs
        if isinstance(optimizer, BlockAdam):
            held = map(AdamSprings, springs.stiffness, springs.rest, self._path)
            optimizer.springs = dict(zip(springs.weights, held, strict=True))
            return
        optimizer.register_step_pre_hook(self._note)
        optimizer.register_step_post_hook(self._follow)

    def _note(self, *_: Any) -> None:
        self._before = [
            None if w.grad is None else (w.grad.clone(), w.detach().clone()) for w in self.springs.weights
        ]
        self.springs.pull()

    def _follow(self, *_: Any) -> None:
        for w, path, before in zip(self.springs.weights, self._path, self._before, strict=True):
            if before is not None:
                gradient, start = before
                path.addcmul_(gradient, start.sub_(w.detach()))
        self._before = []

    @torch.no_grad()
    def end_task(self, logits: SampleLogits, n_samples: int, generator: torch.Generator) -> None:
        """Stiffen what lowered the loss; rest at the present weights."""
        springs = self.springs
        for w, stiffness, rest, path in zip(
            springs.weights, springs.stiffness, springs.rest, self._path, strict=True
        ):
            moved = (w - rest).square_().add_(self.damping)
            stiffness.add_(path.clamp_(min=0).div_(moved), alpha=2 * self.strength)
            rest.copy_(w)
            path.zero_()


class ElasticWeights:
    r"""Elastic weight consolidation: weights to which the answers are sensitive are stiff.

    .. math:: k_i = \lambda \sum_{\text{tasks}} F_i, \qquad
              F_i = \frac1n \sum_x \Big(\frac{\partial \log p(y_x \mid x)}{\partial \theta_i}\Big)^2

    the diagonal of the Fisher information, with answers drawn from the network's own distribution. Each task
    has springs of its own, resting where that task ended.

    Parameters
    ----------
    network : nn.Module
    strength : float
        :math:`\lambda`.
    n_samples : int
        Training samples of a task that the sums run over, at most.

    Notes
    -----
    Gradients of eight samples at a time: eight numbers a weight while a task ends.
    """

    _together = 8

    def __init__(self, network: nn.Module, strength: float = 100.0, n_samples: int = 500) -> None:
        self.springs, self.strength, self.n_samples = _Springs(network), strength, n_samples

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Pull at every step."""
        optimizer.register_step_pre_hook(lambda *_: self.springs.pull())

    def end_task(self, logits: SampleLogits, n_samples: int, generator: torch.Generator) -> None:
        """Add the task's springs: squares of the gradients of single samples."""
        used = min(n_samples, self.n_samples)
        springs = self.springs
        for places in torch.split(torch.arange(used), self._together):
            found = logits(places)
            answers = torch.multinomial(
                found.detach().flatten(0, 1).softmax(1), 1, generator=generator
            ).squeeze(1)
            losses = F.cross_entropy(found.flatten(0, 1), answers, reduction="none").view(found.shape[:2])
            gradients = torch.autograd.grad(
                losses.sum(0),
                springs.weights,
                torch.eye(len(places), device=found.device),
                allow_unused=True,
                is_grads_batched=True,
            )
            for i, gradient in enumerate(gradients):
                if gradient is not None:
                    fisher = gradient.square_().sum(0).mul_(self.strength / used)
                    springs.add(i, fisher)
