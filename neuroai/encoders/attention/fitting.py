"""Fit an attention encoder to one recording: held-out part, optimiser, early stopping."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from neuroai.encoders.attention.decoder import dropped
from neuroai.encoders.attention.encoder import AttentionEncoder
from neuroai.encoders.attention.head import RegionReadout
from neuroai.encoders.scores import pearson_r
from neuroai.training.loop import train
from neuroai.training.run_state import Plan
from neuroai.training.streams import stream_seed

__all__ = ["FitOptions", "fit_encoder", "predict_in_batches"]

Progress: TypeAlias = Callable[[str, int, int], None] | None

# Feature maps of a prediction batch hold about this many numbers.
_BATCH_NUMBERS = 2**24
# A readout that starts small lets the first gradients shape tokens, not undo random predictions.
_HEAD_GAIN = 0.1
_WARM_UP_EPOCHS = 3


@dataclass(frozen=True)
class FitOptions:
    """How an encoder is trained.

    Attributes
    ----------
    learning_rate, weight_decay : float
        AdamW; the decay acts on matrices only. The rate rises over three epochs, then falls as a cosine.
    batch_size, epochs, patience : int
    channel_dropout : float
        Share of feature channels zeroed in each training image.
    clip_norm : float
    """

    learning_rate: float
    weight_decay: float
    batch_size: int
    epochs: int
    patience: int
    channel_dropout: float
    clip_norm: float = 1.0


def fit_encoder(
    encoder: AttentionEncoder,
    maps: Tensor,
    responses: Tensor,
    held_out: Tensor,
    options: FitOptions,
    *,
    seed: int,
    folder: Path | None = None,
    progress: Progress = None,
) -> Tensor:
    """Train ``encoder`` in place; return the correlation of each target on the held-out rows.

    Parameters
    ----------
    encoder : AttentionEncoder
        Its parameters are drawn anew from ``seed``.
    maps : Tensor, shape (n, C, H, W)
    responses : Tensor, shape (n, v)
        Standardised.
    held_out : Tensor of bool, shape (n,)
        Rows that choose the epoch and are not trained on.
    options : FitOptions
    seed : int
    folder : Path, optional
        Checkpoints go to a folder under it that is named by the data.
    progress : callable, optional

    Returns
    -------
    Tensor, shape (v,), float64
        NaN for targets that are constant on the held-out rows.
    """
    generator = torch.Generator(maps.device).manual_seed(stream_seed(seed, 0))
    encoder.to(maps.device, maps.dtype).reset_parameters(generator)
    with torch.no_grad():
        encoder.head.weight.mul_(_HEAD_GAIN)
        encoder.head.bias.zero_()
    optimizer = _optimizer(encoder, options)
    rows, check = (~held_out).nonzero().flatten(), held_out.nonzero().flatten()
    truth, seen = responses[check], maps[check]

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor], stream: torch.Generator) -> Tensor:
        images, target = batch
        if options.channel_dropout:
            ones = torch.ones_like(images[:, :, :1, :1])
            images = images * dropped(ones, options.channel_dropout, stream)
        error: Tensor = model(images, stream) - target
        return error.square().mean()

    def evaluate(model: nn.Module) -> float:
        r = pearson_r(truth, predict_in_batches(model, seen))
        return float(torch.nanmean(r)) if bool(r.isfinite().any()) else -1.0

    train(
        encoder,
        optimizer,
        _Rows(maps, responses, rows),
        loss,
        Plan(
            options.epochs,
            options.batch_size,
            seed,
            options.clip_norm,
            options.patience,
            # Blocks of single targets take seeds from the device to the host: such steps cannot be recorded.
            capture=isinstance(encoder.head, RegionReadout),
        ),
        scheduler=torch.optim.lr_scheduler.LambdaLR(optimizer, _schedule(options.epochs)),
        evaluate=evaluate,
        folder=None if folder is None else folder / _fingerprint(maps, responses, rows),
        config=asdict(options) | asdict(encoder.decoder.shape),
        fabric=_fabric(maps.device),
        progress=progress,
    )
    r: Tensor = pearson_r(truth, predict_in_batches(encoder, seen))
    return r


def predict_in_batches(model: nn.Module, maps: Tensor) -> Tensor:
    """Predictions (n, v) of a model in evaluation mode, a bounded number of images at a time."""
    step = max(1, _BATCH_NUMBERS // maps[0].numel())
    with torch.no_grad():
        return torch.cat([model(maps[start : start + step]) for start in range(0, len(maps), step)])


class _Rows:
    """Batches of the rows at ``rows``."""

    def __init__(self, maps: Tensor, responses: Tensor, rows: Tensor) -> None:
        self.maps, self.responses, self.rows = maps, responses, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Tensor) -> tuple[Tensor, Tensor]:
        rows = self.rows[index.to(self.rows.device)]
        return self.maps[rows], self.responses[rows]


def _optimizer(encoder: nn.Module, options: FitOptions) -> torch.optim.Optimizer:
    parameters = list(encoder.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=options.learning_rate, fused=True)


def _schedule(epochs: int) -> Callable[[int], float]:
    def factor(epoch: int) -> float:
        warm = min(1.0, (epoch + 1) / _WARM_UP_EPOCHS)
        return warm * (0.5 * (1 + math.cos(math.pi * epoch / epochs)) + 1e-3)

    return factor


def _fabric(device: torch.device) -> Fabric:
    if device.type == "cpu":
        return Fabric(accelerator="cpu", devices=1)
    return Fabric(accelerator=device.type, devices=[device.index or 0])


def _fingerprint(*tensors: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(np.ascontiguousarray(tensor.cpu().numpy()).tobytes())
    return digest.hexdigest()[:16]
