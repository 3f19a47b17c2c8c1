"""Camera pixel formats, against pictures that OpenCV or plain indexing made of them."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.core.errors import DataError
from edgekit.core.pixels import ENCODINGS, RawImage, decompress, to_rgb

HEIGHT, WIDTH = 6, 8


def picture(dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    top = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, top, (HEIGHT, WIDTH, 3), dtype, endpoint=True)


def raw(encoding: str, pixels: np.ndarray, padding: int = 0, big_endian: bool = False) -> RawImage:
    """An image message's fields of an array whose rows are padded with ``padding`` bytes of rubbish."""
    stored = pixels.astype(pixels.dtype.newbyteorder(">")) if big_endian else pixels
    rows = np.ascontiguousarray(stored).reshape(len(pixels), -1).view(np.uint8)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=171)
    return RawImage(HEIGHT, WIDTH, encoding, padded.shape[1], padded.tobytes(), big_endian)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("rgb", lambda x: x),
        ("bgr", lambda x: x[..., ::-1]),
        ("rgba", lambda x: np.concatenate([x, x[..., :1]], axis=2)),
        ("bgra", lambda x: np.concatenate([x[..., ::-1], x[..., :1]], axis=2)),
    ],
)
@pytest.mark.parametrize("padding", [0, 10])
def test_interleaved_colours(name, stored, dtype, padding):
    image = picture(dtype)
    bits = np.iinfo(dtype).bits
    for big_endian in (False, True):
        found = to_rgb(raw(f"{name}{bits}", stored(image), padding, big_endian and bits == 16))
        assert found.dtype == dtype
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize(("encoding", "dtype"), [("mono8", "uint8"), ("mono16", "uint16"), ("16UC1", "uint16")])
def test_grey_becomes_three_equal_channels(encoding, dtype):
    grey = picture(dtype)[..., 0]
    np.testing.assert_array_equal(to_rgb(raw(encoding, grey, 4)), np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize(
    ("encoding", "colours"), [("rggb", "RGGB"), ("bggr", "BGGR"), ("gbrg", "GBRG"), ("grbg", "GRBG")]
)
@pytest.mark.parametrize("bits", [8, 16])
def test_bayer_of_one_colour_is_that_colour(encoding, colours, bits):
    """A surface of one colour shows which pixel of a pattern is taken for which channel."""
    colour = {"R": 200, "G": 90, "B": 30}
    pattern = np.array([[colour[c] for c in colours[:2]], [colour[c] for c in colours[2:]]], f"uint{bits}")
    mosaic = np.tile(pattern, (HEIGHT // 2, WIDTH // 2))
    found = to_rgb(raw(f"bayer_{encoding}{bits}", mosaic))
    np.testing.assert_array_equal(found[1:-1, 1:-1], np.broadcast_to([200, 90, 30], (HEIGHT - 2, WIDTH - 2, 3)))


def smooth() -> np.ndarray:
    """A picture whose pairs of pixels have one colour, as chroma is stored for two."""
    return np.repeat(np.repeat(picture()[::2, ::2] // 2 + 50, 2, axis=0), 2, axis=1)


@pytest.mark.parametrize("encoding", ["yuyv", "yuv422_yuy2", "uyvy", "yuv422", "nv12", "nv21"])
def test_yuv_comes_back(encoding):
    image = smooth()
    planes = cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420)
    luma = planes[:HEIGHT]
    u, v = (
        planes[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2)[0],
        planes[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2)[1],
    )
    if encoding in ("nv12", "nv21"):
        pair = (u, v) if encoding == "nv12" else (v, u)
        stored = np.concatenate([luma, np.stack(pair, axis=-1).reshape(HEIGHT // 2, WIDTH)])
    else:
        chroma = np.stack([np.repeat(u, 2, axis=0), np.repeat(v, 2, axis=0)], axis=-1).reshape(HEIGHT, WIDTH)
        pair = (luma, chroma) if encoding in ("yuyv", "yuv422_yuy2") else (chroma, luma)
        stored = np.stack(pair, axis=-1)
    found = to_rgb(raw(encoding, stored, padding=6))
    assert np.abs(found.astype(int) - image).max() <= 4


@given(st.sampled_from(sorted(ENCODINGS)), st.integers(1, 200))
def test_truncated_data_are_refused(encoding, lacking):
    dtype = np.dtype(ENCODINGS[encoding].dtype)
    rows, step = int(HEIGHT * ENCODINGS[encoding].rows), WIDTH * ENCODINGS[encoding].channels * dtype.itemsize
    data = bytes(rows * step)
    to_rgb(RawImage(HEIGHT, WIDTH, encoding, step, data))
    with pytest.raises(DataError, match=r"truncated: \d+ bytes instead of"):
        to_rgb(RawImage(HEIGHT, WIDTH, encoding, step, data[: max(0, len(data) - lacking)]))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (RawImage(6, 8, "rgb88", 24, b""), "encoding 'rgb88' cannot be read; did you mean 'rgb8'"),
        (RawImage(6, 8, "32FC1", 32, b""), "encoding '32FC1' cannot be read"),
        (RawImage(0, 8, "rgb8", 24, b""), "0 x 8 pixels has no content"),
        (RawImage(6, 8, "rgb8", 23, bytes(200)), "step 23 does not fit 8 pixels of rgb8, which are 24 bytes a row"),
        (RawImage(6, 8, "mono16", 17, bytes(200)), "step 17 does not fit"),
        (RawImage(6, 7, "yuyv", 14, bytes(200)), "yuyv needs even sizes"),
        (RawImage(5, 8, "nv12", 8, bytes(200)), "nv12 needs even sizes"),
    ],
)
def test_what_does_not_fit_is_refused(image, message):
    with pytest.raises(DataError, match=message):
        to_rgb(image)


def test_compressed_pictures():
    image = picture("uint16")
    for dtype in ("uint8", "uint16"):
        shown = image.astype(dtype)
        content = cv2.imencode(".png", shown[..., ::-1])[1].tobytes()
        np.testing.assert_array_equal(decompress(content), shown)
    grey = cv2.imencode(".jpg", np.full((16, 16), 90, np.uint8))[1].tobytes()
    np.testing.assert_array_equal(decompress(grey + bytes(100)), np.full((16, 16, 3), 90))


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_half_a_picture_is_none(suffix):
    big = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    content = cv2.imencode(suffix, big)[1].tobytes()
    for length in (0, 3, len(content) // 2, len(content) - 600):
        with pytest.raises(DataError, match=r"is no whole JPEG or PNG"):
            decompress(content[:length])


def test_a_picture_that_claims_more_pixels_than_can_be() -> None:
    """A few bytes can say any size; OpenCV has a limit of its own, and says so by an error of its own."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    with pytest.raises(DataError, match=r"is no whole JPEG or PNG"):
        decompress(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
