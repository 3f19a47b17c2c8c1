"""Image files on disk, shared by the dataset formats: list, subset, read, fingerprint.

OpenCV fills the missing part of a truncated JPEG with grey and reports success (``imread`` always,
``imdecode`` before version 5).  A dataset must not score such a frame, so the structure of a file is
checked before it is decoded.  Damage inside the compressed data of a whole JPEG cannot be seen.
"""

from __future__ import annotations

import contextlib
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgekit.core.artifacts import sha256_file, sha256_of
from edgekit.core.errors import DataError, os_reason
from edgekit.core.tensors import Array
from edgekit.data._exif import SWAPPING, as_stored, has_pages, is_tiff, orientation, upright

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".webp", ".ppm", ".pgm", ".pbm", ".pnm", ".tif", ".tiff")
LOSSLESS = (".png", ".bmp", ".pgm", ".tif", ".tiff")
LOSSLESS_COLOURS = (*LOSSLESS, ".ppm", ".pnm")
UNREADABLE = (
    *(".avif", ".cr2", ".cr3", ".arw", ".nef", ".dng", ".raw", ".dcm", ".exr", ".gif", ".hdr", ".heic", ".heif"),
    *(".jp2", ".j2k", ".jxl", ".pam", ".pfm", ".svg", ".tga"),
)
"""Endings of images that OpenCV does not read everywhere: leaving them out silently would change the dataset."""
PIXELS = ("uint8", "uint16", "float32")
_PNG = b"\x89PNG\r\n\x1a\n"
# In the compressed data of a JPEG, FF is a marker unless 00 (a stuffed byte), a restart (D0..D7) or a fill FF follows.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
# P2, P3, P5, P6: width, height, white; a comment may stand before each.
_NETPBM = re.compile(rb"P[2356](?:\s+#[^\n]*)*\s+\d+(?:\s+#[^\n]*)*\s+\d+(?:\s+#[^\n]*)*\s+(\d{1,5})\s")

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
        DataError: the folder is missing or holds no image, two images have one stem, or there are images
            of a kind that cannot be read.
    """
    require_folder(folder, key)
    shown = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    found = [path for path in shown if path.suffix.lower() in SUFFIXES]
    other = [path for path in shown if path.suffix.lower() in UNREADABLE]
    if other:
        more = f" and {len(other) - 1} more" if other[1:] else ""
        raise DataError(
            f"{other[0]}{more}: images of this kind are not read; convert them to PNG or TIFF, or move them away"
        )
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


def read_image(path: Path, follow: bool = True) -> Array:
    """The image as RGB ``(H, W, 3)`` of uint8, uint16 or float32, turned as its EXIF orientation says if ``follow``.

    Grey images get three equal channels, alpha is dropped; the values are the file's own.

    Raises:
        DataError: the file is missing, truncated or corrupt, or its pixels are of another type.
    """
    return _read_image(path, follow)[0]


def _read_image(path: Path, follow: bool) -> tuple[Array, int]:
    """The image, and the orientation that it was stored with."""
    content = _content(path, "image")
    turned = orientation(content) if follow else 1
    return upright(_pixels(path, content), turned), turned


def _pixels(path: Path, content: bytes) -> Array:
    """RGB ``(H, W, 3)``, as stored."""
    import cv2

    if is_tiff(content):
        if has_pages(content):
            raise DataError(
                f"{path}: holds several images, of which one would be taken; save each in a file of its own"
            )
        with _quietly():
            pixels = _decode(path, as_stored(content), cv2.IMREAD_UNCHANGED)
    else:
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
        pixels = _decode(path, content, flags)
    if pixels.dtype.name not in PIXELS:
        raise DataError(f"{path}: the image has {pixels.dtype} pixels; expected {', '.join(PIXELS)}: save it so")
    if pixels.ndim == 2:
        return np.dstack([pixels] * 3)
    if pixels.shape[2] not in (3, 4):
        raise DataError(f"{path}: the image has {pixels.shape[2]} channels; expected 1, 3 or 4 (the last is dropped)")
    return np.asarray(cv2.cvtColor(pixels[..., :3], cv2.COLOR_BGR2RGB))


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """OpenCV writes its TIFF library's complaints to stderr; the error that is raised says what is needed."""
    import cv2

    before = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(before)


