"""One loop for every trained model: Lightning Fabric, atomic checkpoints, bit-exact resume.

Names resolve lazily, so that importing this package stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuroai.training.checkpoint import Checkpoint, load_newest, save_checkpoint
    from neuroai.training.loop import Plan, TrainingResult, train

_PLACES = {
    "Checkpoint": "checkpoint",
    "Plan": "loop",
    "TrainingResult": "loop",
    "load_newest": "checkpoint",
    "save_checkpoint": "checkpoint",
    "train": "loop",
}

__all__ = ["Checkpoint", "Plan", "TrainingResult", "load_newest", "save_checkpoint", "train"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
