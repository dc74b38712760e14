"""The classifier that learns one task after another, and several of them trained side by side."""

import copy
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from neuroai.dendrites.layers import ActiveDendriteLinear, KWinners, SparseLinear
from neuroai.errors import ConfigError

__all__ = ["ContextClassifier", "SideBySide"]


class ContextClassifier(nn.Module):
    r"""Two hidden layers, each gated by dendritic segments that read a context, and one head for all tasks.

    .. math:: h_l = f\big((W_l h_{l-1} + b_l)\, \sigma(u_{l j^*} \cdot c)\big), \quad z = W_3 h_2 + b_3

    Parameters
    ----------
    n_inputs, hidden, n_classes : int
    segments : int
        A unit; 0 leaves the gates out.
    activation : {"kwinners", "relu"}
    winners : float
        Share of winners, for k-winners.
    density : float
        Share of inputs that a hidden unit reads.
    seed : int
        Of the initial weights and masks.

    References
    ----------
    Iyer et al. (2022): 784-2048-2048-10, 5 % winners, half of the weights, context density 0.1.

    Examples
    --------
    >>> import torch
    >>> network = ContextClassifier(64, 32, 10, segments=3)
    >>> network(torch.rand(5, 64), torch.rand(1, 64)).shape
    torch.Size([5, 10])
    """

    def __init__(
        self,
        n_inputs: int,
        hidden: int,
        n_classes: int,
        *,
        segments: int,
        activation: Literal["kwinners", "relu"] = "kwinners",
        winners: float = 0.05,
        density: float = 0.5,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if activation not in {"kwinners", "relu"}:
            raise ConfigError(f"unknown activation {activation!r}: choose 'kwinners' or 'relu'")
        sparse = activation == "kwinners"
        # What a hidden layer passes on: its share of active units scales the weights that read it.
        passed = winners if sparse else 1.0
        self.hidden = nn.ModuleList(
            ActiveDendriteLinear(
                n_from,
                hidden,
                n_inputs,
                segments,
                density=density,
                input_density=share,
                context_density=0.1,
                gate="absolute" if segments else "none",
                seed=seed + 10 * number,
            )
            for number, (n_from, share) in enumerate(((n_inputs, 1.0), (hidden, passed)))
        )
        self.activation = KWinners(hidden, winners) if sparse else nn.ReLU()
        self.head = SparseLinear(hidden, n_classes, 1.0, input_density=passed, seed=seed + 20)

    def forward(self, x: Tensor, contexts: Tensor, index: Tensor | None = None) -> Tensor:
        """Logits (B, classes) of ``x`` (B, P) under ``contexts`` (T, P), sample b under ``index[b]``."""
        for layer in self.hidden:
            x = self.activation(layer(x, contexts, index))
        logits: Tensor = self.head(x)
        return logits

    @property
    def n_parameters(self) -> int:
        """Weights that exist: those that a mask silences do not count."""
        masked = sum(int((~m.mask).sum()) for m in self.modules() if isinstance(m, SparseLinear))
        return sum(p.numel() for p in self.parameters()) - masked


class SideBySide(nn.Module):
    """R networks of one architecture as one module: every product is one batched product.

    Parameters
    ----------
    networks : sequence of nn.Module
        Copied. Their parameters become one parameter each with a first axis of R.

    Notes
    -----
    No number of one network enters another: an optimiser that works element by element (Adam) trains each as
    it would alone.

    Examples
    --------
    >>> import torch
    >>> pair = [ContextClassifier(16, 8, 3, segments=2, seed=seed) for seed in (0, 1)]
    >>> x, context = torch.rand(2, 5, 16), torch.rand(2, 1, 16)
    >>> both = SideBySide(pair)(x, context)
    >>> torch.allclose(both[1], pair[1](x[1], context[1]), atol=1e-6)
    True
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        parameters, buffers = torch.func.stack_module_state(list(networks))
        self._parameter_names, self._buffer_names = tuple(parameters), tuple(buffers)
        self.stacked = nn.ParameterList([nn.Parameter(values.detach()) for values in parameters.values()])
        for number, values in enumerate(buffers.values()):
            self.register_buffer(f"buffer_{number}", values)
        # The structure alone: not a submodule, so its weights on no device are not trained or saved.
        self.__dict__["_structure"] = copy.deepcopy(networks[0]).to("meta")

    def forward(self, *inputs: Tensor) -> Tensor:
        """What each network makes of its part of the inputs, all with a first axis of R."""
        parameters = dict(zip(self._parameter_names, self.stacked, strict=True))
        buffers = {name: getattr(self, f"buffer_{n}") for n, name in enumerate(self._buffer_names)}

        def one(weights: dict[str, Tensor], fixed: dict[str, Tensor], *inputs: Tensor) -> Tensor:
            answer: Tensor = torch.func.functional_call(self.__dict__["_structure"], (weights, fixed), inputs)
            return answer

        found: Tensor = torch.func.vmap(one)(parameters, buffers, *inputs)
        return found
