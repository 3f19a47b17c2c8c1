"""Denormal numbers count as zero on the calling thread while a block runs: the processor's FTZ and DAZ, or FZ, bits.

Arithmetic on numbers below 1.2e-38 is up to a hundred times slower on x86, and a network that was trained with weight
decay has some.  ONNX Runtime's own switch (``session.set_denormal_as_zero``) reaches the threads of a session's pool
and, for good, the thread that opens the first session of the process; a query computes on the thread that asks, too.
So that thread's bits are set around a query and put back after it: Python, NumPy and torch never see them.

The C library sets them: ``fesetenv`` (C11, 7.6.4.3) writes the whole control register of the calling thread.
Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, 10.2.3 (MXCSR); Arm Architecture Reference
Manual, FPCR.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TypeAlias

import numpy as np


@dataclass(frozen=True)
class _Layout:
    """Of ``fenv_t``: so many 32-bit words, which of them is the control register, and its ``bits`` to set."""

    words: int
    place: int
    bits: int


_X86 = _Layout(8, 7, 0x8040)  # MXCSR behind the x87 environment: FTZ is bit 15, DAZ bit 6
_ARM = _Layout(2, 0, 1 << 24)  # FPCR before FPSR: FZ; half precision keeps its denormals, as on x86
_LAYOUTS = {"x86_64": _X86, "amd64": _X86, "aarch64": _ARM, "arm64": _ARM}


_Words: TypeAlias = "ctypes.Array[ctypes.c_uint32]"


class flushed:  # noqa: N801 - used like contextlib's
    """A block whose float32 and float64 arithmetic on this thread takes and gives zero for denormals.

    About a microsecond.  Blocks may be nested, and left by an exception.  Does nothing where :func:`works` is False.
    """

    __slots__ = ("_before",)

    def __enter__(self) -> None:
        register = _register()
        self._before = None if register is None else register.flush()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        register = _register()
        if register is not None and self._before is not None:
            register.write(self._before)


def works() -> bool:
    """Whether :class:`flushed` has an effect here, tried once: Linux on x86-64 or 64-bit Arm."""
    return _register() is not None


def told() -> str:
    """For reports: what becomes of denormals in a query."""
    return "flushed to zero" if works() else "flushed to zero by the runtime's own threads only"


class _Register:
    """The control register of the calling thread, through the C library."""

    def __init__(self, library: ctypes.CDLL, layout: _Layout) -> None:
        self._environment = ctypes.c_uint32 * layout.words
        self._place, self._bits = layout.place, layout.bits
        self._get: Callable[[_Words], int] = library.fegetenv
        self._set: Callable[[_Words], int] = library.fesetenv

    def flush(self) -> _Words | None:
        """Set the bits; what the register held before, None: the bits were set already."""
        held = self._environment()
        self._get(held)
        before = held[self._place]
        if before & self._bits == self._bits:
            return None
        held[self._place] = before | self._bits
        self._set(held)
        held[self._place] = before
        return held

    def write(self, before: _Words) -> None:
        self._set(before)

    def tried(self) -> bool:
        """Whether the bits do what they should, and can be taken back."""
        before = self.flush()
        product = _TINY * _SMALL
        if before is not None:
            self.write(before)
        return bool(product == 0)


_TINY, _SMALL = np.float32(1e-30), np.float32(1e-10)  # each is normal, their product is not


@functools.cache
def _register() -> _Register | None:
    layout = _LAYOUTS.get(platform.machine().lower())
    if sys.platform != "linux" or layout is None:
        return None
    # PyDLL keeps the interpreter's lock: cheaper than to give it away.
    register = _Register(ctypes.PyDLL(None), layout)
    return register if register.tried() else None
