"""Memory of tensors that a training step frees, kept for the next step.

The C library of Linux gives the pages of a large tensor back as soon as it is freed, and the next tensor gets new ones,
which the system fills with zeros first.  A step on a CPU frees the same sizes again and again: of a small network with
dense outputs this was two fifths of its time.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Of <malloc.h>: mallopt(3).
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER, _TRIM_DEFAULT, _MMAP_DEFAULT = -1, 128 * 1024, 65536


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
