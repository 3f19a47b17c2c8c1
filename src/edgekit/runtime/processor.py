"""What this machine's processor can do that decides what an engine computes, and how."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
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

    See :func:`edgekit.runtime.sessions.settings`.
    """
    return "u8u8" if _x86() and not _VNNI & set(instruction_sets()) else None


def _x86() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64")


@dataclass(frozen=True)
class Kernels:
    """Arithmetic that fast kernels are made of: what this processor has, what it lacks, and what follows."""

    has: tuple[str, ...]
    lacks: tuple[str, ...]
    follows: tuple[str, ...]

    def line(self) -> str:
        """In one sentence."""
        named = ", ".join(self.has) or "none that is known"
        without = f", without {', '.join(self.lacks)}" if self.lacks else ""
        return f"{named}{without}: {'; '.join(self.follows)}"


# By Linux's names; one of several is enough.
_X86_KERNELS = {
    "AVX2": ("avx2",),
    "AVX-512": ("avx512f",),
    "AVX512-VNNI": ("avx512_vnni",),
    "AVX-VNNI": ("avx_vnni",),
    "AMX": ("amx_int8",),
    "VBMI": ("avx512vbmi",),
    "bf16": ("avx512_bf16", "amx_bf16"),
    "f16": ("avx512_fp16", "amx_fp16"),
}
_ARM_KERNELS = {
    "NEON": ("asimd", "neon"),
    "dot product": ("asimddp",),
    "i8mm": ("i8mm",),
    "bf16": ("bf16",),
    "f16": ("asimdhp",),
}


def kernels() -> Kernels | None:
    """Which kernels this processor has; None: not known, as outside Linux."""
    known = _X86_KERNELS if _x86() else _ARM_KERNELS
    flags = set(instruction_sets([flag for names in known.values() for flag in names]))
    if not flags:
        return None
    has = tuple(name for name, names in known.items() if flags & set(names))
    follows = _of_x86(has) if _x86() else _of_arm(has)
    return Kernels(has, tuple(name for name in known if name not in has), (*follows, *_of_floats(has)))


def _of_x86(has: Sequence[str]) -> list[str]:
    if not {"AVX512-VNNI", "AVX-VNNI"} & set(has):
        how = "ONNX Runtime multiplies uint8 by uint8 and OpenVINO gets weights of seven bits"
        return [f"no VNNI: INT8 products saturate in pairs, so {how}", "expect little from INT8 in ONNX Runtime"]
    found = ["VNNI: INT8 products are exact, with kernels in ONNX Runtime and OpenVINO"]
    return [*found, "AMX speeds up OpenVINO's INT8, ONNX Runtime's was not seen to use it"] if "AMX" in has else found


def _of_arm(has: Sequence[str]) -> list[str]:
    if not {"dot product", "i8mm"} & set(has):
        return ["no instruction multiplies bytes and adds them up; expect little from INT8"]
    return ["INT8 with int8 activations (placement ort-arm) has fast kernels"]


def _of_floats(has: Sequence[str]) -> list[str]:
    refused = [precision for name, precision in (("bf16", "bf16"), ("f16", "fp16")) if name not in has]
    return [f"OpenVINO refuses precision: {' and '.join(refused)}"] if refused else []
