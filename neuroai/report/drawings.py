"""The figures of an encoding report, as SVG: compositions of the functions in :mod:`neuroai.plotting`."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from neuroai import plotting
from neuroai.plotting.style import label
from neuroai.report.content import Array, EncodingContent

#: Points of a trace that a figure can show.
_TRACE_POINTS = 400


def scores(r: Array, significant: NDArray[np.bool_] | None) -> str:
    """Draw the histogram of scores."""
    return _svg(plotting.score_histogram(r, significant=significant))


def targets(content: EncodingContent) -> str:
    """Draw every target as a bar."""
    axes = plotting.target_bars(content.r, names=content.target_names, ceiling=_ceiling_r(content))
    return _svg(axes)


def places(content: EncodingContent) -> str | None:
    """Draw the scores on the volume or in the plane; None without coordinates."""
    if content.mask is not None:
        return _svg(plotting.volume_map(content.r, content.mask))
    if content.positions is not None:
        return _svg(plotting.position_map(content.r, content.positions[:, 0], content.positions[:, 1]))
    return None


def regions(content: EncodingContent, ceiling: Array | None) -> str:
    """Draw the scores by region."""
    return _svg(plotting.roi_bars(content.r, content.rois, ceiling=ceiling))


def ceiling(content: EncodingContent) -> str:
    """Draw r² against its ceiling."""
    assert content.ceiling is not None  # asked for only where there is one
    return _svg(plotting.ceiling_scatter(np.maximum(content.r, 0.0) ** 2, content.ceiling))


def penalties(content: EncodingContent) -> str:
    """Draw the chosen penalties."""
    assert content.alpha is not None  # asked for only where there is one
    return _svg(plotting.alpha_histogram(content.alpha, grid_values=content.alphas or None))


def examples(content: EncodingContent) -> str:
    """Draw measured and predicted responses: traces for series, scatters for trials."""
    chosen = content.examples
    assert chosen is not None  # asked for only where there are some
    count = len(chosen.targets)
    titles = [_title(content, target) for target in chosen.targets.tolist()]
    if chosen.times is None:
        columns = min(count, 3)
        figure = plotting.new_figure(2.9 * columns, 2.7 * -(-count // columns))
        for place in range(count):
            axes = plotting.new_axes(figure.add_subplot(-(-count // columns), columns, place + 1))
            plotting.predicted_scatter(
                chosen.measured[place], chosen.predicted[place], title=titles[place], ax=axes
            )
        return plotting.to_svg(figure)
    figure = plotting.new_figure(8.6, 1.75 * count)
    part = slice(0, _TRACE_POINTS)
    for place in range(count):
        axes = figure.add_subplot(count, 1, place + 1)
        plotting.predicted_trace(
            _scaled(chosen.measured[place])[part],
            _scaled(chosen.predicted[place])[part],
            times=chosen.times[part],
            title=titles[place],
            ax=axes,
        )
        axes.set_ylabel("z-score")
        if place < count - 1:
            axes.set_xlabel("")
    return plotting.to_svg(figure)


def fields(content: EncodingContent) -> str:
    """Draw receptive fields in a row of small maps."""
    chosen = content.fields
    assert chosen is not None  # asked for only where there are some
    columns = 6
    rows = -(-len(chosen.targets) // columns)
    figure = plotting.new_figure(1.6 * columns, 1.8 * rows)
    for place, target in enumerate(chosen.targets.tolist()):
        axes = figure.add_subplot(rows, columns, place + 1)
        plotting.receptive_field(chosen.maps[place], title=label(content.target_names[target], 18), ax=axes)
    return plotting.to_svg(figure)


def attention(content: EncodingContent) -> str:
    """Draw stimuli, and beside each the attention of every query over it."""
    chosen = content.attention
    assert chosen is not None  # asked for only where there is some
    names = list(chosen.queries)
    if not names:
        return _gallery(chosen.images)
    rows, columns = len(chosen.images), 1 + len(names)
    figure = plotting.new_figure(1.35 * columns, 1.4 * rows + 0.3)
    for row in range(rows):
        for column in range(columns):
            axes = figure.add_subplot(rows, columns, row * columns + column + 1)
            title = ("stimulus", *names)[column] if row == 0 else ""
            over = None if column == 0 else chosen.maps[row, column - 1]
            plotting.attention_over_image(chosen.images[row], over, title=label(title, 14), ax=axes)
    return plotting.to_svg(figure)


def _gallery(images: NDArray[np.generic]) -> str:
    columns = min(len(images), 8)
    figure = plotting.new_figure(1.2 * columns, 1.25 * -(-len(images) // columns))
    for place, image in enumerate(images):
        axes = figure.add_subplot(-(-len(images) // columns), columns, place + 1)
        plotting.attention_over_image(image, None, ax=axes)
    return plotting.to_svg(figure)


def _scaled(series: Array) -> Array:
    """Scale to mean 0 and variance 1, so that a shrunken prediction can be seen; a constant becomes 0."""
    spread = float(series.std()) if series.max() > series.min() else 1.0
    scaled: Array = (series - series.mean()) / spread
    return scaled


def _title(content: EncodingContent, target: int) -> str:
    return f"{label(content.target_names[target], 24)}: r = {content.r[target]:.3f}"


def _ceiling_r(content: EncodingContent) -> Array | None:
    return None if content.ceiling is None else np.sqrt(np.maximum(content.ceiling, 0.0))


def _svg(axes: Axes) -> str:
    figure = axes.get_figure()
    assert isinstance(figure, Figure)  # every function above draws into a figure of its own
    return plotting.to_svg(figure)
