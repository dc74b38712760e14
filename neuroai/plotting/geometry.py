"""Dissimilarity matrices, how well models match regions, and embeddings of both."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from neuroai.plotting.style import (
    GRID,
    INK,
    MUTED,
    PALETTE,
    SEQUENTIAL,
    bare,
    colour_bar,
    describe,
    grid,
    label,
    legend,
    legend_beside,
    new_axes,
)


def rdm_map(matrix: ArrayLike, *, title: str = "", ranked: bool = True, ax: Axes | None = None) -> Axes:
    """Draw a dissimilarity matrix.

    Parameters
    ----------
    matrix : array of shape (m, m)
        Symmetric, conditions in the order to show.
    title : str
        Heading.
    ranked : bool
        Show percentiles of the pairs, so that matrices on different scales look alike.
    ax : Axes, optional
        Where to draw.

    Examples
    --------
    >>> rdm_map([[0, 1], [1, 0]], title="V1").get_title()
    'V1'
    """
    ax = new_axes(ax, width=3.4, height=3.0)
    shown = np.array(matrix, dtype=np.float64)
    pairs = np.triu_indices(len(shown), 1)
    if ranked:
        values = shown[pairs]
        ordered = np.sort(values)
        places = (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / 2
        shown[pairs] = 100 * places / max(len(values), 1)
        shown.T[pairs] = shown[pairs]
    np.fill_diagonal(shown, np.nan)
    image = ax.imshow(shown, cmap=SEQUENTIAL, interpolation="nearest")
    colour_bar(ax, image, "dissimilarity (percentile)" if ranked else "dissimilarity")
    return describe(bare(ax), title=title)


def similarity_bars(
    names: Sequence[str],
    scores: Mapping[str, ArrayLike],
    *,
    intervals: Mapping[str, ArrayLike] | None = None,
    ceilings: Mapping[str, tuple[float, float] | None] | None = None,
    y_label: str = "Spearman's rho",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw how similar each model's dissimilarities are to each region's, beside the ceilings.

    Parameters
    ----------
    names : sequence of str
        Models.
    scores : mapping of str to array (n_models,)
        One entry a region.
    intervals : mapping of str to array (n_models, 2), optional
        Bounds of each score.
    ceilings : mapping of str to (lower, upper) or None, optional
        What a perfect model could reach, drawn as a band.
    y_label, title : str
        Labels.
    ax : Axes, optional
        Where to draw.

    Examples
    --------
    >>> axes = similarity_bars(["pixels"], {"V1": [0.2]}, ceilings={"V1": (0.3, 0.4)})
    >>> axes.get_ylabel(), [text.get_text() for text in axes.get_xticklabels()]
    ("Spearman's rho", ['V1'])
    """
    count = len(names)
    ax = new_axes(ax, width=1.8 + len(scores) * (0.6 + 0.42 * count), height=3.8)
    step = count + 1.2
    for place, region in enumerate(scores):
        left = place * step
        ceiling = (ceilings or {}).get(region)
        if ceiling is not None:
            span = [left - 0.6, left + count - 0.4]
            text = "noise ceiling" if place == 0 else None
            ax.fill_between(span, *ceiling, color=GRID, linewidth=0, label=text)
        values = np.asarray(scores[region], dtype=np.float64)
        for index, value in enumerate(values):
            colour = PALETTE[index % len(PALETTE)]
            text = label(names[index]) if place == 0 else None
            ax.bar(left + index, value, width=0.82, color=colour, label=text)
            if intervals is not None:
                bounds = np.asarray(intervals[region], dtype=np.float64)[index]
                ax.plot([left + index] * 2, bounds, color=INK, linewidth=1.4)
    middles = [place * step + (count - 1) / 2 for place in range(len(scores))]
    ax.set_xticks(middles, [label(name) for name in scores], fontsize=9, color=INK, parse_math=False)
    ax.axhline(0, color=MUTED, linewidth=0.8)
    grid(ax)
    legend_beside(ax)
    return describe(ax, title=title, y=y_label)


def similarity_over_time(
    times: ArrayLike,
    curves: Mapping[str, ArrayLike],
    *,
    y_label: str = "Spearman's rho",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw how similar models' dissimilarities are to a recording's at every moment.

    Parameters
    ----------
    times : array (t,)
        Seconds.
    curves : mapping of str to array (t,)
        From `neuroai.geometry.compare_over_time`.
    y_label, title : str
        Labels.
    ax : Axes, optional
        Where to draw.

    Examples
    --------
    >>> len(similarity_over_time([0.0, 0.1], {"contrast": [0.0, 0.4]}).lines)
    2
    """
    ax = new_axes(ax, width=5.6, height=3.2)
    ax.axhline(0, color=MUTED, linewidth=0.8)
    for index, (name, curve) in enumerate(curves.items()):
        ax.plot(
            np.asarray(times, dtype=np.float64),
            np.asarray(curve, dtype=np.float64),
            color=PALETTE[index % len(PALETTE)],
            linewidth=1.6,
            label=label(name),
        )
    ax.margins(x=0)
    grid(ax)
    legend(ax)
    return describe(ax, title=title, x="time (s)", y=y_label)


def embedding(
    points: ArrayLike,
    names: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw named points in the plane at one scale for both axes.

    Parameters
    ----------
    points : array of shape (k, 2)
        From :func:`neuroai.geometry.mds`, for example.
    names : sequence of str
        Written beside the points; empty names are left out.
    groups : sequence of str, optional
        Colours and legend.
    title : str
        Heading.
    ax : Axes, optional
        Where to draw.

    Examples
    --------
    >>> len(embedding([[0, 0], [1, 1]], ["a", "b"]).texts)
    2
    """
    ax = new_axes(ax, width=5.4, height=4.2)
    placed = np.asarray(points, dtype=np.float64)
    kinds = list(groups) if groups is not None else [""] * len(placed)
    for index, kind in enumerate(dict.fromkeys(kinds)):
        members = [place for place, own in enumerate(kinds) if own == kind]
        ax.scatter(
            placed[members, 0],
            placed[members, 1],
            s=34,
            color=PALETTE[index % len(PALETTE)],
            label=kind or None,
        )
    for (x, y), name in zip(placed, names, strict=True):
        ax.annotate(
            label(name),
            (x, y),
            xytext=(4, 4),
            textcoords="offset points",
            fontsize=8,
            color=INK,
            parse_math=False,
        )
    if groups is not None:
        legend(ax)
    ax.set_aspect("equal", adjustable="datalim")
    ax.margins(0.2)
    return describe(ax, title=title, x="first dimension", y="second dimension")
