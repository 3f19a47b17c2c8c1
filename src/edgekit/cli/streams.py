"""With ``--json``, standard output belongs to one document, whoever else writes to it.

A user's factory prints, its children inherit file descriptor 1, and C libraries write to it without Python.  So the
descriptor itself is turned to stderr, and where it led to is kept for the document.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from edgekit.core.artifacts import translated_writes

_STDOUT, _STDERR = 1, 2
_kept: list[int] = []  # the descriptor that the document goes to, once it is reserved


def reserve_stdout() -> None:
    """From here on whatever is written to standard output, by this process or a child, lands on stderr.

    For the rest of the process: what C libraries still hold in their buffers must not follow the document.
    Without an effect where ``sys.stdout`` is no file, as in tests, or is closed.
    """
    try:
        if _kept or sys.stdout is None or sys.stdout.fileno() != _STDOUT:
            return
    except (OSError, ValueError):  # io.UnsupportedOperation is both
        return
    sys.stdout.flush()
    _kept.append(os.dup(_STDOUT))  # children do not inherit it
    try:
        os.dup2(_STDERR, _STDOUT)
    except OSError:  # stderr is closed
        os.dup2(os.open(os.devnull, os.O_WRONLY), _STDOUT)


def write_document(text: str) -> None:
    """Write to where standard output led when it was reserved, else to ``sys.stdout``.

    Raises:
        OutputError: it cannot be written: what stdout leads to is full.
    """
    with translated_writes(Path("standard output")):
        if _kept:
            rest = memoryview(text.encode())
            while rest:
                rest = rest[os.write(_kept[0], rest) :]
            return
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError as error:
            if error.errno != errno.EPIPE:  # what is left in the buffer would be written again at exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise
