"""What this machine's processor can do that decides what an engine computes, and how."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

# Instruction sets that decide which kernels and memory layouts an optimised graph holds.
_SETS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")
_VNNI = {"avx512_vnni", "avx_vnni"}


def instruction_sets(sets: Sequence[str] = _SETS) -> list[str]:
    """Those of ``sets`` that this processor has, by Linux's names; none outside Linux.

    Default: those that decide what an optimised graph holds.
    """
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return []
    flags = {word for line in text.splitlines() if line.startswith(("flags", "Features")) for word in line.split()}
    return [name for name in sets if name in flags]


def int8_products() -> str | None:
    """``u8u8`` on an x86 processor without VNNI, whose 16-bit sums of uint8 times int8 would saturate; else None.

    See :data:`edgekit.runtime.sessions.SETTINGS`.
    """
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return "u8u8" if x86 and not _VNNI & set(instruction_sets()) else None
