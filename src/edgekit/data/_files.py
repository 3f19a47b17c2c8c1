"""Image files on disk, shared by the dataset formats: list, subset, read, fingerprint.

OpenCV fills the missing part of a truncated JPEG with grey and reports success (``imread`` always,
``imdecode`` before version 5).  A dataset must not score such a frame, so the structure of a file is
checked before it is decoded.  Damage inside the compressed data of a whole JPEG cannot be seen.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgekit.core.artifacts import sha256_file, sha256_of
from edgekit.core.errors import DataError, os_reason
from edgekit.core.tensors import Array

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
LOSSLESS = (".png", ".bmp")
_PNG = b"\x89PNG\r\n\x1a\n"
# In the compressed data of a JPEG, FF is a marker unless 00 (a stuffed byte), a restart (D0..D7) or a fill FF follows.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")

Item = TypeVar("Item")


def require_folder(path: Path, key: str) -> Path:
    """``path``, or a :class:`DataError` that names the spec's ``key``."""
    if not path.exists():
        raise DataError(f"{path}: no such folder; point the key '{key}' to a folder that exists")
    if not path.is_dir():
        raise DataError(f"{path}: is a file; the key '{key}' needs a folder")
    return path


def list_images(folder: Path, key: str) -> list[Path]:
    """Image files directly in ``folder``, sorted by name; hidden files are left out.

    Raises:
        DataError: the folder is missing or holds no image, or two images have one stem.
    """
    require_folder(folder, key)
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    if not found:
        raise DataError(f"{folder}: holds no image; expected files that end in {', '.join(SUFFIXES)}")
    stems: dict[str, Path] = {}
    for path in found:
        if path.stem in stems:
            raise DataError(
                f"{path}: has the same stem as {stems[path.stem].name}, but the stem is the frame's id; rename one"
            )
        stems[path.stem] = path
    return found


def evenly_spaced(items: Sequence[Item], limit: int | None) -> list[Item]:
    """``limit`` items spread over all of ``items`` in their order, the first included; all when there are fewer."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[i * len(items) // limit] for i in range(limit)]


def fingerprint(name: str, root: Path, files: Iterable[Path]) -> str:
    """Hex SHA-256 over ``name``, and over the names relative to ``root`` and contents of ``files`` in order.

    Raises:
        DataError: a file cannot be read.
    """
    entries = []
    for path in files:
        try:
            entries.append([path.relative_to(root).as_posix(), sha256_file(path)])
        except OSError as error:
            raise _unreadable(path, error) from error
    return sha256_of({"format": name, "files": entries})


def read_image(path: Path) -> NDArray[np.uint8]:
    """The image as uint8 RGB ``(H, W, 3)``, turned as its EXIF orientation says.

    Grey images get three equal channels, alpha is dropped, 16-bit values are scaled to 8 bits.

    Raises:
        DataError: the file is missing, truncated or corrupt.
    """
    import cv2

    pixels = _decode(path, _content(path, "image"), cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def read_mask(path: Path) -> NDArray[np.uint8]:
    """The class ids of a mask as uint8 ``(H, W)``.

    Raises:
        DataError: the file is missing, truncated, corrupt or lossy, or it is not
            single-channel with 8 bits, so that its values are not class ids.
    """
    import cv2

    fix = "save class ids as an 8-bit single-channel PNG"
    if path.suffix.lower() not in LOSSLESS:
        raise DataError(f"{path}: {path.suffix} is a lossy format, which changes class ids; {fix}")
    content = _content(path, "mask")
    if content.startswith(_PNG) and len(content) > 25:
        bits, colour = content[24], content[25]  # in the IHDR chunk, which comes first
        if colour == 3:  # OpenCV would give the palette's colours
            raise DataError(f"{path}: the mask is a palette PNG; expected class ids in one grey channel: {fix}")
        if bits < 8:  # OpenCV would stretch the values to 0..255
            raise DataError(f"{path}: the mask has {bits} bits a pixel; expected 8: {fix}")
    mask = _decode(path, content, cv2.IMREAD_UNCHANGED)
    if mask.ndim != 2:
        raise DataError(f"{path}: the mask has {mask.shape[2]} channels; expected 1 that holds class ids: {fix}")
    if mask.dtype != np.uint8:
        raise DataError(f"{path}: the mask is {mask.dtype}; expected uint8: {fix}")
    return np.asarray(mask, np.uint8)


def read_pair(image: Path, mask: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An image and its mask.

    Raises:
        DataError: one of them cannot be read, or their sizes differ.
    """
    pixels, labels = read_image(image), read_mask(mask)
    if pixels.shape[:2] != labels.shape:
        raise DataError(
            f"{mask}: the mask is {labels.shape[1]}x{labels.shape[0]}, but its image {image.name} is "
            f"{pixels.shape[1]}x{pixels.shape[0]} (width x height); make the mask in the image's size"
        )
    return pixels, labels


def _unreadable(path: Path, error: OSError) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path}: no such file; restore it or take it out of the dataset")
    return DataError(f"{path}: cannot be read: {os_reason(error)}; check its permissions")


def _content(path: Path, what: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    if not content:
        raise DataError(f"{path}: the {what} is an empty file; copy it again from its source")
    problem = _damage(content)
    if problem:
        raise DataError(f"{path}: the {what} is {problem}; copy it again from its source")
    return content


def _decode(path: Path, content: bytes, flags: int) -> Array:
    import cv2

    try:
        decoded: Any = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error as error:
        raise _undecodable(path) from error
    if decoded is None:
        raise _undecodable(path)
    return np.asarray(decoded)


def _undecodable(path: Path) -> DataError:
    return DataError(f"{path}: cannot be decoded; it is corrupt or no image: copy it again from its source")


def _damage(content: bytes) -> str:
    """What is wrong with the structure of a file; empty when nothing is, or when the format has no check."""
    if content.startswith(b"\xff\xd8"):
        return "" if _jpeg_ends(content) else "a truncated JPEG: its end marker is missing"
    if content.startswith(_PNG):
        return _png_damage(content)
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        wanted = int.from_bytes(content[4:8], "little") + 8
        return "" if len(content) >= wanted else f"a truncated WebP: {len(content)} of {wanted} bytes"
    return ""


def _jpeg_ends(content: bytes) -> bool:
    """Walk the segments (ITU-T T.81, annex B) to the end marker; a thumbnail's own end marker does not count."""
    at = 2
    while match := _MARKER.search(content, at):
        marker, at = content[match.end() - 1], match.end()
        if marker == 0xD9:
            return True
        if marker != 0x01:  # TEM alone stands without a length
            at += int.from_bytes(content[at : at + 2], "big")
    return False


def _png_damage(content: bytes) -> str:
    """Walk the chunks (ISO/IEC 15948, clause 5.3): length, type, data, CRC of type and data."""
    at = len(_PNG)
    while at + 12 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        end = at + 12 + size
        if end > len(content):
            break
        kind = content[at + 4 : at + 8]
        if zlib.crc32(content[at + 4 : end - 4]) != int.from_bytes(content[end - 4 : end], "big"):
            return f"a corrupt PNG: the checksum of its {kind.decode('latin-1')!r} chunk does not match"
        if kind == b"IEND":
            return ""
        at = end
    return "a truncated PNG: its end is missing"
