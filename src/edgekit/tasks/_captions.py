"""What is said of a whole frame: lines of text with bars, below the picture or on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.core.errors import DataError
from edgekit.core.tensors import Array
from edgekit.tasks._drawing import PAPER, text_scale, write

# Blue and orange differ in lightness and for every kind of colour vision.
PLAIN, RIGHT, WRONG = (70, 74, 84), (22, 72, 211), (190, 92, 4)


@dataclass(frozen=True)
class Line:
    """A text, and a bar behind it that fills ``share`` (0..1) of the width."""

    text: str
    share: float = 0.0
    colour: tuple[int, int, int] = PLAIN


def captioned(image: Array, lines: Sequence[Line]) -> Array:
    """A copy of ``image``, uint8 RGB ``(H, W, 3)``, with the lines below it; wider when a text needs it.

    Raises:
        DataError: the image is no such array.
    """
    check_image(image)
    scale = text_scale(image.shape[0])
    height = round(50 * scale)
    width = max(image.shape[1], *(_width(line.text, scale) + height for line in lines))
    picture = np.full((image.shape[0] + height * len(lines), width, 3), PAPER, np.uint8)
    picture[: image.shape[0], : image.shape[1]] = image
    for i, line in enumerate(lines):
        top = image.shape[0] + i * height
        _write_line(picture[top : top + height], line, scale)
    return picture


def tagged(image: Array, lines: Sequence[Line]) -> Array:
    """A copy of ``image`` with the lines on its upper left corner; what does not fit is cut off.

    Raises:
        DataError: the image is not uint8 ``(H, W, 3)``.
    """
    check_image(image)
    scale = text_scale(image.shape[0])
    height = round(50 * scale)
    picture = image.copy()
    for i, line in enumerate(lines):
        tag = np.full((height, _width(line.text, scale) + height, 3), PAPER, np.uint8)
        _write_line(tag, line, scale)
        place = picture[i * height : (i + 1) * height, : tag.shape[1]]
        place[:] = tag[: place.shape[0], : place.shape[1]]
    return picture


def check_image(image: Array) -> None:
    """Raise :class:`DataError` unless ``image`` is a picture."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise DataError(f"image is {image.dtype}{list(image.shape)}; expected an RGB picture uint8[H, W, 3]")


def _width(text: str, scale: float) -> int:
    import cv2

    return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0][0])


def _write_line(strip: Array, line: Line, scale: float) -> None:
    gap = len(strip) // 10
    strip[gap : len(strip) - gap, : round(strip.shape[1] * line.share)] = line.colour
    write(strip, line.text, len(strip) // 3, round(len(strip) * 0.68), scale)
