"""Text files that people write, as their editors leave them: the one place that knows byte order marks."""

from __future__ import annotations

import codecs
from pathlib import Path

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def read_text(path: Path) -> str:
    """The text of a file; see :func:`decoded`.

    Raises:
        OSError: it cannot be read.
        UnicodeDecodeError: it is no text in UTF-8, nor in UTF-16 with its byte order mark.
    """
    return decoded(path.read_bytes())


def decoded(content: bytes) -> str:
    """Text without byte order mark, its lines ended by ``\\n``.

    UTF-8, or UTF-16 that says so by its mark: what Windows' editors and PowerShell's ``>`` write.
    """
    mark, encoding = next(((m, e) for m, e in _MARKS if content.startswith(m)), (b"", "utf-8"))
    return content[len(mark) :].decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
