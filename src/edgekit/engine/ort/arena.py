"""How much memory ONNX Runtime's arena took, from its log: the Python interface does not tell.

The words are those of ONNX Runtime 1.31 (``bfc_arena.cc``); of a version with others nothing is read.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable
from typing import Any

_INFO, _WARNING = 1, 2
_NAME = re.compile(r"Extending BFCArena for (\w+)|Reserving memory in BFCArena for (\w+) size: (\d+)")
_TOTAL = re.compile(r"Total allocated bytes: (\d+)")


def arena_mib(runtime: Any, run: Callable[[], None]) -> dict[str, float]:
    """MiB by arena (``cpu``, ``cuda``) that the sessions of ``run`` took from the system; empty: the log is silent.

    The log goes to the process's standard error, which is turned aside meanwhile: for a process with one thread.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with tempfile.TemporaryFile() as log:
            os.dup2(log.fileno(), 2)
            runtime.set_default_logger_severity(_INFO)
            try:
                run()
            finally:
                runtime.set_default_logger_severity(_WARNING)
                os.dup2(kept, 2)
            log.seek(0)
            return read(log.read().decode(errors="replace"))
    finally:
        os.close(kept)


def read(log: str) -> dict[str, float]:
    """MiB by arena from the text of a log: what it extended itself by, and what weights reserved."""
    total: dict[str, int] = {}
    extended = ""
    for line in log.splitlines():
        if found := _NAME.search(line):
            extended = found[1] or extended
            if found[2]:
                total[found[2]] = total.get(found[2], 0) + int(found[3])
        elif extended and (found := _TOTAL.search(line)):
            total[extended] = int(found[1])  # reserved bytes are in it
    return {name.lower(): count / 2**20 for name, count in total.items()}
