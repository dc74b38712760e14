"""SVG made ready to stand inside an HTML page: unique names, the page's own colours, no styles of its own."""

import re
from typing import TYPE_CHECKING

from neuroai.plotting.style import BLUE, GRID, INK, MUTED, PAPER

if TYPE_CHECKING:
    from markupsafe import Markup

_TAG = re.compile(r"<[^>]*>")
_THEME = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)", PAPER: "none", BLUE: "var(--blue)"}
_DROPPED = re.compile(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", re.S)


def inline_svg(svg: str, key: str, alt: str) -> "Markup":
    """Turn a drawn SVG file into an element of a page.

    Parameters
    ----------
    svg : str
        What :func:`neuroai.plotting.to_svg` gave; text in it is escaped already.
    key : str
        Prefix that makes its ids unique on the page.
    alt : str
        Description for readers who cannot see it.

    Returns
    -------
    Markup
        An ``<svg>`` element: no comments, metadata or style sheet, ids prefixed, the
        theme's colours replaced by the page's variables.

    Notes
    -----
    Only tags are rewritten, never text: names from files stay as they were escaped.

    Examples
    --------
    >>> from neuroai.plotting import new_figure, to_svg
    >>> str(inline_svg(to_svg(new_figure(1, 1)), "f", "empty"))[:40]
    '<svg role="img" aria-label="empty" class'
    """
    from markupsafe import Markup, escape

    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", key):
        raise ValueError(f"a figure's key is made of letters, digits and hyphens; found {key!r}")
    body = _DROPPED.sub("", svg[svg.index("<svg") :])
    body = _TAG.sub(lambda match: _retag(match[0], key), body)
    opening = f'<svg role="img" aria-label="{escape(alt)}" class="drawing" '
    return Markup(opening + body.removeprefix("<svg").lstrip())


def _retag(tag: str, key: str) -> str:
    tag = re.sub(r'\bid="', f'id="{key}-', tag)
    tag = re.sub(r'href="#', f'href="#{key}-', tag)
    tag = tag.replace("url(#", f"url(#{key}-")
    if tag.startswith("<svg"):
        tag = re.sub(r'\s(?:height|version|xmlns(?::\w+)?)="[^"]*"', "", tag)
        return tag
    for colour, variable in _THEME.items():
        tag = tag.replace(colour, variable)
    return tag
