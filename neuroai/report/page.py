"""A page as data, and its rendering: escaped, self-contained, without any reference to a network."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from neuroai.report.svg import inline_svg

#: A report larger than this is refused: it would not travel by mail.
LARGEST_BYTES = 10 * 10**6


@dataclass(frozen=True)
class Figure:
    """One figure with its caption.

    Parameters
    ----------
    key : str
        Name of its file under ``figures/``: letters, digits and hyphens.
    svg : str
        What :func:`neuroai.plotting.to_svg` gave.
    caption : str
        What is shown and how to read it.
    wide : bool
        Takes the whole width of the page.
    """

    key: str
    svg: str
    caption: str
    wide: bool = False


@dataclass(frozen=True)
class Table:
    """A table that sorts on a click.

    Parameters
    ----------
    columns : sequence of str
        Headings.
    rows : sequence of sequences
        Cells: text, numbers (right-aligned, sorted as numbers), or None for undefined.
    caption : str
        What the rows are.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str


@dataclass(frozen=True)
class Section:
    """A titled part of a page, listed in the table of contents."""

    title: str
    paragraphs: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    preformatted: str = ""


@dataclass(frozen=True)
class Page:
    """A whole report.

    Parameters
    ----------
    title, subtitle : str
        Headings.
    numbers : sequence of (value, label)
        The few numbers to see first.
    sections : sequence of Section
        In reading order.
    notices : sequence of str
        What a reader must know before believing the numbers.
    """

    title: str
    subtitle: str
    numbers: Sequence[tuple[str, str]] = ()
    sections: Sequence[Section] = ()
    notices: Sequence[str] = field(default_factory=tuple)

    @property
    def figures(self) -> dict[str, str]:
        """The figures' SVG by key."""
        return {figure.key: figure.svg for section in self.sections for figure in section.figures}


def render(page: Page) -> str:
    """Render a page as one HTML document.

    Every text is escaped; scripts other than the page's own are forbidden by
    its content security policy, and so is any request.

    Parameters
    ----------
    page : Page
        What to show.

    Returns
    -------
    str
        HTML5.

    Raises
    ------
    ValueError
        If the document would exceed 10 MB.

    Examples
    --------
    >>> "&lt;script&gt;" in render(Page("<script>", "subtitle"))
    True
    """
    style, script = _asset("report.css"), _asset("report.js")
    html: str = _template().render(
        page=page,
        style=style,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        cell=cell,
        inline=inline_svg,
    )
    size = len(html.encode())
    if size > LARGEST_BYTES:
        raise ValueError(f"the report takes {size} bytes, more than {LARGEST_BYTES}; draw fewer figures")
    return html


def cell(value: Any) -> tuple[str, str, str]:
    """Return a cell's text, the key it sorts by, and its class.

    Examples
    --------
    >>> cell(0.123456), cell("V1"), cell(None)
    (('0.123', '0.123456', 'number'), ('V1', 'V1', 'text'), ('–', '', 'number'))
    """
    if value is None or (isinstance(value, float) and value != value):
        return "–", "", "number"
    if isinstance(value, bool):
        return ("yes" if value else "no"), str(int(value)), "text"
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f"), str(value), "number"
    if isinstance(value, float):
        return format_number(value), repr(value), "number"
    return str(value), str(value), "text"


def format_number(value: float) -> str:
    """Write a number with three decimals, or three digits where that would hide it.

    Examples
    --------
    >>> format_number(0.5), format_number(1e-5), format_number(123456.0)
    ('0.500', '1e-05', '1.23e+05')
    """
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.3f}".replace("-", "−")
    return f"{value:.3g}".replace("-", "−") if value < 0 else f"{value:.3g}"


def _asset(name: str) -> str:
    return (files("neuroai.report") / "templates" / name).read_text(encoding="utf-8")


@cache
def _template() -> Any:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_asset("report.html"))
