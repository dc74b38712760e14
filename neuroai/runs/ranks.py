"""One run on the processes that ``torchrun`` started: the first writes it, all return it."""

import atexit
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroai.errors import ConfigError
from neuroai.runs import directory

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["first_rank", "n_ranks", "on_ranks", "one_process", "training_fabric"]

#: Seconds that ranks wait for the first one, which measures a trained model and writes the report.
_PATIENCE = 1800.0
_CHECKPOINTS, _RUN = "checkpoints", "run"


def n_ranks() -> int:
    """How many processes ``torchrun`` started; one without it.

    Examples
    --------
    >>> n_ranks()
    1
    """
    return int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1


def first_rank() -> bool:
    """Whether this process is the first that ``torchrun`` started, or was not started by it."""
    return os.environ.get("RANK", "0") == "0"


def one_process(command: str) -> None:
    """Refuse a command on several processes that cannot share it.

    Raises
    ------
    ConfigError
        Under ``torchrun`` with more than one process.
    """
    if n_ranks() > 1:
        raise ConfigError(
            f"`neuroai {command}` is the work of one process, torchrun started {n_ranks()}: start it without "
            "torchrun"
        )


def training_fabric(device: str, *, unused: bool = False) -> "Fabric":
    """Device, precision and ranks to train with: those that ``torchrun`` started, else this process alone.

    Parameters
    ----------
    device : str
        ``cpu`` (single precision; ranks talk over gloo), ``cuda`` (bfloat16; each rank has a card of its own,
        ranks talk over NCCL), or without ``torchrun`` ``cuda:NUMBER``.
    unused : bool
        Some weights get no gradient, such as units of sessions that are not trained on: ranks then look for
        them in every step.

    Returns
    -------
    Fabric
        Launched.

    Raises
    ------
    ConfigError
        For a numbered card under ``torchrun``, or more ranks on a machine than it has cards.
    """
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    from neuroai.simulation.distributed_ranks import check_cards, leave_ranks

    kind, _, number = device.partition(":")
    precision: Any = "32-true" if kind == "cpu" else "bf16-mixed"
    if n_ranks() == 1:
        return Fabric(accelerator=kind, devices=[int(number)] if number else 1, precision=precision)
    if number:
        raise ConfigError(f"device {device!r} under torchrun: a rank's card follows from its number: {kind}")
    if kind == "cuda":
        check_cards()
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    strategy = DDPStrategy(
        process_group_backend="gloo" if kind == "cpu" else "nccl",
        timeout=timedelta(seconds=_PATIENCE),
        find_unused_parameters=unused,
    )
    fabric = Fabric(
        accelerator=kind, devices=here, num_nodes=n_ranks() // here, strategy=strategy, precision=precision
    )
    fabric.launch()
    atexit.register(leave_ranks)
    return fabric


def on_ranks(
    device: str,
    lead: Callable[[Callable[[Path], None]], directory.Run],
    follow: Callable[[Path], Any],
) -> directory.Run:
    """Carry out a run on the first rank, with the help of the others.

    Parameters
    ----------
    device : str
        ``cpu`` or ``cuda``: of the group of processes, where it was not formed before.
    lead : callable
        The work of the first rank; it calls what it is given with the folder of the checkpoints before the
        shared part starts, and not at all if the run is there already.
    follow : callable
        The others' share, from that folder.

    Returns
    -------
    Run
        The same on all ranks, which share a file system.
    """
    import torch.distributed as dist

    from neuroai.simulation.distributed_ranks import join_ranks

    if not dist.is_initialized():
        join_ranks(device, timeout=_PATIENCE)
    if dist.get_rank() == 0:
        run = lead(lambda folder: dist.broadcast_object_list([(_CHECKPOINTS, str(folder))]))
        dist.broadcast_object_list([(_RUN, str(run.path))])
        return run
    kind, path = _heard()
    if kind == _CHECKPOINTS:
        follow(Path(path))
        _, path = _heard()
    return directory.open_run(path)


def _heard() -> tuple[str, str]:
    import torch.distributed as dist

    message: list[Any] = [None]
    dist.broadcast_object_list(message)
    kind, path = message[0]
    return kind, path
