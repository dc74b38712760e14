"""The two networks of :class:`~neuroai.neuroformer.baselines.NetworkDecoder`, and their training."""

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neuroai.neuroformer.baselines import scaled
from neuroai.neuroformer.count_windows import CountWindows
from neuroai.training import Plan, train

if TYPE_CHECKING:
    from neuroai.neuroformer.baselines import NetworkDecoder

__all__ = ["fit_network", "run_network"]

Array = NDArray[np.float64]

_PATIENCE = 10
_ROWS = 4096


class _Perceptron(nn.Sequential):
    """Layers over the flattened window."""

    def __init__(
        self, n_lags: int, n_units: int, n_variables: int, width: int, depth: int, dropout: float
    ) -> None:
        sizes = [n_lags * n_units, *[width] * depth]
        layers: list[nn.Module] = [nn.Flatten()]
        for wide, narrow in itertools.pairwise(sizes):
            layers += [nn.Linear(wide, narrow), nn.ReLU(), nn.Dropout(dropout)]
        super().__init__(*layers, nn.Linear(width, n_variables))


class _Recurrent(nn.Module):
    """A GRU over the bins; its last state is read out."""

    def __init__(self, n_units: int, n_variables: int, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        between = dropout if depth > 1 else 0.0
        self.memory = nn.GRU(n_units, width, depth, batch_first=True, dropout=between)
        self.drop = nn.Dropout(dropout)
        self.read = nn.Linear(width, n_variables)

    def forward(self, windows: Tensor) -> Tensor:
        states, _ = self.memory(windows)
        out: Tensor = self.read(self.drop(states[:, -1]))
        return out


class _Samples:
    """Windows and targets of the training bins, made batch by batch."""

    def __init__(self, windows: CountWindows, target: Array, mean: Array, sd: Array) -> None:
        self.windows, self.mean, self.sd = windows, mean, sd
        self.target = torch.as_tensor(target, dtype=torch.float32)

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, index: Tensor) -> tuple[Tensor, Tensor]:
        features = scaled(self.windows, self.mean, self.sd, index.numpy())
        return torch.as_tensor(features, dtype=torch.float32), self.target[index]


def fit_network(
    options: "NetworkDecoder", windows: CountWindows, target: Array, n_train: int, seed: int
) -> nn.Module:
    """Train one network on the first ``n_train`` windows; the others say when to stop."""
    _, n_lags, n_units = windows.shape
    sizes = (target.shape[1], options.width, options.depth, options.dropout)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _Perceptron(n_lags, n_units, *sizes) if options.kind == "mlp" else _Recurrent(n_units, *sizes)
    if options.task == "counts":
        _start_at(model, target[:n_train].mean(axis=0))
    samples = _Samples(windows.at(windows.bins[:n_train]), target[:n_train], options.mean_, options.sd_)
    held_out = windows.at(windows.bins[n_train:])
    truth = torch.as_tensor(target[n_train:], dtype=torch.float32)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
    )

    def loss(network: nn.Module, batch: Any, generator: torch.Generator) -> Tensor:
        features, wanted = batch
        return _loss(network(features), wanted, options.task)

    def evaluate(network: nn.Module) -> float:
        found = torch.as_tensor(run_network(network, held_out, options), dtype=torch.float32)
        return -float(_loss(found, truth, options.task))

    plan = Plan(options.epochs, options.batch_size, seed=seed, clip_norm=1.0, patience=_PATIENCE)
    train(model, optimizer, samples, loss, plan, evaluate=evaluate)
    return model


@torch.no_grad()
def run_network(network: nn.Module, windows: CountWindows, options: "NetworkDecoder") -> Array:
    """Raw outputs (n_windows, n_variables): scaled values, logarithms of counts, or evidence."""
    network.eval()
    parts = []
    for start in range(0, len(windows), _ROWS):
        features = scaled(windows, options.mean_, options.sd_, slice(start, start + _ROWS))
        parts.append(network(torch.as_tensor(features, dtype=torch.float32)).double().numpy())
    return np.concatenate(parts)


def _loss(found: Tensor, wanted: Tensor, task: str) -> Tensor:
    if task == "counts":
        return nn.functional.poisson_nll_loss(found, wanted)
    if task == "classes":
        return nn.functional.binary_cross_entropy_with_logits(found, wanted)
    return nn.functional.mse_loss(found, wanted)


@torch.no_grad()
def _start_at(model: nn.Module, mean_counts: Array) -> None:
    """Let the last layer begin at the mean counts: nothing else need be learned of them."""
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    last.bias.copy_(torch.as_tensor(np.log(np.maximum(mean_counts, 1e-4))))
    last.weight.mul_(0.1)
