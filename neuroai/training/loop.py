"""One training loop for every trained model, on Lightning Fabric."""

import hashlib
import json
import math
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from neuroai.errors import CheckpointError, ConfigError, InterruptedRunError
from neuroai.training.capture import CapturedStep
from neuroai.training.checkpoint import Checkpoint, load_newest, save_checkpoint
from neuroai.training.optimizer_state import pack_optimizer, unpack_optimizer
from neuroai.training.ranks import Agreement, average_gradients, share_gradients
from neuroai.training.streams import batch_order, private_streams, seed_streams

__all__ = ["Batches", "Loss", "Plan", "TrainingResult", "train"]

Progress: TypeAlias = Callable[[str, int, int], None] | None
#: ``loss(model, batch, generator)``: a scalar; randomness comes from ``generator``.
Loss: TypeAlias = Callable[[nn.Module, Any, torch.Generator], Tensor]


class Batches(Protocol):
    """Training samples: a batch is a pure function of the sample indices."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def __getitem__(self, index: Tensor) -> Any:
        """Return the samples at ``index`` (int64) as one batch of tensors."""


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


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Batches,
    loss: Loss,
    plan: Plan,
    *,
    scheduler: LRScheduler | None = None,
    evaluate: Callable[[nn.Module], float] | None = None,
    folder: Path | None = None,
    config: Mapping[str, Any] | None = None,
    data_hash: str = "",
    fabric: Fabric | None = None,
    progress: Progress = None,
) -> TrainingResult:
    """Train ``model`` in place; go on where a killed run of the same ``folder`` stopped, bit for bit.

    Parameters
    ----------
    model, optimizer : nn.Module, Optimizer
        The optimiser holds the model's parameters.
    batches : Batches
    loss : callable
        ``loss(model, batch, generator) -> scalar``.
    plan : Plan
    scheduler : LRScheduler, optional
        Stepped once an epoch, or once a step if the plan says so.
    evaluate : callable, optional
        ``evaluate(model) -> float`` after each epoch, in evaluation mode without gradients; higher is better.
        The model ends with the weights of the best epoch.
    folder : Path, optional
        Where checkpoints go. If it holds one, training resumes from it.
    config : mapping, optional
        JSON-like description of model and data options: a checkpoint of another one is refused.
    data_hash : str, optional
        Fingerprint of the training data, compared likewise.
    fabric : Fabric, optional
        Launched device, precision and strategy; default: one CPU process in the model's precision. Under
        DDP each rank takes its share of a batch; rank 0 writes.
    progress : callable, optional
        Called as ``progress("train", steps_done, steps)``.

    Returns
    -------
    TrainingResult

    Raises
    ------
    CheckpointError
        If a checkpoint cannot be written, or the one found belongs to another run.
    ConfigError
        If there are no samples, or some batch has fewer than there are processes.
    InterruptedRunError
        On Ctrl-C, after the step in progress and its checkpoint; run again to resume.
    FloatingPointError
        If the mean loss of an epoch is not finite, or a gradient was not before a checkpoint.

    Notes
    -----
    Resuming is exact where the arithmetic is: same machine, thread count and library versions.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(1, 1)
    >>> class Line:
    ...     def __len__(self): return 8
    ...     def __getitem__(self, index): return index[:, None].float() / 8
    >>> squared = lambda model, x, generator: (model(x) - 2 * x).square().mean()
    >>> result = train(model, torch.optim.SGD(model.parameters(), 0.1), Line(), squared, Plan(3, 4))
    >>> result.steps, len(result.losses)
    (6, 3)
    """
    if fabric is None:
        fabric = Fabric(accelerator="cpu", devices=1)
    _check_shares(len(batches), plan.batch_size, fabric.world_size)
    wrapped, wrapped_optimizer = fabric.setup(model, optimizer)
    run = _Run(model, optimizer, scheduler, plan, folder, _identity(config, data_hash, plan), fabric)
    run.resume()
    generator = torch.Generator(fabric.device)
    per_epoch = -(-len(batches) // plan.batch_size)
    last = plan.epochs * per_epoch

    averaged, learned = plan.capture and share_gradients(fabric), list(wrapped.parameters())

    def compute(batch: Any) -> Tensor:
        with fabric.autocast() if averaged else nullcontext():
            value = loss(model if averaged else wrapped, batch, generator)
        fabric.backward(value)
        return value

    if plan.capture and fabric.device.type == "cuda" and (averaged or fabric.world_size == 1):
        compute = CapturedStep(compute, [p for p in learned if p.requires_grad], generator)
    stops = Agreement(fabric)
    with private_streams(), _interruption() as interrupted:
        for batch in _stream(batches, plan, run.step, 0 if run.finished(per_epoch) else last, fabric):
            seed_streams(generator, plan.seed, run.step, fabric.global_rank)
            if not wrapped.training:  # to say so to every module of a model takes milliseconds
                wrapped.train()
            value = compute(fabric.to_device(batch))
            if averaged:
                average_gradients(learned)
            if plan.clip_norm is not None:
                run.clip(wrapped, wrapped_optimizer)
            wrapped_optimizer.step()
            wrapped_optimizer.zero_grad(set_to_none=True)
            run.end_step()
            run.loss_sum += value.detach().double()
            if run.step % per_epoch == 0:
                run.end_epoch(per_epoch, _score(wrapped, evaluate))
            finished, stop = run.finished(per_epoch), stops(interrupted.is_set())
            if run.due(per_epoch) or finished or stop:
                run.save()
            if progress is not None:
                progress("train", last if finished else run.step, last)
            if stop and not finished:
                raise InterruptedRunError(
                    f"stopped at step {run.step} of {last} on request; "
                    + (f"run again with {folder} to resume" if folder else "no checkpoint folder was given")
                )
            if finished:
                break
    return run.result()


def _check_shares(n_samples: int, batch_size: int, world: int) -> None:
    smallest = min(batch_size, n_samples % batch_size or batch_size, n_samples)
    if smallest < world:
        raise ConfigError(
            f"{n_samples} samples in batches of {batch_size} leave a batch of {smallest}, which "
            f"{world} processes cannot share: change batch_size or the number of samples"
        )


def _identity(config: Mapping[str, Any] | None, data_hash: str, plan: Plan) -> dict[str, str]:
    """Hashes that say whether a checkpoint belongs to this run."""
    options = {"batch_size": plan.batch_size, "seed": plan.seed, "clip_norm": plan.clip_norm}
    text = json.dumps({"config": config, "plan": options}, sort_keys=True)
    return {"config": hashlib.sha256(text.encode()).hexdigest(), "data": data_hash}


def _stream(batches: Batches, plan: Plan, first: int, last: int, fabric: Fabric) -> Iterator[Any]:
    order = batch_order(
        len(batches),
        plan.batch_size,
        plan.seed,
        first,
        last,
        rank=fabric.global_rank,
        world=fabric.world_size,
    )
    if plan.workers == 0:
        yield from (batches[index] for index in order)
        return
    # Its own generator: the loader's seeds must not come out of the streams of the model.
    loader: DataLoader[Any] = DataLoader(
        batches,  # type: ignore[arg-type]
        batch_size=None,
        sampler=list(order),
        num_workers=plan.workers,
        generator=torch.Generator().manual_seed(plan.seed),
    )
    yield from loader


def _score(model: nn.Module, evaluate: Callable[[nn.Module], float] | None) -> float | None:
    if evaluate is None:
        return None
    model.eval()
    with torch.no_grad():
        return float(evaluate(model))


@contextmanager
def _interruption() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event, so that no step is cut in half; the second acts at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    previous = signal.getsignal(signal.SIGINT)

    def note(signum: int, frame: Any) -> None:
        event.set()
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, note)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, previous)


class _Run:
    """State of a run: what a checkpoint holds."""

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
        self.step += 1
        if self.scheduler is not None and self.plan.schedule == "step":
            self.scheduler.step()

    def end_epoch(self, per_epoch: int, score: float | None) -> None:
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
