"""Figures: each function draws on matplotlib axes and returns them; ``ax=`` draws into yours.

Colours are safe for colour-blind readers, nothing touches pyplot's global
state, and matplotlib is imported on first use.
"""

from typing import TYPE_CHECKING

import lazy_loader

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

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "comparison": ["comparison_histogram", "model_bars"],
        "confusion": ["confusion_matrix"],
        "distributions": ["alpha_histogram", "ceiling_scatter", "score_histogram"],
        "fields": ["attention_over_image", "receptive_field"],
        "maps": ["position_map", "target_bars", "volume_map"],
        "regions": ["roi_bars"],
        "style": ["new_axes", "new_figure", "to_png", "to_svg"],
        "traces": ["predicted_scatter", "predicted_trace"],
    },
)
