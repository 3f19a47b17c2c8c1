"""Where an image goes in the tensor that it becomes: integer arithmetic, the same on every machine."""

from __future__ import annotations

from edgekit.core.errors import DataError
from edgekit.core.predictions import Geometry

Size = tuple[int, int]


def place(original: Size, tensor: Size, mode: str, before_crop: int | Size | None = None) -> Geometry:
    """Where an image of ``original`` (height, width) goes in a ``tensor`` of (height, width).

    Letterbox keeps the aspect ratio: one side fits exactly, the other is rounded to the nearest
    pixel (halves up) in integer arithmetic, so that the result never depends on float rounding.
    A crop resizes to ``before_crop`` (an int: the shorter side, the longer one cut to whole pixels)
    and takes the middle; its ``content`` begins outside the tensor where something is cut off.

    Raises:
        DataError: the resized image is smaller than the crop.
    """
    (height, width), (rows, columns) = original, tensor
    if mode == "stretch":
        return Geometry(original, tensor, (0, 0, rows, columns))
    if mode == "crop":
        return _crop(original, tensor, before_crop)
    if rows * width <= columns * height:
        filled = (rows, max(1, (2 * width * rows + height) // (2 * height)))
    else:
        filled = (max(1, (2 * height * columns + width) // (2 * width)), columns)
    if mode == "letterbox-topleft":
        return Geometry(original, tensor, (0, 0, *filled))
    return Geometry(original, tensor, ((rows - filled[0]) // 2, (columns - filled[1]) // 2, *filled))


def _crop(original: Size, tensor: Size, before: int | Size | None) -> Geometry:
    height, width = original
    if before is None:
        filled = original
    elif isinstance(before, int):
        short, long = min(original), max(original)
        sides = before, before * long // short
        filled = sides if height <= width else (sides[1], sides[0])
    else:
        filled = before
    if filled[0] < tensor[0] or filled[1] < tensor[1]:
        raise DataError(
            f"a frame of {height}x{width} (height x width) is {filled[0]}x{filled[1]} before the crop, less than the "
            f"{tensor[0]}x{tensor[1]} that is taken; choose a larger before_crop, or mode: letterbox"
        )
    return Geometry(original, tensor, (-_middle(filled[0] - tensor[0]), -_middle(filled[1] - tensor[1]), *filled))


def _middle(over: int) -> int:
    """Half of ``over``; of two equally near pixels the even one, as torchvision's ``CenterCrop`` has it."""
    half = over // 2
    return half + (over % 2 and half % 2)
