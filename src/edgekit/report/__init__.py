"""What people look at: a table for the terminal, overlay pictures, a whole run as one HTML file, and its PDF."""

from __future__ import annotations

from edgekit.report.content import Content, Picture
from edgekit.report.frames import draw_frames
from edgekit.report.overview import comparison, write_picture
from edgekit.report.page import require, write_html
from edgekit.report.pdf import find_browser, write_pdf

__all__ = [
    "Content",
    "Picture",
    "comparison",
    "draw_frames",
    "find_browser",
    "require",
    "write_html",
    "write_pdf",
    "write_picture",
]
