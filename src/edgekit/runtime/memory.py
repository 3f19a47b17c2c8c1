"""Memory that a process frees is kept for its next frame or training step, instead of being given back to the system.

The C library gives blocks of a camera frame's size back at once, and the system hands out new pages, a fault for every
4 KiB, when the next frame comes: several milliseconds a frame on a virtual machine.  A training step on a CPU frees the
same sizes again and again: of a small network with dense outputs this was two fifths of its time.
Source: mallopt(3) of the Linux man-pages.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4  # <malloc.h>
_LIMIT = 1 << 30  # of what may stay in the process although it is free
_PAD = 1 << 26
_NEVER, _TRIM_DEFAULT, _MMAP_DEFAULT = -1, 128 * 1024, 65536


def keep_freed() -> bool:
    """Set it for the process, for good; False where the C library has no such switch (musl)."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        return False
    settings = ((_MMAP_THRESHOLD, _LIMIT), (_TRIM_THRESHOLD, _LIMIT), (_TOP_PAD, _PAD))
    return all(library.mallopt(name, value) == 1 for name, value in settings)


@contextmanager
def kept(wanted: bool = True) -> Iterator[None]:
    """Inside, free memory stays with the process where the C library is GNU's; afterwards it goes back."""
    library = _gnu() if wanted else None
    if library is None:
        yield
        return
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        library.mallopt(_MMAP_MAX, _MMAP_DEFAULT)
        library.mallopt(_TRIM_THRESHOLD, _TRIM_DEFAULT)
        library.malloc_trim(0)


def _gnu() -> ctypes.CDLL | None:
    """The C library; None: another one than GNU's."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return (
        library if all(hasattr(library, name) for name in ("gnu_get_libc_version", "mallopt", "malloc_trim")) else None
    )
