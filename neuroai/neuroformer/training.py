"""Train a Neuroformer on one or several sessions, and fine-tune it on few windows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from neuroai.errors import ConfigError
from neuroai.neuroformer.batch import Batch
from neuroai.neuroformer.filling import Room, fill, room_for
from neuroai.neuroformer.heads import Head
from neuroai.neuroformer.intensity import IntensityReadout
from neuroai.neuroformer.model import Neuroformer
from neuroai.neuroformer.windows import Windows
from neuroai.training import Plan, TrainingResult, train
from neuroai.training.ranks import share_gradients

__all__ = ["Pool", "Recipe", "finetune", "fit"]

Some: TypeAlias = Windows | Sequence[Windows]


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes
    ----------
    epochs, batch_size : int
        Passes over the windows; windows a step.
    learning_rate, weight_decay : float
        Of AdamW with betas (0.9, 0.95); the decay is that of linear weights alone.
    warmup : float
        Share of the steps in which the rate rises linearly; it then falls along a cosine to a tenth.
    clip_norm : float
    patience : int, optional
        Stop after this many epochs without a better validation loss.
    seed, workers, checkpoint_every : int
        As in :class:`neuroai.training.Plan`.
    """

    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    warmup: float = 0.05
    clip_norm: float = 1.0
    patience: int | None = None
    seed: int = 0
    workers: int = 0
    checkpoint_every: int = 0


@dataclass(frozen=True)
class Pool:
    """Windows of several sessions as one set of samples; a batch comes as one part a session.

    With ``rooms``, one a session, batches are filled up to them.
    """

    parts: tuple[Windows, ...]
    rooms: tuple[Room, ...] = ()

    def filled(self, batch_size: int) -> "Pool":
        """Return the same windows in batches of one shape."""
        rooms = [room_for(p, batch_size, len(p) / len(self)) for p in self.parts]
        return replace(self, rooms=tuple(rooms))

    def __len__(self) -> int:
        return sum(len(p) for p in self.parts)

    def __getitem__(self, index: Tensor) -> list[Batch]:
        ends = np.cumsum([len(p) for p in self.parts])
        chosen = np.sort(index.numpy())
        member = np.searchsorted(ends, chosen, side="right")
        return [
            self._batch(i, chosen[member == i] - (ends[i] - len(part)))
            for i, part in enumerate(self.parts)
            if (member == i).any()
        ]

    def _batch(self, i: int, index: npt.NDArray[np.int64]) -> Batch:
        part = self.parts[i]
        if not self.rooms:
            return part[index]
        return fill(part[index], self.rooms[i], part.events.n_units, part.config.n_symbols)


