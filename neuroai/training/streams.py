"""Random numbers and batch order as functions of the seed and the step.

A stream that is re-seeded from ``(seed, step, rank)`` before each step has no state to lose: a run that
resumes at step ``k`` draws what the uninterrupted run drew at step ``k``, on every rank.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

__all__ = ["batch_order", "private_streams", "seed_streams", "stream_seed"]


def stream_seed(*key: int) -> int:
    """Well-mixed 63-bit seed of a tuple of non-negative integers.

    Examples
    --------
    >>> stream_seed(0, 1) != stream_seed(1, 0), 0 <= stream_seed(7, 3) < 2**63
    (True, True)
    """
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)


def seed_streams(generator: torch.Generator, *key: int) -> None:
    """Seed ``generator`` and the streams of Python, NumPy and torch (CPU and accelerators) from ``key``."""
    seed = stream_seed(*key)
    generator.manual_seed(seed)
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 (models of others may draw from it)


@contextmanager
def private_streams() -> Iterator[None]:
    """Give back the process-wide streams as they were: training leaves no trace in them."""
    python, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    cpu, cuda = torch.get_rng_state(), _cuda_states()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_state)  # noqa: NPY002
        torch.set_rng_state(cpu)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)


def _cuda_states() -> list[Tensor]:
    return torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []


def batch_order(
    n_samples: int, batch_size: int, seed: int, first: int, last: int, *, rank: int = 0, world: int = 1
) -> Iterator[Tensor]:
    """Sample indices of steps ``first`` to ``last - 1``: a new permutation each epoch.

    Parameters
    ----------
    n_samples, batch_size : int
        The last batch of an epoch may be smaller.
    seed : int
    first, last : int
        Steps counted from 0 over all epochs.
    rank, world : int
        This process takes every ``world``-th index of a batch.

    Yields
    ------
    Tensor of int64

    Examples
    --------
    >>> torch.cat(list(batch_order(5, 2, 0, 0, 3))).sort().values
    tensor([0, 1, 2, 3, 4])
    """
    per_epoch = -(-n_samples // batch_size)
    for step in range(first, last):
        epoch, position = divmod(step, per_epoch)
        if step == first or position == 0:
            order = np.random.default_rng([seed, epoch]).permutation(n_samples)
        batch = order[position * batch_size : (position + 1) * batch_size]
        yield torch.from_numpy(batch[rank::world])
