"""Text that is put into Markdown."""

from __future__ import annotations


def cell(text: str) -> str:
    """Text on one line that can neither end a table's cell nor become markup."""
    escaped = "".join(f"\\{c}" if c in "\\`*_[]<>|#" else c for c in text)
    return " ".join(escaped.split())
