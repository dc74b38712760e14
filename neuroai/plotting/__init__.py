"""Figures: each function draws on matplotlib axes and returns them; ``ax=`` draws into yours.

Colours are safe for colour-blind readers, nothing touches pyplot's global
state, and matplotlib is imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuroai.plotting.comparison import comparison_histogram as comparison_histogram
    from neuroai.plotting.comparison import model_bars as model_bars
    from neuroai.plotting.confusion import confusion_matrix as confusion_matrix
    from neuroai.plotting.distributions import alpha_histogram as alpha_histogram
    from neuroai.plotting.distributions import ceiling_scatter as ceiling_scatter
    from neuroai.plotting.distributions import score_histogram as score_histogram
    from neuroai.plotting.fields import attention_over_image as attention_over_image
    from neuroai.plotting.fields import receptive_field as receptive_field
    from neuroai.plotting.maps import position_map as position_map
    from neuroai.plotting.maps import target_bars as target_bars
    from neuroai.plotting.maps import volume_map as volume_map
    from neuroai.plotting.regions import roi_bars as roi_bars
    from neuroai.plotting.style import new_axes as new_axes
    from neuroai.plotting.style import new_figure as new_figure
    from neuroai.plotting.style import to_png as to_png
    from neuroai.plotting.style import to_svg as to_svg
    from neuroai.plotting.traces import predicted_scatter as predicted_scatter
    from neuroai.plotting.traces import predicted_trace as predicted_trace

_WHERE = {
    "alpha_histogram": "neuroai.plotting.distributions",
    "ceiling_scatter": "neuroai.plotting.distributions",
    "score_histogram": "neuroai.plotting.distributions",
    "confusion_matrix": "neuroai.plotting.confusion",
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
