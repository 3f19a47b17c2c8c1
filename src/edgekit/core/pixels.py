"""What a camera sends, to the RGB image that a model's preprocessing takes.

The names of encodings are those of ROS 2 (``sensor_msgs/image_encodings.hpp``); bags and nodes use this one module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import DataError
from edgekit.core.suggest import allowed
from edgekit.core.tensors import Array

Buffer: TypeAlias = "bytes | bytearray | memoryview | NDArray[np.uint8]"
_ToRgb = Callable[[Array], Array]


@dataclass(frozen=True)
class RawImage:
    """An uncompressed image as ``sensor_msgs/msg/Image`` holds it.

    ``step`` is the length of a row in bytes, which may be longer than its pixels; ``data`` is any buffer of bytes.
    """

    height: int
    width: int
    encoding: str
    step: int
    data: Buffer
    big_endian: bool = False


@dataclass(frozen=True)
class _Encoding:
    """How pixels lie in memory: ``channels`` values of ``dtype`` a pixel; ``rows`` of the buffer for each image row."""

    dtype: str
    channels: int
    to_rgb: _ToRgb
    rows: float = 1.0


def _same(image: Array) -> Array:
    return image


def _converted(code: str) -> _ToRgb:
    def convert(image: Array) -> Array:
        import cv2

        return cv2.cvtColor(image, int(getattr(cv2, f"COLOR_{code}")))

    return convert


_from_bgr, _from_grey = _converted("BGR2RGB"), _converted("GRAY2RGB")
# OpenCV names a Bayer pattern after its second row and column: ROS's RGGB, the top left pixels, is its BG.
_BAYER = {"rggb": "BayerBG2RGB", "bggr": "BayerRG2RGB", "gbrg": "BayerGR2RGB", "grbg": "BayerGB2RGB"}
_INTERLEAVED: dict[str, tuple[int, _ToRgb]] = {
    "rgb": (3, _same),
    "bgr": (3, _from_bgr),
    "rgba": (4, _converted("RGBA2RGB")),
    "bgra": (4, _converted("BGRA2RGB")),
    "mono": (1, _from_grey),
}
ENCODINGS: dict[str, _Encoding] = {
    **{
        f"{name}{bits}": _Encoding(f"u{bits // 8}", channels, convert)
        for name, (channels, convert) in _INTERLEAVED.items()
        for bits in (8, 16)
    },
    **{
        f"bayer_{name}{bits}": _Encoding(f"u{bits // 8}", 1, _converted(code))
        for name, code in _BAYER.items()
        for bits in (8, 16)
    },
    "8UC1": _Encoding("u1", 1, _from_grey),
    "16UC1": _Encoding("u2", 1, _from_grey),
    # OpenCV's own pictures, which are BGR, carry these names.
    "8UC3": _Encoding("u1", 3, _from_bgr),
    "16UC3": _Encoding("u2", 3, _from_bgr),
    "8UC4": _Encoding("u1", 4, _converted("BGRA2RGB")),
    "yuyv": _Encoding("u1", 2, _converted("YUV2RGB_YUY2")),
    "yuv422_yuy2": _Encoding("u1", 2, _converted("YUV2RGB_YUY2")),
    "uyvy": _Encoding("u1", 2, _converted("YUV2RGB_UYVY")),
    "yuv422": _Encoding("u1", 2, _converted("YUV2RGB_UYVY")),
    "nv12": _Encoding("u1", 1, _converted("YUV2RGB_NV12"), rows=1.5),
    "nv21": _Encoding("u1", 1, _converted("YUV2RGB_NV21"), rows=1.5),
}
"""Every encoding that can be read.  YUV is BT.601 in video range, as OpenCV and image_transport take it."""
_ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89PNG": b"IEND"}
_TAIL = 65536  # cameras pad their last packet with zeros
_HALVED = {"yuyv", "yuv422_yuy2", "uyvy", "yuv422", "nv12", "nv21"}


def to_rgb(raw: RawImage) -> Array:
    """RGB ``(H, W, 3)``, uint8 or uint16 by the encoding; a copy, unless the data are RGB already.

    Values are not scaled: 12 bits in 16 stay below 4,096.

    Raises:
        DataError: the encoding is not known, the size does not fit it, or the data are shorter than they should be.
    """
    encoding = ENCODINGS.get(raw.encoding)
    if encoding is None:
        raise DataError(f"encoding {raw.encoding!r} cannot be read; {allowed(raw.encoding, tuple(ENCODINGS))}")
    if raw.height < 1 or raw.width < 1:
        raise DataError(f"an image of {raw.height} x {raw.width} pixels has no content; check the camera's driver")
    if raw.encoding in _HALVED and (raw.width % 2 or (encoding.rows != 1 and raw.height % 2)):
        raise DataError(f"{raw.encoding} needs even sizes, the image has {raw.height} x {raw.width} pixels")
    return np.ascontiguousarray(encoding.to_rgb(_rows(raw, encoding)))


def _rows(raw: RawImage, encoding: _Encoding) -> Array:
    """The pixels as an array in the machine's byte order, without what pads the rows."""
    dtype = np.dtype(encoding.dtype).newbyteorder(">" if raw.big_endian else "<")
    row = raw.width * encoding.channels * dtype.itemsize
    if raw.step < row or raw.step % dtype.itemsize:
        raise DataError(
            f"step {raw.step} does not fit {raw.width} pixels of {raw.encoding}, which are {row} bytes a row; "
            "check the camera's driver"
        )
    rows = int(raw.height * encoding.rows)
    data = np.frombuffer(raw.data, np.uint8)
    needed = (rows - 1) * raw.step + row  # the last row may come without its padding
    if data.size < needed:
        raise DataError(
            f"the data are truncated: {data.size} bytes instead of {needed} for {raw.height} rows of {raw.step} bytes"
        )
    shape = (rows, raw.width, encoding.channels) if encoding.channels > 1 else (rows, raw.width)
    strides = (raw.step, encoding.channels * dtype.itemsize, dtype.itemsize)[: len(shape)]
    view = np.ndarray(shape, dtype, data[:needed], 0, strides)
    return np.ascontiguousarray(view, dtype.newbyteorder("="))


def decompress(data: Buffer) -> Array:
    """RGB ``(H, W, 3)``, uint8 or uint16, of a JPEG, PNG or other picture that OpenCV reads.

    Orientation flags are ignored: a camera's pixels are where its calibration says.

    Raises:
        DataError: it is none, or is truncated.
    """
    import cv2

    content = np.frombuffer(data, np.uint8)
    flags = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(content, flags) if content.size and _complete(content) else None
    except cv2.error:  # it claims more pixels than OpenCV takes
        image = None
    if image is None or image.dtype not in (np.uint8, np.uint16):
        head = bytes(content[:4]).hex(" ") or "nothing"
        raise DataError(f"the compressed image of {content.size} bytes (begins with {head}) is no whole JPEG or PNG")
    return _from_bgr(image)


def _complete(content: NDArray[np.uint8]) -> bool:
    """Whether a JPEG or PNG has its end: a decoder fills what is lacking with grey, without an error."""
    head, tail = content[:4].tobytes(), content[-_TAIL:].tobytes().rstrip(b"\0")[-512:]
    end = next((end for begin, end in _ENDS.items() if head.startswith(begin)), b"")
    return end in tail
