"""Figures: each function draws on matplotlib axes and returns them; ``ax=`` draws into yours.

Colours are safe for colour-blind readers, nothing touches pyplot's global
state, and matplotlib is imported on first use.
"""

from importlib import import_module
from typing import Any

_WHERE = {
    "alpha_histogram": "neuroai.plotting.distributions",
    "ceiling_scatter": "neuroai.plotting.distributions",
    "score_histogram": "neuroai.plotting.distributions",
    "comparison_histogram": "neuroai.plotting.comparison",
    "model_bars": "neuroai.plotting.comparison",
    "attention_over_image": "neuroai.plotting.fields",
    "receptive_field": "neuroai.plotting.fields",
    "volume_map": "neuroai.plotting.maps",
    "target_bars": "neuroai.plotting.maps",
    "position_map": "neuroai.plotting.maps",
    "roi_bars": "neuroai.plotting.regions",
    "predicted_scatter": "neuroai.plotting.traces",
    "predicted_trace": "neuroai.plotting.traces",
    "new_axes": "neuroai.plotting.style",
    "new_figure": "neuroai.plotting.style",
    "to_png": "neuroai.plotting.style",
    "to_svg": "neuroai.plotting.style",
}

__all__ = [*_WHERE]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'neuroai.plotting' has no attribute {name!r}; it has: {', '.join(__all__)}")
