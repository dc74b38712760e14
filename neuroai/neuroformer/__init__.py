"""Neuroformer: a generative transformer over spikes, stimulus and behaviour.

Names are imported on first use, so that importing this package stays light.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from neuroai.neuroformer import baselines as baselines
    from neuroai.neuroformer import decoding as decoding
    from neuroai.neuroformer import lagged as lagged
    from neuroai.neuroformer import metrics as metrics
    from neuroai.neuroformer.alignment import Video as Video
    from neuroai.neuroformer.batch import Batch as Batch
    from neuroai.neuroformer.config import Modality as Modality
    from neuroai.neuroformer.config import NeuroformerConfig as NeuroformerConfig
    from neuroai.neuroformer.frozen import FrozenDecoder as FrozenDecoder
    from neuroai.neuroformer.frozen import window_features as window_features
    from neuroai.neuroformer.generation import Generated as Generated
    from neuroai.neuroformer.influence import connectivity as connectivity
    from neuroai.neuroformer.label_spreading import spread_labels as spread_labels
    from neuroai.neuroformer.likelihood import event_log_likelihood as event_log_likelihood
    from neuroai.neuroformer.likelihood import rates as rates
    from neuroai.neuroformer.model import Neuroformer as Neuroformer
    from neuroai.neuroformer.place_tracker import PlaceTracker as PlaceTracker
    from neuroai.neuroformer.splits import split_windows as split_windows
    from neuroai.neuroformer.time_contrast import TimeContrast as TimeContrast
    from neuroai.neuroformer.time_contrast import windows_to_label as windows_to_label
    from neuroai.neuroformer.training import finetune as finetune
    from neuroai.neuroformer.training import fit as fit
    from neuroai.neuroformer.windows import Windows as Windows
    from neuroai.neuroformer.windows import windows_of as windows_of

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["baselines", "decoding", "lagged", "metrics"],
    submod_attrs={
        "alignment": ["Video"],
        "batch": ["Batch"],
        "config": ["Modality", "NeuroformerConfig"],
        "frozen": ["FrozenDecoder", "window_features"],
        "generation": ["Generated"],
        "influence": ["connectivity"],
        "label_spreading": ["spread_labels"],
        "likelihood": ["event_log_likelihood", "rates"],
        "model": ["Neuroformer"],
        "place_tracker": ["PlaceTracker"],
        "splits": ["split_windows"],
        "time_contrast": ["TimeContrast", "windows_to_label"],
        "training": ["finetune", "fit"],
        "windows": ["Windows", "windows_of"],
    },
)
