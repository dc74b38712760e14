"""Reports: one HTML file that needs no network and can be sent to a colleague."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuroai.report.comparison import comparison_page as comparison_page
    from neuroai.report.content import Attention as Attention
    from neuroai.report.content import EncodingContent as EncodingContent
    from neuroai.report.content import Examples as Examples
    from neuroai.report.content import Fields as Fields
    from neuroai.report.encoding import encoding_page as encoding_page
    from neuroai.report.page import Figure as Figure
    from neuroai.report.page import Page as Page
    from neuroai.report.page import Section as Section
    from neuroai.report.page import Table as Table
    from neuroai.report.page import render as render

_WHERE = {
    "EncodingContent": "neuroai.report.content",
    "Examples": "neuroai.report.content",
    "Fields": "neuroai.report.content",
    "Attention": "neuroai.report.content",
    "encoding_page": "neuroai.report.encoding",
    "comparison_page": "neuroai.report.comparison",
    "Figure": "neuroai.report.page",
    "Page": "neuroai.report.page",
    "Section": "neuroai.report.page",
    "Table": "neuroai.report.page",
    "render": "neuroai.report.page",
}

__all__ = [*_WHERE]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'neuroai.report' has no attribute {name!r}; it has: {', '.join(__all__)}")
