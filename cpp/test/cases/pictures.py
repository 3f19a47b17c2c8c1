"""PNG and JPEG files of every kind, and the pixels that Python reads from them.

``pictures.json`` has the verdict on each; ``pixels.npz`` holds RGB (H, W, 3) by the file's name.
"""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np

from edgekit.core.errors import DataError
from edgekit.core.pixels import decompress
from edgekit.core.tensors import Array

RANDOM = np.random.default_rng(5)
HEIGHT, WIDTH = 21, 34


def write(folder: Path) -> None:
    verdicts, pixels = {}, {}
    for name, content in _files().items():
        (folder / name).write_bytes(content)
        try:
            pixels[name] = decompress(content)
            verdicts[name] = "reads"
        except DataError as error:
            verdicts[name] = str(error)
    (folder / "pictures.json").write_text(json.dumps(verdicts, indent=1))
    np.savez_compressed(folder / "pixels.npz", **pixels)


def _files() -> dict[str, bytes]:
    import cv2

    small = RANDOM.integers(0, 255, (4, 6, 3), np.uint8)
    scene = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    wide = RANDOM.integers(0, 65535, (HEIGHT, WIDTH, 4), np.uint16)
    made = {
        "grey.png": _encoded(".png", scene[..., 0]),
        "colour.png": _encoded(".png", scene),
        "alpha.png": _encoded(".png", np.dstack([scene, scene[..., :1]])),
        "grey16.png": _encoded(".png", wide[..., 0]),
        "colour16.png": _encoded(".png", wide[..., :3]),
        "alpha16.png": _encoded(".png", wide),
        "one-pixel.png": _encoded(".png", scene[:1, :1]),
        "padded.png": _encoded(".png", scene) + bytes(1000),
        "colour.jpg": _encoded(".jpg", scene, cv2.IMWRITE_JPEG_QUALITY, 90),
        "full-chroma.jpg": _encoded(".jpg", scene, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111),
        "half-chroma.jpg": _encoded(".jpg", scene, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x211111),
        "grey.jpg": _encoded(".jpg", scene[..., 0]),
        "progressive.jpg": _encoded(".jpg", scene, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "restarts.jpg": _encoded(".jpg", scene, cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    }
    made["padded.jpg"] = made["colour.jpg"] + bytes(7000)
    made["padded-far.jpg"] = made["colour.jpg"] + bytes(70000)
    made["rotated.jpg"] = made["colour.jpg"][:2] + _exif(6) + made["colour.jpg"][2:]
    made |= {f"grey{bits}.png": _grey(bits) for bits in (1, 2, 4)}
    made |= {f"palette{bits}.png": _palette(bits) for bits in (1, 2, 4, 8)}
    made["transparent-palette.png"] = _palette(8, _chunk(b"tRNS", bytes(range(200))))
    made["transparent-colour.png"] = _png(scene, 2, 8, _chunk(b"tRNS", struct.pack(">3H", *map(int, scene[0, 0]))))
    made["gamma.png"] = _png(scene, 2, 8, _chunk(b"gAMA", struct.pack(">I", 45455 // 3)))
    made["interlaced.png"] = _interlaced(scene)
    for name in ("colour.png", "colour.jpg", "progressive.jpg"):
        content = made[name]
        stem, suffix = name.split(".")
        made |= {f"{stem}-cut-{share}.{suffix}": content[: len(content) * share // 100] for share in (1, 30, 70, 99)}
    made["no-end.png"] = made["colour.png"][:-12]
    made["junk-behind.png"] = made["colour.png"] + b"x" * 1000
    made["wrong-crc.png"] = _flipped(made["colour.png"], made["colour.png"].index(b"IDAT") + 10)
    made["no-pixels.png"] = b"\x89PNG\r\n\x1a\n" + _header(4, 4, 2, 8) + _chunk(b"IEND", b"")
    made["large.png"] = b"\x89PNG\r\n\x1a\n" + _header(60000, 60000, 2, 8) + _chunk(b"IDAT", b"") + _chunk(b"IEND", b"")
    made["empty.png"] = b""
    made["text.png"] = b"no picture IEND"
    made["bitmap.png"] = b"BM" + bytes(100)
    return made


def _encoded(suffix: str, picture: Array, *options: int) -> bytes:
    import cv2

    good, content = cv2.imencode(suffix, picture, options)
    assert good
    return content.tobytes()


def _flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def _exif(orientation: int) -> bytes:
    """A marker of Exif data that says only how the picture is to be turned."""
    tags = b"II*\0" + struct.pack("<I", 8) + struct.pack("<HHHIHHI", 1, 0x112, 3, 1, orientation, 0, 0)
    return b"\xff\xe1" + struct.pack(">H", len(tags) + 8) + b"Exif\0\0" + tags


# --- PNG as its specification (ISO/IEC 15948) lays it out, where no encoder here writes it ----


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _header(height: int, width: int, kind: int, bits: int, interlaced: int = 0) -> bytes:
    return _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, interlaced))


def _rows(rows: Array) -> bytes:
    """Packed rows, each behind the number of its filter, which is none."""
    return b"".join(b"\0" + row.tobytes() for row in rows)


def _png(rows: Array, kind: int, bits: int, before: bytes = b"", width: int = WIDTH) -> bytes:
    pixels = _chunk(b"IDAT", zlib.compress(_rows(rows)))
    return b"\x89PNG\r\n\x1a\n" + _header(len(rows), width, kind, bits) + before + pixels + _chunk(b"IEND", b"")


def _packed(bits: int) -> Array:
    """Random values of so many bits, as many to a byte as there is room for."""
    values = RANDOM.integers(0, 2**bits, (HEIGHT, WIDTH), np.uint8)
    singles = np.unpackbits(values[..., None], axis=2)[..., 8 - bits :]
    return np.packbits(singles.reshape(HEIGHT, -1), axis=1)


def _grey(bits: int) -> bytes:
    return _png(_packed(bits), 0, bits)


def _palette(bits: int, more: bytes = b"") -> bytes:
    return _png(_packed(bits), 3, bits, _chunk(b"PLTE", RANDOM.bytes(3 * 2**bits)) + more)


def _interlaced(scene: Array) -> bytes:
    """Adam7: seven passes over ever finer grids."""
    starts = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    passes = b"".join(_rows(np.ascontiguousarray(scene[top::down, left::right])) for top, left, down, right in starts)
    body = _header(HEIGHT, WIDTH, 2, 8, 1) + _chunk(b"IDAT", zlib.compress(passes)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