def read_mask(path: Path) -> NDArray[np.uint8]:
    """The class ids of a mask as uint8 ``(H, W)``, turned as its own EXIF orientation says.

    Raises:
        DataError: the file is missing, truncated, corrupt or lossy, or it is not
            single-channel with 8 bits, so that its values are not class ids.
    """
    return _read_mask(path, follow=True)[0]


def _read_colours(path: Path, follow: bool) -> tuple[Array, int]:
    """The colours of a mask as uint8 RGB ``(H, W, 3)``, of a palette too, and the orientation that was followed."""
    import cv2

    if path.suffix.lower() not in LOSSLESS_COLOURS:
        raise DataError(f"{path}: {path.suffix} is a lossy format, which changes colours; save the mask as PNG")
    content = _content(path, "mask")
    with _quietly():
        pixels = _decode(path, as_stored(content) if is_tiff(content) else content, cv2.IMREAD_UNCHANGED)
    if pixels.dtype != np.uint8:
        raise DataError(
            f"{path}: the mask is {pixels.dtype}; expected colours of 8 bits a channel: save it as such a PNG"
        )
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    turned = orientation(content) if follow else 1
    return upright(np.ascontiguousarray(pixels[..., 2::-1]), turned), turned


def _read_mask(path: Path, follow: bool) -> tuple[NDArray[np.uint8], int]:
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
    with _quietly():
        mask = _decode(path, as_stored(content) if is_tiff(content) else content, cv2.IMREAD_UNCHANGED)
    if mask.ndim != 2:
        raise DataError(f"{path}: the mask has {mask.shape[2]} channels; expected 1 that holds class ids: {fix}")
    if mask.dtype != np.uint8:
        raise DataError(f"{path}: the mask is {mask.dtype}; expected uint8: {fix}")
    turned = orientation(content) if follow else 1
    return np.asarray(upright(mask, turned), np.uint8), turned


def read_pair(
    image: Path, mask: Path, ids: Callable[[Path, Array], NDArray[np.uint8]] | None = None, follow: bool = True
) -> tuple[Array, NDArray[np.uint8]]:
    """An image and its mask, both as they are to be seen: each turned as its own EXIF orientation says.

    ``ids`` makes class ids ``(H, W)`` of a mask of colours, uint8 RGB ``(H, W, 3)``.

    A mask without one, beside an image that has one, belongs to the upright or to the stored image: its size decides.
    Without ``follow`` both are as they are stored.

    Raises:
        DataError: one of them cannot be read, their sizes differ, or the mask may be of either.
    """
    pixels, turned = _read_image(image, follow)
    labels, mask_turned = _read_mask(mask, follow) if ids is None else _read_colours(mask, follow)
    if ids is not None:
        labels = ids(mask, labels)
    if turned != 1 and mask_turned == 1:
        labels = _turned_with(image, pixels.shape[:2], turned, mask, labels)
    if pixels.shape[:2] != labels.shape:
        raise DataError(
            f"{mask}: the mask is {labels.shape[1]}x{labels.shape[0]}, but its image {image.name} is "
            f"{pixels.shape[1]}x{pixels.shape[0]} (width x height); make the mask in the image's size"
        )
    return pixels, labels


def _turned_with(
    image: Path, size: tuple[int, ...], turned: int, mask: Path, labels: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    height, width = size
    swaps = turned in SWAPPING and height != width
    if swaps and labels.shape == (width, height):
        return np.asarray(upright(labels, turned), np.uint8)
    if not swaps and labels.shape == (height, width):
        raise DataError(
            f"{mask}: has no EXIF orientation, and its image {image.name} has number {turned}, so the mask may be of "
            "the image as it is stored or as it is seen; save the image upright and without the orientation, or set "
            "orientation: ignore (format image_mask) when both are as stored"
        )
    return labels


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
    header = _NETPBM.match(content)
    if header and int(header[1]) < 255:  # some programs stretch such values, others do not
        raise DataError(
            f"{path}: white is {int(header[1])} in this Netpbm file; expected 255 or more: write it with 255"
        )
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
