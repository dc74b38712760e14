"""Reports: one HTML file that needs no network and can be sent to a colleague."""

from typing import TYPE_CHECKING

import lazy_loader

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

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "comparison": ["comparison_page"],
        "content": ["Attention", "EncodingContent", "Examples", "Fields"],
        "encoding": ["encoding_page"],
        "page": ["Figure", "Page", "Section", "Table", "render"],
    },
)
