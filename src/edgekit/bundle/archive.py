"""A bundle as one file, and back."""

from __future__ import annotations

import errno
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from edgekit.bundle.contents import MANIFEST
from edgekit.core.artifacts import write_bytes
from edgekit.core.errors import BundleError

SINGLE_FILE = ".edgekit"


def pack(folder: Path, target: Path) -> Path:
    """Write a bundle's folder as one uncompressed zip file, atomically; returns its path."""
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "bundle.zip"
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as archive:
            for file in sorted(p for p in folder.rglob("*") if p.is_file()):
                # A fixed date: the same bundle packs to the same bytes.
                entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), (1980, 1, 1, 0, 0, 0))
                archive.writestr(entry, file.read_bytes())
        write_bytes(target, whole.read_bytes())
    return target


def unpack(file: Path) -> Path:
    """Unpack a single file into a folder that is deleted when the process ends.

    Raises:
        BundleError: not a bundle, damaged, or it points outside.
    """
    folder = Path(tempfile.mkdtemp(prefix="edgekit-bundle-"))
    _delete_at_exit(folder)
    try:
        with zipfile.ZipFile(file) as archive:
            if MANIFEST not in archive.namelist():  # a truncated file may show the archive inside golden.npz
                raise BundleError(f"{file}: not a bundle, or truncated (no {MANIFEST} inside); copy it again")
            for name in archive.namelist():
                inside = PurePosixPath(name)
                if inside.is_absolute() or ".." in inside.parts:
                    raise BundleError(f"{file}: {name!r} points outside the bundle; do not trust this file")
            archive.extractall(folder)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, zlib.error) as error:
        raise BundleError(f"{file}: not a bundle, or truncated ({error}); copy it again") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # a damaged offset
            raise
        raise BundleError(f"{file}: damaged ({error}); copy it again") from error
    return folder


def _delete_at_exit(folder: Path) -> None:
    import atexit

    atexit.register(shutil.rmtree, folder, ignore_errors=True)
