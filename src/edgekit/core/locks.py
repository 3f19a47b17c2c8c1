"""Locks between processes, one per result: who makes the same thing waits, who makes another thing does not.

A lock is a file beside what it protects, ``.<name>.lock``, locked with flock(2).  The system lets go of it when its
process ends, however it ends: a killed process keeps nobody waiting, and the file that it leaves is taken over.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from edgekit.core.artifacts import translated_writes
from edgekit.core.errors import OutputError, os_reason

_UNLOCKABLE = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
_log = logging.getLogger("edgekit")


@contextlib.contextmanager
def locked(result: Path) -> Iterator[None]:
    """Keep every other process and thread that locks ``result`` waiting until the block ends.

    Args:
        result: the file or folder to make; it need not exist.  A relative path is one of the working directory.

    Raises:
        OutputError: its folder cannot be written, or its file system has no locks.
    """
    place = result.resolve()
    file = place.with_name(f".{place.name}.lock")
    missing = [folder for folder in file.parents if not folder.exists()]
    handle = _acquired(file, result)
    try:
        yield
    finally:
        # Removed while it is held: who waits for this file finds that it is gone, and locks the one that is there then.
        with contextlib.suppress(OSError):
            file.unlink()
            for folder in missing:  # made for the lock alone: the result was refused
                folder.rmdir()
        os.close(handle)


def _acquired(file: Path, result: Path) -> int:
    """An open and locked handle of the file that lies at ``file``."""
    while True:
        with translated_writes(result):
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
            except FileNotFoundError:  # who made the folder had no use for it, and removed it in between
                continue
        try:
            _wait(handle, result)
            if _lies_at(file, handle):
                os.ftruncate(handle, 0)
                os.pwrite(handle, str(os.getpid()).encode(), 0)
                return handle
        except OSError as error:
            os.close(handle)
            if error.errno in _UNLOCKABLE:
                reason = os_reason(error)
                raise OutputError(f"cannot lock {result}: {reason}; choose a folder on a local disk") from error
            raise
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _wait(handle: int, result: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(handle, 20, 0).decode("ascii", "replace")
        who = f" (process {holder})" if holder.isdigit() else ""
        _log.warning("waiting for another edgekit%s, which makes %s", who, result)
        fcntl.flock(handle, fcntl.LOCK_EX)


def _lies_at(file: Path, handle: int) -> bool:
    """Whether nobody removed the file while this process waited for it."""
    try:
        return os.path.samestat(os.stat(file), os.fstat(handle))
    except FileNotFoundError:
        return False
