"""Trains a small model in a process of its own; the test kills it at random moments.

Usage: training_child.py CHECKPOINTS RESULT WORKERS
"""

import random
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from neuroai.training import Plan, train


class Model(torch.nn.Module):
    """Uses every stream that a model may draw from, and a buffer."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(6, 32), torch.nn.BatchNorm1d(32), torch.nn.Dropout(0.3), torch.nn.Linear(32, 3)
        )

    def forward(self, x):
        return self.layers(x)


class Samples:
    def __len__(self):
        return 70

    def __getitem__(self, index):
        x = torch.sin(index[:, None].float() * torch.arange(1, 7))
        return x, x[:, :3].square()


def loss(model, batch, generator):
    x, y = batch
    noise = torch.randn(x.shape, generator=generator) * random.random() + np.random.rand()  # noqa: NPY002
    return (model(x + 0.1 * noise) - y).square().mean()


def evaluate(model):
    x, y = Samples()[torch.arange(70)]
    return -float((model(x) - y).square().mean())


def run(folder: Path | None, workers: int = 0, epochs: int = 12):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2, fused=True)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3, gamma=0.5)
    plan = Plan(epochs, 16, seed=3, clip_norm=0.5, checkpoint_every=2, workers=workers)
    result = train(
        model,
        optimizer,
        Samples(),
        loss,
        plan,
        scheduler=scheduler,
        evaluate=evaluate,
        folder=folder,
        config={"model": "child"},
        data_hash="sine",
    )
    return model, result


if __name__ == "__main__":
    model, result = run(Path(sys.argv[1]), int(sys.argv[3]))
    tensors = dict(model.state_dict())
    tensors["losses"] = torch.tensor(result.losses, dtype=torch.float64)
    tensors["scores"] = torch.tensor(result.scores, dtype=torch.float64)
    save_file(tensors, sys.argv[2])
