"""A bundle as one file, and back.

What an archive says of itself is believed only as far as its manifest agrees: it is read first and alone, and nothing
else is written before every member is one of its files, no larger than it says.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from edgekit.bundle.contents import MANIFEST, SIGNATURE, SIZES
from edgekit.bundle.manifest import parse
from edgekit.core.artifacts import write_bytes
from edgekit.core.errors import BundleError

SINGLE_FILE = ".edgekit"
_LARGEST = {MANIFEST: 16 * 2**20, SIGNATURE: 64 * 2**10}
"""Bytes of the files that no manifest lists."""


class Unpacked:
    """The folder that a single file was unpacked into: it is removed by :meth:`close`, and when nobody has it any more.

    Attributes:
        path: the folder.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="edgekit-bundle-"))
        self._remove = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def close(self) -> None:
        """Remove the folder; once more does nothing."""
        self._remove()

    def lives_as_long_as(self, user: object) -> None:
        """Keep the folder until ``user`` is gone too, which reads its files later."""
        weakref.finalize(user, lambda kept: None, self)


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


def unpack(file: Path) -> Unpacked:
    """Unpack a single file into a temporary folder.

    Raises:
        BundleError: not a bundle, damaged, or a member is outside, unknown or larger than the manifest says; then
            nothing was written.
    """
    with _translated(file), zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        _check_places(file, members)
        _check_members(file, members, _manifest(file, archive))
        unpacked = Unpacked()
        try:
            for member in members:
                archive.extract(member, unpacked.path)
        except BaseException:
            unpacked.close()
            raise
        return unpacked


@contextlib.contextmanager
def _translated(file: Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, zlib.error) as error:
        raise BundleError(f"{file}: not a bundle, or truncated ({error}); copy it again") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # a damaged offset
            raise
        raise BundleError(f"{file}: damaged ({error}); copy it again") from error


def _manifest(file: Path, archive: zipfile.ZipFile) -> dict[str, Any]:
    if MANIFEST not in archive.namelist():  # a truncated file may show the archive inside golden.npz
        raise BundleError(f"{file}: not a bundle, or truncated (no {MANIFEST} inside); copy it again")
    size = archive.getinfo(MANIFEST).file_size
    if size > _LARGEST[MANIFEST]:
        raise BundleError(f"{file}: its {MANIFEST} has {size:,} bytes, at most {_LARGEST[MANIFEST]:,}; do not trust it")
    return parse(archive.read(MANIFEST), f"{file}/{MANIFEST}")


def _check_places(file: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Raise unless every member lies inside the bundle, and once."""
    seen: set[str] = set()
    for member in members:
        inside = PurePosixPath(member.filename)
        if inside.is_absolute() or ".." in inside.parts:
            raise BundleError(f"{file}: {member.filename!r} points outside the bundle; do not trust this file")
        if member.filename in seen:
            raise BundleError(f"{file}: {member.filename!r} is there twice; do not trust this file")
        seen.add(member.filename)


def _check_members(file: Path, members: Sequence[zipfile.ZipInfo], manifest: Mapping[str, Any]) -> None:
    """Raise unless every member is a file of the manifest and no larger than it says."""
    sizes = manifest.get(SIZES)
    for member in members:
        name = member.filename
        if member.is_dir():
            continue
        if name not in _LARGEST and name not in manifest["files"]:
            raise BundleError(f"{file}: {name!r} is not in the manifest; do not trust this file")
        if sizes is None and member.compress_type != zipfile.ZIP_STORED:  # a stored one is no larger than the archive
            raise BundleError(
                f"{file}: {name!r} is compressed, and a manifest of version {manifest['version']} does not say how "
                "large it becomes; unpack it yourself, if you trust it, and name the folder"
            )
        largest = _LARGEST[name] if name in _LARGEST else member.compress_size if sizes is None else sizes[name]
        if member.file_size > largest:
            raise BundleError(
                f"{file}: {name!r} has {member.file_size:,} bytes, not {largest:,}; do not trust this file"
            )
