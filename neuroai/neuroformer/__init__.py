"""Neuroformer: a generative transformer over spikes, stimulus and behaviour.

Names are imported on first use, so that importing this package stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuroai.neuroformer import metrics as metrics
    from neuroai.neuroformer.alignment import Video as Video
    from neuroai.neuroformer.batch import Batch as Batch
    from neuroai.neuroformer.config import Modality as Modality
    from neuroai.neuroformer.config import NeuroformerConfig as NeuroformerConfig
    from neuroai.neuroformer.generation import Generated as Generated
    from neuroai.neuroformer.influence import connectivity as connectivity
    from neuroai.neuroformer.likelihood import event_log_likelihood as event_log_likelihood
    from neuroai.neuroformer.likelihood import rates as rates
    from neuroai.neuroformer.model import Neuroformer as Neuroformer
    from neuroai.neuroformer.splits import split_windows as split_windows
    from neuroai.neuroformer.training import finetune as finetune
    from neuroai.neuroformer.training import fit as fit
    from neuroai.neuroformer.windows import Windows as Windows
    from neuroai.neuroformer.windows import windows_of as windows_of

_WHERE = {
    "Batch": "batch",
    "Generated": "generation",
    "Modality": "config",
    "Neuroformer": "model",
    "NeuroformerConfig": "config",
    "Video": "alignment",
    "Windows": "windows",
    "connectivity": "influence",
    "event_log_likelihood": "likelihood",
    "finetune": "training",
    "fit": "training",
    "rates": "likelihood",
    "split_windows": "splits",
    "windows_of": "windows",
}
_MODULES = ("baselines", "decoding", "lagged", "metrics")

__all__ = [*_WHERE, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f"neuroai.neuroformer.{_WHERE[name]}"), name)
    if name in _MODULES:
        return import_module(f"neuroai.neuroformer.{name}")
    raise AttributeError(
        f"module 'neuroai.neuroformer' has no attribute {name!r}; it has: {', '.join(__all__)}"
    )


def __dir__() -> list[str]:
    return sorted(__all__)
