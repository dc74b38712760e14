"""How a run is planned, what it has done so far, and its checkpoints."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from neuroai.errors import CheckpointError, ConfigError
from neuroai.training.checkpoint import Checkpoint, load_newest, save_checkpoint
from neuroai.training.optimizer_state import pack_optimizer, unpack_optimizer

__all__ = ["Plan", "RunState", "TrainingResult"]


@dataclass(frozen=True)
class Plan:
    """How long and how to train.

    Attributes
    ----------
    epochs, batch_size : int
    seed : int
        Fixes the batch order and all random streams.
    clip_norm : float, optional
        Largest gradient norm over all parameters.
    patience : int, optional
        Stop after this many epochs without a better validation score.
    checkpoint_every : int, default 0
        Steps between checkpoints; 0 writes one at the end of each epoch. Unused without a folder.
    workers : int, default 0
        Processes that load batches.
    schedule : {"epoch", "step"}
        When the scheduler steps.
    capture : bool
        On CUDA devices, record the passes of a step once a shape of batch and replay them. The loss may not
        read values back to the host (:mod:`neuroai.training.capture`). Under DDP gradients are averaged after
        the passes, which must reach the same parameters on all ranks; buffers stay each rank's own.
    """

    epochs: int
    batch_size: int
    seed: int = 0
    clip_norm: float | None = None
    patience: int | None = None
    checkpoint_every: int = 0
    workers: int = 0
    schedule: Literal["epoch", "step"] = "epoch"
    capture: bool = False

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size) < 1:
            raise ConfigError(f"epochs={self.epochs}, batch_size={self.batch_size}: expected at least 1")


@dataclass(frozen=True)
class TrainingResult:
    """What a run did.

    Attributes
    ----------
    steps : int
    losses : list of float
        Mean training loss of each epoch.
    scores : list of float
        Validation score of each epoch; empty without ``evaluate``.
    best_epoch : int
        Epoch, from 0, whose weights the model holds now.
    """

    steps: int
    losses: list[float]
    scores: list[float]
    best_epoch: int


class RunState:
    """State of a run: what a checkpoint holds.

    Parameters
    ----------
    model, optimizer, scheduler : Module, Optimizer, LRScheduler or None
        Not wrapped by Fabric: names of their tensors do not depend on the strategy.
    plan : Plan
    folder : Path, optional
        Where checkpoints go; without it none is written or looked for.
    identity : mapping of str to str
        What a checkpoint must agree with to be of this run.
    fabric : Fabric
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        scheduler: LRScheduler | None,
        plan: Plan,
        folder: Path | None,
        identity: dict[str, str],
        fabric: Fabric,
    ) -> None:
        self.model, self.optimizer, self.scheduler = model, optimizer, scheduler
        self.plan, self.folder, self.identity, self.fabric = plan, folder, identity, fabric
        self.step = 0
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=fabric.device)
        self.norm_sum = torch.zeros((), device=fabric.device)
        self.losses: list[float] = []
        self.scores: list[float] = []
        self.best: dict[str, Tensor] = {}
        self.best_epoch = -1

    def due(self, per_epoch: int) -> bool:
        """Whether a checkpoint is written after this step."""
        return self.step % (self.plan.checkpoint_every or per_epoch) == 0

    def finished(self, per_epoch: int) -> bool:
        """Whether all epochs are done or patience ran out; only ever true at the end of an epoch."""
        if self.step % per_epoch:
            return False
        waited = len(self.scores) - 1 - self.best_epoch
        patience = self.plan.patience
        return len(self.losses) >= self.plan.epochs or (
            bool(self.scores) and patience is not None and waited >= patience
        )

    def clip(self, wrapped: Any, optimizer: Any) -> None:
        """Clip gradients; a norm is looked at when something is written: each look waits for the device."""
        norm = self.fabric.clip_gradients(
            wrapped, optimizer, max_norm=self.plan.clip_norm, error_if_nonfinite=False
        )
        self.norm_sum += cast("Tensor", norm)

    def end_step(self) -> None:
        """Count a step, and let a scheduler of steps follow."""
        self.step += 1
        if self.scheduler is not None and self.plan.schedule == "step":
            self.scheduler.step()

    def end_epoch(self, per_epoch: int, score: float | None) -> None:
        """Note loss and score of an epoch, and keep the weights if they are the best so far.

        Raises
        ------
        FloatingPointError
            If the mean loss is not finite.
        """
        total = self.fabric.all_reduce(self.loss_sum, reduce_op="mean")
        mean = float(cast("Tensor", total)) / per_epoch
        if not math.isfinite(mean):
            raise FloatingPointError(
                f"mean loss of epoch {len(self.losses)} is {mean}: lower the learning rate or clip gradients"
            )
        self.losses.append(mean)
        self.loss_sum.zero_()
        if self.scheduler is not None and self.plan.schedule == "epoch":
            self.scheduler.step()
        if score is None:
            self.best_epoch = len(self.losses) - 1
            return
        self.scores.append(score)
        if self.best_epoch < 0 or score > self.scores[self.best_epoch]:
            self.best_epoch = len(self.scores) - 1
            self.best = {name: x.detach().clone() for name, x in self.model.state_dict().items()}

    def result(self) -> TrainingResult:
        """Give the model its best weights."""
        if self.best:
            self.model.load_state_dict(self.best)
        self.model.eval()
        return TrainingResult(self.step, self.losses, self.scores, self.best_epoch)

    def save(self) -> None:
        """Write a checkpoint from rank 0; all ranks wait for it.

        Raises
        ------
        FloatingPointError
            If a gradient since the last one was not finite.
        CheckpointError
            If it cannot be written.
        """
        if self.folder is None:
            return
        if not math.isfinite(float(self.norm_sum)):
            raise FloatingPointError(
                f"a gradient of the steps up to {self.step} is not finite: lower the learning rate; no "
                "checkpoint was written since"
            )
        self.norm_sum.zero_()
        if self.fabric.is_global_zero:
            moments, groups = pack_optimizer(self.optimizer)
            tensors = {
                "model": self.model.state_dict(),
                "best": self.best,
                "optimizer": moments,
                "loss": {"sum": self.loss_sum},
            }
            state = {
                "identity": self.identity,
                "param_groups": groups,
                "scheduler": self.scheduler.state_dict() if self.scheduler else None,
                "scaler": self.fabric.strategy.precision.state_dict(),
                "losses": self.losses,
                "scores": self.scores,
                "best_epoch": self.best_epoch,
            }
            save_checkpoint(self.folder, Checkpoint(self.step, tensors, state))
        self.fabric.barrier()

    def resume(self) -> None:
        """Take over the newest checkpoint of the folder, if there is one.

        Raises
        ------
        CheckpointError
            If it is of another run, or cannot be read.
        """
        found = load_newest(self.folder) if self.folder is not None else None
        if found is None:
            return
        for key, expected in self.identity.items():
            if found.state["identity"][key] != expected:
                raise CheckpointError(
                    f"the checkpoint in {self.folder} was made with another {key} "
                    f"({found.state['identity'][key][:12]}..., now {expected[:12]}...): "
                    "use the same options and data to resume, or another folder to start again"
                )
        self.model.load_state_dict(dict(found.tensors["model"]))
        unpack_optimizer(self.optimizer, found.tensors["optimizer"], found.state["param_groups"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(found.state["scheduler"])
        self.fabric.strategy.precision.load_state_dict(found.state["scaler"])
        self.step = found.step
        self.loss_sum.copy_(found.tensors["loss"]["sum"])
        self.losses, self.scores = list(found.state["losses"]), list(found.state["scores"])
        self.best = {name: x.to(self.fabric.device) for name, x in found.tensors["best"].items()}
        self.best_epoch = int(found.state["best_epoch"])
