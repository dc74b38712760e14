"""The processes that share one network: how they meet, agree, and notice that one of them is lost."""

import atexit
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Thread
from typing import Any
from weakref import WeakMethod

import torch
import torch.distributed as dist
from torch import Tensor

from neuroai.errors import CheckpointError, ConfigError, SimulationError

__all__ = ["Ranks", "before_leaving", "check_cards", "join_ranks", "leave_ranks"]

_RESTART = (
    "See its message; a simulation with checkpoints goes on from the last one when it is started again, on "
    "any number of ranks"
)
# The name since torch 2.13; before, the other.
_all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor


def join_ranks(device: str = "cpu", *, timeout: float = 120.0) -> str:
    """Join the processes that ``torchrun`` started; call it once, before anything else.

    Parameters
    ----------
    device : {"cpu", "cuda"}
        Ranks talk over gloo, or over NCCL, each with a card of its own.
    timeout : float
        Seconds after which a rank that does not answer is given up.

    Returns
    -------
    str
        The device of this rank, such as ``"cuda:1"``.

    Raises
    ------
    ConfigError
        Without ``torchrun``, for another device, or if the ranks of this machine outnumber its cards.

    Examples
    --------
    >>> join_ranks()  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    neuroai.errors.ConfigError: ...
    """
    missing = [name for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK") if name not in os.environ]
    if missing:
        raise ConfigError(
            f"{', '.join(missing)} not set: start the program with torchrun --nproc-per-node N PROGRAM"
        )
    if device not in ("cpu", "cuda"):
        raise ConfigError(
            f"device {device!r}: expected 'cpu' or 'cuda'; a rank's card follows from its number"
        )
    atexit.register(leave_ranks)
    limit = timedelta(seconds=timeout)
    if device == "cpu":
        dist.init_process_group("gloo", timeout=limit)
        return device
    check_cards()
    own = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(own)
    dist.init_process_group("nccl", timeout=limit, device_id=own)
    return str(own)


def check_cards() -> None:
    """Refuse more ranks on this machine than it has CUDA cards.

    Raises
    ------
    ConfigError
    """
    local, n_local = (int(os.environ.get(name, 1)) for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"))
    n_cards = torch.cuda.device_count()
    if max(local + 1, n_local) > n_cards:
        raise ConfigError(
            f"{max(local + 1, n_local)} ranks on a machine with {n_cards} CUDA cards: expected a card for "
            f"each rank; start torchrun with --nproc-per-node {n_cards}"
            if n_cards
            else f"{n_local} ranks with device='cuda', but this machine has no CUDA card: use device='cpu'"
        )


#: What must be let go before the group: graphs that hold exchanges.
_held: list[WeakMethod[Callable[[], None]]] = []
_lost: list[str] = []


def before_leaving(release: Callable[[], None]) -> None:
    """Call a method, if its object lives, before ranks part at the end: NCCL waits for graphs that use it."""
    _held.append(WeakMethod(release))


def leave_ranks() -> None:
    """Part in order; with a rank lost, the others would wait for it."""
    if _lost or not dist.is_initialized():
        return
    for held in _held:
        if (release := held()) is not None:
            release()
    dist.destroy_process_group()


class Ranks:
    """The ranks of a process group, as one of them sees them; every rank calls every method.

    Parameters
    ----------
    group : ProcessGroup or None
        The default group for None.
    device : torch.device
        Where tensors are that ranks exchange.

    Raises
    ------
    ConfigError
        Without a process group, or if its backend does not take tensors of the device.
    """

    def __init__(self, group: "dist.ProcessGroup | None", device: torch.device) -> None:
        if not dist.is_available() or not dist.is_initialized():
            raise ConfigError(
                "no process group: start with torchrun and call "
                "neuroai.simulation.distributed_ranks.join_ranks()"
            )
        backend = dist.get_backend(group)
        wanted = "nccl" if device.type == "cuda" else "gloo"
        if wanted not in backend:
            raise ConfigError(f"ranks on {device} need the backend {wanted!r}, the group has {backend!r}")
        self.group, self.device = group, device
        self.rank, self.n = dist.get_rank(group), dist.get_world_size(group)

    @contextmanager
    def talking(self, what: str) -> Iterator[None]:
        """Say in our words that another rank is gone.

        Raises
        ------
        SimulationError
            If another rank ended, or did not answer within the group's timeout.
        """
        try:
            yield
        except (RuntimeError, TimeoutError) as error:
            reason = str(error).strip().partition("\n")[0]
            _lost.append(what)
            raise SimulationError(
                f"rank {self.rank} of {self.n} lost another rank in {what}: it ended or does not answer "
                f"({reason}). {_RESTART}"
            ) from error

    def abandon(self, release: Callable[[], None]) -> None:
        """Release graphs, then end what this rank waits for on its card; in the background: both may wait."""
        abort: Any = getattr(dist.distributed_c10d, "_abort_process_group", None)

        def leave() -> None:
            release()
            if abort is not None:
                abort(self.group)

        Thread(target=leave, daemon=True).start()

    def largest(self, value: float) -> float:
        """Of the values of all ranks."""
        return self._agree(value, dist.ReduceOp.MAX)

    def smallest(self, value: float) -> float:
        """Of the values of all ranks."""
        return self._agree(value, dist.ReduceOp.MIN)

    def require_same(self, position: int) -> None:
        """Refuse ranks that start from different steps.

        Raises
        ------
        CheckpointError
            On all ranks.
        """
        least, most = self.smallest(position), self.largest(position)
        if least != most:
            raise CheckpointError(
                f"ranks found checkpoints of different steps, {least:.0f} to {most:.0f}: expected one folder "
                "that all ranks can read"
            )

    def total(self, value: int) -> int:
        """Sum over all ranks."""
        return int(self._agree(value, dist.ReduceOp.SUM))

    def _agree(self, value: float, operation: "dist.ReduceOp.RedOpType") -> float:
        found = torch.tensor([value], dtype=torch.float64, device=self.device)
        with self.talking("an agreement"):
            dist.all_reduce(found, operation, group=self.group)
        return float(found)

    def add_up(self, part: Tensor) -> Tensor:
        """Sum of a tensor over all ranks, in place."""
        with self.talking("a sum"):
            dist.all_reduce(part, group=self.group)
        return part

    def gather(self, everybody: Tensor, mine: Tensor) -> None:
        """Fill ``everybody`` (ranks, ...) with the tensors of all ranks."""
        with self.talking("an exchange of spikes"):
            _all_gather(everybody.flatten(0, 1), mine, group=self.group)
