"""Memory that a process frees is kept for its next frame, instead of being given back to the system.

The C library gives blocks of a camera frame's size back at once, and the system hands out new pages, a fault for every
4 KiB, when the next frame comes: several milliseconds a frame on a virtual machine.
Source: mallopt(3) of the Linux man-pages.
"""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # <malloc.h>
_LIMIT = 1 << 30  # of what may stay in the process although it is free
_PAD = 1 << 26


def keep_freed() -> bool:
    """Set it for the process, for good; False where the C library has no such switch (musl)."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        return False
    settings = ((_MMAP_THRESHOLD, _LIMIT), (_TRIM_THRESHOLD, _LIMIT), (_TOP_PAD, _PAD))
    return all(library.mallopt(name, value) == 1 for name, value in settings)
