"""Tasks that differ by a permutation of the pixels, for several seeds side by side."""

from collections.abc import Sequence

import torch
from torch import Tensor

from neuroai.dendrites.continual.images import ImageSet
from neuroai.errors import ConfigError

__all__ = ["PermutedTasks", "TaskBatches"]


class PermutedTasks:
    """The same labels under different permutations of the pixels.

    Pixels are standardised by the mean and the standard deviation of all training pixels: with pixels that
    are never negative, the same units would win whatever the permutation.

    Parameters
    ----------
    images : ImageSet
    n_tasks : int
        At least 1.
    seeds : sequence of int
        R seeds, all different: each draws its permutations, and its division of the pictures.
    device : torch.device or str

    Attributes
    ----------
    prototypes : float32 Tensor (R, T, P)
        Mean training picture of each task, standardised: the context that goes with it.

    Notes
    -----
    Pictures are stored once; a batch gathers them, ``O(R B P)``.

    References
    ----------
    Iyer et al. (2022), "Avoiding catastrophe": permuted MNIST with prototypes as contexts.

    Examples
    --------
    >>> from neuroai.dendrites.continual.images import load_images
    >>> tasks = PermutedTasks(load_images("digits"), 3, seeds=[0, 1])
    >>> tasks.prototypes.shape, tasks.training(2)[torch.arange(5)][0].shape
    (torch.Size([2, 3, 64]), torch.Size([2, 5, 64]))
    """

    def __init__(
        self, images: ImageSet, n_tasks: int, seeds: Sequence[int], *, device: torch.device | str = "cpu"
    ) -> None:
        if n_tasks < 1 or not seeds or len(set(seeds)) != len(seeds):
            raise ConfigError(
                f"{n_tasks} tasks, seeds {list(seeds)}: expected 1 or more, seeds all different"
            )
        self.name, self.n_tasks, self.n_classes = images.name, n_tasks, images.n_classes
        self.images, self.labels = images.images.to(device), images.labels.to(device)
        splits = [images.split(seed) for seed in seeds]
        self._train, self._test = (torch.stack(side).to(device) for side in zip(*splits, strict=True))
        n_pixels = self.images.shape[1]
        orders = []
        for seed in seeds:
            stream = torch.Generator().manual_seed(seed)
            orders.append(torch.stack([torch.randperm(n_pixels, generator=stream) for _ in range(n_tasks)]))
        self._orders = torch.stack(orders).to(device)
        shown = self.images[self._train]
        self._centre, self._scale = (f(shown.flatten(1), 1)[:, None, None] for f in (torch.mean, torch.std))
        means = ((shown - self._centre) / self._scale).mean(1)
        self.prototypes = means.unsqueeze(1).expand(-1, n_tasks, -1).gather(2, self._orders)

    def __len__(self) -> int:
        return self.n_tasks

    @property
    def n_pixels(self) -> int:
        """P."""
        return self.images.shape[1]

    def training(self, task: int) -> "TaskBatches":
        """Training pictures of one task, with its prototype."""
        return TaskBatches(self, task)

    def test(self, task: int) -> tuple[Tensor, Tensor]:
        """Test pictures (R, n, P) and labels (R, n) of one task."""
        return self._pictures(self._test, task)

    def nearest_prototype(self, x: Tensor, n_seen: int) -> Tensor:
        """Which of the first ``n_seen`` prototypes is nearest to each picture: int64 (R, B).

        By Euclidean distance; no task is named at test time.
        """
        seen = self.prototypes[:, :n_seen]
        # The picture's own norm is the same for all prototypes.
        distance = seen.square().sum(2).unsqueeze(1) - 2 * x @ seen.mT
        return distance.argmin(2)

    def _pictures(self, index: Tensor, task: int) -> tuple[Tensor, Tensor]:
        pictures = (self.images[index] - self._centre) / self._scale
        order = self._orders[:, task].unsqueeze(1).expand(-1, index.shape[1], -1)
        return pictures.gather(2, order), self.labels[index]


class TaskBatches:
    """Training pictures of one task: what the shared training loop draws batches from.

    A batch is ``(x, y, context)``: pictures (R, B, P), labels (R, B), the task's prototype (R, 1, P).
    """

    def __init__(self, tasks: PermutedTasks, task: int) -> None:
        self.tasks, self.task = tasks, task

    def __len__(self) -> int:
        return self.tasks._train.shape[1]

    def __getitem__(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # The split of each seed is in a random order of its own, so the same places are different pictures.
        chosen = self.tasks._train[:, index.to(self.tasks._train.device)]
        x, y = self.tasks._pictures(chosen, self.task)
        return x, y, self.tasks.prototypes[:, self.task : self.task + 1]
