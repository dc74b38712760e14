"""One simulation on the processes that ``torchrun`` started: the first writes the run, all return it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from neuroai.runs import directory

__all__ = ["first_rank", "on_ranks"]

#: Seconds that ranks wait for the first one, which writes the report.
_PATIENCE = 900.0
_CHECKPOINTS, _RUN = "checkpoints", "run"


def first_rank() -> bool:
    """Whether this process is the first that ``torchrun`` started, or was not started by it."""
    import os

    return os.environ.get("RANK", "0") == "0"


def on_ranks(
    device: str,
    lead: Callable[[Callable[[Path], None]], directory.Run],
    follow: Callable[[Path], Any],
) -> directory.Run:
    """Carry out a run on the first rank, with the help of the others.

    Parameters
    ----------
    device : str
        ``cpu`` or ``cuda``.
    lead : callable
        The work of the first rank; it calls what it is given with the folder of the checkpoints before the
        simulation starts, and not at all if nothing is to be simulated.
    follow : callable
        The others' part in the simulation, from that folder.

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
