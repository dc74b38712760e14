"""One training loop for every trained model, on Lightning Fabric."""

import hashlib
import json
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from neuroai.errors import ConfigError, InterruptedRunError
from neuroai.training.capture import CapturedStep
from neuroai.training.ranks import Agreement, average_gradients, share_gradients
from neuroai.training.run_state import Plan, RunState, TrainingResult
from neuroai.training.streams import batch_order, private_streams, seed_streams

__all__ = ["Batches", "Loss", "train"]

Progress: TypeAlias = Callable[[str, int, int], None] | None
#: ``loss(model, batch, generator)``: a scalar; randomness comes from ``generator``.
Loss: TypeAlias = Callable[[nn.Module, Any, torch.Generator], Tensor]


class Batches(Protocol):
    """Training samples: a batch is a pure function of the sample indices."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def __getitem__(self, index: Tensor) -> Any:
        """Return the samples at ``index`` (int64) as one batch of tensors."""


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
    run = RunState(model, optimizer, scheduler, plan, folder, _identity(config, data_hash, plan), fabric)
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
