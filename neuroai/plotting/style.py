"""One look for every figure, set on the figure itself: no pyplot, no process-wide settings."""

import io
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

#: Text and lines; the report swaps them (and the blue) for those of its light or dark theme.
INK, PAPER, MUTED, GRID = "#14181d", "#fefefe", "#6b7280", "#d4d8dd"

#: Okabe and Ito (2008): distinguishable with any colour vision, on light and on dark.
BLUE, ORANGE, GREEN, VERMILION = "#0072b2", "#e69f00", "#009e73", "#d55e00"
SKY, PINK = "#56b4e9", "#cc79a7"
PALETTE = (BLUE, ORANGE, GREEN, VERMILION, SKY, PINK)

#: Sequential and diverging maps that keep their order in grey and for colour-blind readers.
SEQUENTIAL, DIVERGING = "viridis", "PuOr_r"

#: More shapes than this are drawn as pixels inside the SVG: a page must open, and stay under its limit.
MOST_SHAPES = 2000

_LONGEST = 32


def new_figure(width: float = 5.2, height: float = 3.4) -> Figure:
    """Make a figure that belongs to no window.

    Parameters
    ----------
    width, height : float
        Size in inches.

    Examples
    --------
    >>> new_figure(3, 2).get_size_inches().tolist()
    [3.0, 2.0]
    """
    return Figure(figsize=(width, height), layout="constrained", facecolor=PAPER)


def new_axes(ax: Axes | None = None, *, width: float = 5.2, height: float = 3.4) -> Axes:
    """Return the given axes, or those of a new figure, in the common look."""
    if ax is None:
        ax = new_figure(width, height).add_subplot()
    return dress(ax)


def dress(ax: Axes) -> Axes:
    """Give axes the common look."""
    ax.set_facecolor("none")
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(MUTED)
    ax.tick_params(colors=INK, labelsize=9, length=3)
    ax.set_axisbelow(True)
    return ax


def bare(ax: Axes) -> Axes:
    """Take ticks and spines away: an image fills these axes."""
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


def grid(ax: Axes, axis: str = "y") -> None:
    """Draw light lines behind the data."""
    ax.grid(True, axis=axis, color=GRID, linewidth=0.6)  # type: ignore[arg-type]


def describe(ax: Axes, *, title: str = "", x: str = "", y: str = "") -> Axes:
    """Set title and axis labels as plain text: ``$`` in a name is not mathematics."""
    ax.set_title(label(title, 70), fontsize=10, color=INK, parse_math=False)
    ax.set_xlabel(label(x, 70), fontsize=9, color=INK, parse_math=False)
    ax.set_ylabel(label(y, 70), fontsize=9, color=INK, parse_math=False)
    return ax


def name_ticks(ax: Axes, names: Sequence[str], *, axis: str = "x", rotate: bool = False) -> None:
    """Put names at 0, 1, 2, ... of an axis, as plain text."""
    texts = [label(name) for name in names]
    kwargs: dict[str, Any] = {"fontsize": 9, "color": INK, "parse_math": False}
    if axis == "y":
        ax.set_yticks(range(len(texts)), labels=texts, **kwargs)
    elif rotate:
        crowded = len(texts) > 20
        kwargs |= {"rotation": 90 if crowded else 40, "ha": "center" if crowded else "right"}
        ax.set_xticks(range(len(texts)), labels=texts, **kwargs)
    else:
        ax.set_xticks(range(len(texts)), labels=texts, **kwargs)


def legend(ax: Axes, **kwargs: Any) -> None:
    """Draw a legend in plain text without a frame."""
    drawn = ax.legend(frameon=False, fontsize=8, labelcolor=INK, **kwargs)
    for text in drawn.get_texts():
        text.set_parse_math(False)


def legend_above(ax: Axes) -> None:
    """Draw a legend of two columns above the axes, at their right edge, clear of the data."""
    legend(ax, loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2, ncols=2)


def legend_beside(ax: Axes) -> None:
    """Draw a legend right of the axes, clear of the data."""
    legend(ax, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def note(ax: Axes, text: str) -> Axes:
    """Say in the middle of empty axes why they are empty."""
    bare(ax)
    ax.text(0.5, 0.5, text, ha="center", va="center", color=MUTED, transform=ax.transAxes, parse_math=False)
    return ax


def label(text: object, longest: int = _LONGEST) -> str:
    r"""Make a name printable: one line, no control characters, at most ``longest`` characters.

    Examples
    --------
    >>> label("V1\n\x07 ventral"), label("a" * 40, 8)
    ('V1 ventral', 'aaaaaaa…')
    """
    kept = (" " if character.isspace() else character for character in str(text))
    printable = (character for character in kept if not unicodedata.category(character).startswith("C"))
    line = " ".join("".join(printable).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def colour_bar(ax: Axes, image: Any, text: str) -> None:
    """Draw a colour bar beside axes."""
    figure = ax.get_figure()
    assert figure is not None  # axes made by this package always have one
    bar = figure.colorbar(image, ax=ax, shrink=0.8, pad=0.02)
    bar.set_label(label(text, 60), fontsize=9, color=INK, parse_math=False)
    bar.ax.tick_params(colors=INK, labelsize=8, length=2)
    bar.outline.set_visible(False)


def to_svg(figure: Figure) -> str:
    """Render a figure as SVG with text kept as text; the same figure gives the same bytes."""
    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "neuroai",
        "font.family": ["DejaVu Sans"],
    }
    buffer = io.StringIO()
    with matplotlib.rc_context(settings), _without_glyph_notices():
        figure.savefig(buffer, format="svg", metadata={"Date": None}, dpi=110)
    return buffer.getvalue()


def to_png(figure: Figure, *, dpi: int = 110) -> bytes:
    """Render a figure as PNG."""
    buffer = io.BytesIO()
    with _without_glyph_notices():
        figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


@contextmanager
def _without_glyph_notices() -> Iterator[None]:
    # The bundled font lacks some scripts; the SVG keeps the text, which the browser's fonts then draw.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"(?s).*Glyph .* missing from", category=UserWarning)
        yield
