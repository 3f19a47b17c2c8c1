"""Files on disk: hashes, and writes that are whole or absent."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgekit.core.errors import OutputError, os_reason

_FULL = {errno.ENOSPC, errno.EDQUOT}
_UNWRITABLE = _FULL | {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EISDIR,
}


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(stream)


def _digest(stream: Any) -> str:  # Python 3.10 has no hashlib.file_digest
    total = hashlib.sha256()
    while block := stream.read(1 << 20):
        total.update(block)
    return total.hexdigest()


def sha256_of(document: object) -> str:
    """Hex SHA-256 of a JSON document, independent of key order."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()


def tree_hashes(root: Path) -> dict[str, str]:
    """``{relative POSIX path: sha256}`` of every file below ``root``, sorted."""
    files = sorted(p for p in root.rglob("*") if p.is_file())
    return {p.relative_to(root).as_posix(): sha256_file(p) for p in files}


@contextlib.contextmanager
def translated_writes(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write into an :class:`OutputError`."""
    try:
        yield
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        reason = os_reason(error)
        fix = "free space there, or choose another place" if error.errno in _FULL else "choose another place"
        raise OutputError(f"cannot write {path}: {reason}; {fix}") from error


def require_writable(folder: Path) -> None:
    """Raise :class:`OutputError` now rather than after long work when ``folder`` cannot be written or made."""
    nearest = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    with translated_writes(folder):
        if not nearest.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, f"{nearest} is read-only")
        with _new_files(), tempfile.TemporaryFile(dir=nearest):
            pass


@contextlib.contextmanager
def _new_files() -> Iterator[None]:
    """Explain the "no such file" with which /proc and similar file systems refuse a new file or folder."""
    try:
        yield
    except FileNotFoundError as error:
        raise OSError(errno.EROFS, "nothing can be made there") from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: temporary file, fsync, rename."""
    with translated_writes(path):
        with _new_files():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def write_json(path: Path, document: object) -> None:
    """Write a JSON document atomically, its keys in the order given: that of several tasks has a meaning."""
    write_bytes(path, (json.dumps(document, indent=2) + "\n").encode())


@contextlib.contextmanager
def atomic_directory(final: Path) -> Iterator[Path]:
    """A folder to fill that becomes ``final`` when the block ends, or is removed.

    An older ``final`` is replaced, in one step where the file system can exchange two
    folders: at every moment one of the two is there, and whole.  A process killed inside
    the block leaves only a hidden ``.<name>.*.partial`` folder, which the next call for
    the same ``final`` removes.
    """
    with scratch_directory(final) as partial:
        yield partial
        for file in partial.rglob("*"):
            if file.is_file():
                _fsync(file)
        os.chmod(partial, 0o755)
        _swap(partial, final)


@contextlib.contextmanager
def scratch_directory(final: Path) -> Iterator[Path]:
    """A folder beside ``final`` that is gone when the block ends; what a killed process left there is removed first."""
    with translated_writes(final):
        with _new_files():
            final.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(final)
        with _new_files():
            made = tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}.{os.getpid()}.", suffix=".partial")
        try:
            yield Path(made)
        finally:
            shutil.rmtree(made, ignore_errors=True)


def _swap(partial: Path, final: Path) -> None:
    """Rename ``partial`` to ``final``, again when another process put its own ``final`` there meanwhile."""
    old = final.with_name(f".{final.name}.{os.getpid()}.old.partial")
    while True:
        try:
            os.rename(partial, final)
            break
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        if _exchange(partial, final):
            shutil.rmtree(partial)
            break
        with contextlib.suppress(FileNotFoundError):
            os.rename(final, old)
            shutil.rmtree(old)
    _fsync(final.parent)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two folders' names in one step; False where the system or its file system cannot, or one is gone."""
    import ctypes

    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:  # a C library from before 2018, or not Linux
        return False
    working_folder, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of linux/fs.h
    if renameat2(working_folder, os.fsencode(first), working_folder, os.fsencode(second), exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.ENOENT):
        return False
    raise OSError(code, os.strerror(code), str(second))


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_leftovers(final: Path) -> None:
    # The whole name is matched: "model-cpu.v2" is another folder than "model-cpu".
    partial = re.compile(rf"\.{re.escape(final.name)}\.(\d+)\.[^.]+\.partial")
    for entry in final.parent.iterdir():
        match = partial.fullmatch(entry.name)
        if match and not _alive(int(match[1])):
            shutil.rmtree(entry, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid()
