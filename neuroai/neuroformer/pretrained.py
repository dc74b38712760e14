"""Trained models as a folder: weights in safetensors, configuration in JSON. No pickle."""

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from neuroai.datasets import write_atomic
from neuroai.errors import CheckpointError, ConfigError
from neuroai.neuroformer.config import NeuroformerConfig
from neuroai.neuroformer.model import Neuroformer

__all__ = ["load", "save"]

_WEIGHTS, _CONFIG = "model.safetensors", "config.json"
_FORMAT = 1


def save(model: Neuroformer, folder: Path) -> Path:
    """Write both files."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: x.detach().cpu().contiguous() for name, x in model.state_dict().items()}
    text = json.dumps({"format": _FORMAT, "neuroformer": model.config.to_dict()}, indent=1)

    def write_config(path: Path) -> None:
        path.write_text(text, encoding="utf-8")

    write_atomic(folder / _WEIGHTS, lambda path: save_file(weights, path))
    write_atomic(folder / _CONFIG, write_config)
    return folder


def load(folder: Path) -> Neuroformer:
    """Read both files."""
    try:
        content = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
        weights = load_file(folder / _WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(
            f"{folder}: no readable model ({error}): expected {_WEIGHTS} and {_CONFIG} of save_pretrained"
        ) from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise CheckpointError(f"{folder / _CONFIG}: not a Neuroformer of format {_FORMAT}")
    try:
        model = Neuroformer(NeuroformerConfig.from_dict(content["neuroformer"]))
        model.load_state_dict(weights)
    except (ConfigError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"{folder}: weights do not fit the configuration ({error})") from error
    return model.eval()
