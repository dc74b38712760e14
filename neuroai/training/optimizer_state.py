"""State of an optimiser as tensors and JSON: no pickle."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from neuroai.errors import CheckpointError

__all__ = ["pack_optimizer", "unpack_optimizer"]


def pack_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """Split a state into tensors named ``<parameter index>.<name>`` and JSON-like parameter groups.

    Raises
    ------
    CheckpointError
        If a parameter's state is not a tensor.

    Examples
    --------
    >>> import torch
    >>> pack_optimizer(torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))]))[1][0]["betas"]
    [0.9, 0.999]
    """
    state = optimizer.state_dict()
    tensors = {}
    for index, entries in state["state"].items():
        for name, value in entries.items():
            if not isinstance(value, Tensor):
                raise CheckpointError(
                    f"optimiser state {name!r} of parameter {index} is a {type(value).__name__}, not a "
                    "tensor: this optimiser cannot be checkpointed"
                )
            tensors[f"{index}.{name}"] = value
    groups = [
        {key: list(value) if isinstance(value, tuple) else value for key, value in group.items()}
        for group in state["param_groups"]
    ]
    return tensors, groups


def unpack_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], groups: list[dict[str, Any]]
) -> None:
    """Give ``optimizer`` the state that :func:`pack_optimizer` split."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = tensor
    # "betas" are a tuple in torch; JSON made them a list.
    restored = [
        {
            key: tuple(value) if isinstance(value, list) and key != "params" else value
            for key, value in group.items()
        }
        for group in groups
    ]
    optimizer.load_state_dict({"state": state, "param_groups": restored})
