"""What people look at: a table for the terminal, overlay pictures, a whole run as one HTML file, and its PDF."""

from __future__ import annotations

from edgekit.reporting.content import Content, Picture
from edgekit.reporting.frames import draw_frames
from edgekit.reporting.overview import comparison, write_picture
from edgekit.reporting.page import require, write_html
from edgekit.reporting.pdf import find_browser, write_pdf
from edgekit.reporting.proof import Proof

__all__ = [
    "Content",
    "Picture",
    "Proof",
    "comparison",
    "draw_frames",
    "find_browser",
    "require",
    "write_html",
    "write_pdf",
    "write_picture",
]