def fit(
    model: Neuroformer,
    windows: Some,
    *,
    validation: Some | None = None,
    recipe: Recipe | None = None,
    folder: Path | None = None,
    fabric: Fabric | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> TrainingResult:
    """Train on the next spike, and on all that the configuration adds.

    Parameters
    ----------
    model : Neuroformer
        Trained in place. Units that have never been trained start at their mean rates.
    windows : Windows or sequence of Windows
        Training windows, one set a session.
    validation : Windows or sequence of Windows, optional
        The model ends with the weights of the epoch of the lowest loss on these.
    recipe : Recipe, optional
    folder : Path, optional
        For checkpoints; a killed run goes on from there, bit for bit.
    fabric : Fabric, optional
        Device, precision (``"bf16-mixed"``), and number of processes, as for
        :func:`neuroai.training.train`; default one CPU process in single precision. On one GPU batches are
        filled up to one shape and their steps recorded (:mod:`~neuroai.neuroformer.filling`).
    progress : callable, optional

    Returns
    -------
    TrainingResult
        ``scores`` are negative validation losses.

    Examples
    --------
    >>> from neuroai.datasets import simulate_spikes
    >>> from neuroai.neuroformer import NeuroformerConfig
    >>> model = Neuroformer(NeuroformerConfig(sessions={"a": 5}, width=16, heads=2))
    >>> windows = model.windows(simulate_spikes(5, 10.0))
    >>> len(fit(model, windows, recipe=Recipe(epochs=2)).losses)
    2
    """
    return _train(model, windows, validation, recipe or Recipe(), None, folder, fabric, progress)


def finetune(
    model: Neuroformer,
    windows: Some,
    *,
    validation: Some | None = None,
    recipe: Recipe | None = None,
    spikes: float = 0.0,
    folder: Path | None = None,
    fabric: Fabric | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> TrainingResult:
    """Train on behaviour only, all weights; new heads come from :meth:`Neuroformer.add_target`.

    Parameters
    ----------
    model, windows, validation, recipe, folder, fabric, progress
        As in :func:`fit`; windows cut by ``model.windows`` after heads were added (or
        ``windows.with_config``).
    spikes : float
        Weight of the other losses, which keep the model from forgetting.

    Returns
    -------
    TrainingResult

    Raises
    ------
    ConfigError
        If the model predicts no behaviour.
    """
    if not model.config.targets:
        raise ConfigError("nothing to fine-tune on: model.add_target(Modality(name, role='target')) first")
    return _train(model, windows, validation, recipe or Recipe(), spikes, folder, fabric, progress)


def _train(
    model: Neuroformer,
    windows: Some,
    validation: Some | None,
    recipe: Recipe,
    spikes: float | None,
    folder: Path | None,
    fabric: Fabric | None,
    progress: Callable[[str, int, int], None] | None,
) -> TrainingResult:
    pool = _pool(windows)
    _prepare(model, pool)
    plan = Plan(
        recipe.epochs,
        recipe.batch_size,
        recipe.seed,
        recipe.clip_norm,
        recipe.patience,
        recipe.checkpoint_every,
        recipe.workers,
        schedule="step",
        capture=_recordable(model, pool, fabric),
    )
    if plan.capture and fabric is not None:
        pool = pool.filled(-(-recipe.batch_size // fabric.world_size))
    optimizer = _optimizer(model, recipe)
    steps = recipe.epochs * -(-len(pool) // recipe.batch_size)
    scheduler = LambdaLR(optimizer, partial(_rate, steps=steps, warmup=max(1, round(recipe.warmup * steps))))
    names = tuple(m.name for m in model.config.targets)
    checked = None if validation is None else _pool(validation)
    return train(
        model,
        optimizer,
        pool,
        partial(_loss, spikes=spikes, names=names),
        plan,
        scheduler=scheduler,
        evaluate=None
        if checked is None
        else partial(_score, pool=checked, recipe=recipe, names=names, spikes=spikes),
        folder=folder,
        config={"model": model.config.to_dict(), "recipe": vars(recipe), "spikes": spikes},
        data_hash=" ".join(p.fingerprint() for p in pool.parts),
        fabric=fabric,
        progress=progress,
    )


def _recordable(model: Neuroformer, pool: Pool, fabric: Fabric | None) -> bool:
    """Whether steps can be recorded: on GPUs, and not in the published form, which is kept as it was.

    With several sessions a rank's share of a batch may lack one: its gradients would lack parameters.
    """
    if fabric is None or fabric.device.type != "cuda" or model.config.padded:
        return False
    return fabric.world_size == 1 or (share_gradients(fabric) and len(pool.parts) == 1)


def _pool(windows: Some) -> Pool:
    return Pool((windows,) if isinstance(windows, Windows) else tuple(windows))


@torch.no_grad()
def _prepare(model: Neuroformer, pool: Pool) -> None:
    """Units that were never trained start at their mean rates, fresh heads at the scale of the behaviour."""
    for part in pool.parts:
        readout = model.readout
        if isinstance(readout, IntensityReadout) and bool((readout.base[part.session] == -4.0).all()):
            model.set_rates(part.session, part.rates())
    for modality in model.config.targets:
        head = cast("Head", model.heads[modality.name])
        values = np.concatenate([part.behaviour(modality.name) for part in pool.parts])
        if not head.classes and head.fresh:
            head.standardise(torch.as_tensor(values, dtype=torch.float32))


def _optimizer(model: Neuroformer, recipe: Recipe) -> torch.optim.AdamW:
    linear = [m.weight for m in model.modules() if isinstance(m, nn.Linear)]
    decayed = {id(p) for p in linear}
    rest = [p for p in model.parameters() if id(p) not in decayed]
    groups: list[dict[str, Any]] = [{"params": linear}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(
        groups, recipe.learning_rate, betas=(0.9, 0.95), weight_decay=recipe.weight_decay, fused=True
    )


def _rate(step: int, steps: int, warmup: int) -> float:
    """Linear rise, then a cosine to a tenth."""
    if step < warmup:
        return (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    return float(0.1 + 0.45 * (1 + np.cos(np.pi * done)))


def _loss(
    model: nn.Module,
    batches: Sequence[Batch],
    generator: torch.Generator,
    *,
    spikes: float | None,
    names: Sequence[str],
) -> Tensor:
    """Mean over the windows of all sessions."""
    sizes = [b.n_recorded for b in batches]
    values = [_weigh(model(b), spikes, names) for b in batches]
    return torch.stack([v * (n / sum(sizes)) for v, n in zip(values, sizes, strict=True)]).sum()


def _weigh(parts: Mapping[str, Tensor], spikes: float | None, names: Sequence[str]) -> Tensor:
    """All parts, or behaviour and a little of the rest."""
    if spikes is None:
        return parts["loss"]
    behaviour = torch.stack([parts[name] for name in names]).sum()
    return behaviour + spikes * (parts["loss"] - behaviour)


def _score(
    model: nn.Module, *, pool: Pool, recipe: Recipe, names: Sequence[str], spikes: float | None
) -> float:
    """Negative loss on validation windows, weighted as in training."""
    device = next(model.parameters()).device
    total = torch.zeros((), dtype=torch.float64, device=device)
    for start in range(0, len(pool), recipe.batch_size):
        index = torch.arange(start, min(start + recipe.batch_size, len(pool)))
        for batch in pool[index]:
            total += _weigh(model(batch.to(device)), spikes, names).double() * len(batch)
    return -float(total) / len(pool)
