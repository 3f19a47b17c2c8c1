"""The orientation that an image file's EXIF data ask for, and images turned by it.

Read here and not by OpenCV, whose versions differ in the formats that they follow it for.  CIPA DC-008 (Exif 2.32),
tag 0x0112; where the data are: JPEG's APP1 segment, PNG's eXIf chunk, WebP's EXIF chunk, TIFF's first directory.
"""

from __future__ import annotations

import numpy as np

from edgekit.core.tensors import Array

_ORIENTATION = 0x0112
_SUBFILE = 0x00FE
_PNG = b"\x89PNG\r\n\x1a\n"
SWAPPING = (5, 6, 7, 8)
"""Orientations that swap height and width."""


def is_tiff(content: bytes) -> bool:
    """Whether a file begins as TIFF does."""
    return content[:4] in (b"II*\0", b"MM\0*")


def orientation(content: bytes) -> int:
    """1 (upright) to 8; 1 when the file says nothing, or nothing that can be."""
    block = _block(content)
    at = _value_at(block, _number(block, 4, 4), _ORIENTATION) if is_tiff(block) else 0
    found = _number(block, at, 2) if at else 1
    return found if 1 <= found <= 8 else 1


def as_stored(tiff: bytes) -> bytes:
    """A TIFF file that says it is upright: OpenCV turns this format whatever flags it gets."""
    at = _value_at(tiff, _number(tiff, 4, 4), _ORIENTATION)
    one = b"\0\1" if tiff[:2] == b"MM" else b"\1\0"
    return tiff[:at] + one + tiff[at + 2 :] if at else tiff


def upright(image: Array, turned: int) -> Array:
    """``image`` ``(H, W, ...)``, stored with the orientation ``turned``, as it is to be seen."""
    if turned in SWAPPING:
        image = image.swapaxes(0, 1)
    down, across = turned in (3, 4, 7, 8), turned in (2, 3, 6, 7)
    return np.ascontiguousarray(image[:: -1 if down else 1, :: -1 if across else 1])


def _block(content: bytes) -> bytes:
    """The TIFF structure that holds the EXIF data; empty when there is none."""
    if is_tiff(content):
        return content
    if content.startswith(b"\xff\xd8"):
        return _of_jpeg(content)
    if content.startswith(_PNG):
        return _of_chunks(content, len(_PNG), b"eXIf", big=True)
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return _of_chunks(content, 12, b"EXIF", big=False).removeprefix(b"Exif\0\0")
    return b""


def _of_jpeg(content: bytes) -> bytes:
    at = 2
    while content[at : at + 1] == b"\xff" and content[at + 1 : at + 2] not in (b"\xda", b"\xd9", b""):
        size = int.from_bytes(content[at + 2 : at + 4], "big")
        segment = content[at + 4 : at + 2 + size]
        if content[at + 1] == 0xE1 and segment.startswith(b"Exif\0\0"):
            return segment[6:]
        at += 2 + max(size, 2)
    return b""


def _of_chunks(content: bytes, at: int, wanted: bytes, big: bool) -> bytes:
    """PNG (big-endian): length, type, data, CRC.  RIFF: type, length, data, padded to an even length."""
    while at + 8 <= len(content):
        first, second = content[at : at + 4], content[at + 4 : at + 8]
        size, kind = (int.from_bytes(first, "big"), second) if big else (int.from_bytes(second, "little"), first)
        if kind == wanted:
            return content[at + 8 : at + 8 + size]
        at += 12 + size if big else 8 + size + size % 2
    return b""


def has_pages(tiff: bytes) -> bool:
    """Whether a TIFF file holds a second image that is no reduced copy of the first."""
    first = _number(tiff, 4, 4)
    second = _number(tiff, first + 2 + 12 * _number(tiff, first, 2), 4)
    if second == 0:
        return False
    kind = _value_at(tiff, second, _SUBFILE)
    return not (kind and _number(tiff, kind, 4) & 1)


def _value_at(block: bytes, directory: int, tag: int) -> int:
    """Where ``tag`` has its value in a directory, whose 12-byte entries are tag, type, count, value.  0: nowhere."""
    for index in range(_number(block, directory, 2)):
        at = directory + 2 + 12 * index
        if at + 12 > len(block):
            return 0
        if _number(block, at, 2) == tag:
            return at + 8
    return 0


def _number(block: bytes, at: int, size: int) -> int:
    part = block[at : at + size]
    return int.from_bytes(part, "big") if block[:2] == b"MM" else int.from_bytes(part, "little")
