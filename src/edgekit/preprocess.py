"""Camera images to model inputs: the one implementation behind calibration, evaluation, profiling and run.

The steps, in this order: resize (OpenCV ``INTER_LINEAR`` on uint8), channel order, ``* scale``,
``- mean``, ``/ std``, layout.  ``mean`` and ``std`` follow the channels of the model, so they are
in B, G, R order when ``color`` is ``bgr``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgekit.core.errors import DataError, SpecError, TensorError
from edgekit.core.predictions import Geometry
from edgekit.core.spec import InputTransform
from edgekit.core.tensors import Array, TensorSpec


@dataclass(frozen=True)
class Prepared:
    """Model inputs of one frame.

    ``feeds`` maps each model input to a contiguous float32 array of batch 1, owned by the caller;
    ``geometry`` says how the image went into the first input.
    """

    feeds: dict[str, Array]
    geometry: Geometry


class Preprocess:
    """Callable that makes the model inputs of one frame from its images.

    Args:
        transforms: model input name to its transform, in the order of the model's inputs.

    Raises:
        SpecError: ``transforms`` is empty.
    """

    def __init__(self, transforms: Mapping[str, InputTransform]) -> None:
        if not transforms:
            raise SpecError("preprocess: no input is described; expected one entry for each model input")
        self._steps = {name: _Step(transform) for name, transform in transforms.items()}

    def __call__(self, images: Mapping[str, Array]) -> Prepared:
        """Model inputs of ``images``, which maps source names to uint8 RGB ``(H, W, 3)`` arrays.

        Raises:
            DataError: an image that a transform reads is not there.
            TensorError: an image has another type, shape or dtype.
        """
        feeds: dict[str, Array] = {}
        geometries: list[Geometry] = []
        for name, step in self._steps.items():
            source = step.transform.source
            if source not in images:
                given = ", ".join(map(repr, images)) or "no image"
                raise DataError(
                    f"preprocess.{name}: the sample has no image {source!r}, it has {given}; "
                    f"set preprocess.{name}.source to one of its images"
                )
            _check(source, images[source])
            feeds[name], geometry = step(images[source])
            geometries.append(geometry)
        return Prepared(feeds, geometries[0])

    def tensor_specs(self) -> tuple[TensorSpec, ...]:
        """Name, shape and dtype of every array in ``Prepared.feeds``, in order."""
        return tuple(TensorSpec(name, step.shape, "float32") for name, step in self._steps.items())


def _check(source: str, image: object) -> None:
    expected = f"image {source!r}: expected a uint8 RGB array (height, width, 3)"
    if not isinstance(image, np.ndarray):
        raise TensorError(f"{expected}, found {type(image).__name__}")
    if image.dtype != np.uint8:
        raise TensorError(f"{expected}, found dtype {image.dtype}: give pixel values 0..255 as uint8")
    if image.ndim != 3 or image.shape[2] != 3:
        raise TensorError(f"{expected}, found shape {list(image.shape)}")
    if image.size == 0:
        raise TensorError(f"{expected}, found an empty image of shape {list(image.shape)}")


def place(original: tuple[int, int], tensor: tuple[int, int], mode: str) -> Geometry:
    """Where an image of ``original`` (height, width) goes in a ``tensor`` of (height, width).

    Letterbox keeps the aspect ratio: one side fits exactly, the other is rounded to the nearest
    pixel (halves up) in integer arithmetic, so that the result never depends on float rounding.
    """
    (height, width), (rows, columns) = original, tensor
    if mode == "stretch":
        return Geometry(original, tensor, (0, 0, rows, columns))
    if rows * width <= columns * height:
        filled = (rows, max(1, (2 * width * rows + height) // (2 * height)))
    else:
        filled = (max(1, (2 * height * columns + width) // (2 * width)), columns)
    if mode == "letterbox-topleft":
        return Geometry(original, tensor, (0, 0, *filled))
    return Geometry(original, tensor, ((rows - filled[0]) // 2, (columns - filled[1]) // 2, *filled))


class _Step:
    """One transform with its arithmetic folded into a table.

    A pixel has 256 values, so ``(value * scale - mean) / std`` is computed once for each value and
    channel in float64: exact to the last float32 bit, and one look-up a pixel at run time.
    """

    def __init__(self, transform: InputTransform) -> None:
        self.transform = transform
        rows, columns = transform.resize
        self.nchw = transform.layout == "nchw"
        self.shape = (1, 3, rows, columns) if self.nchw else (1, rows, columns, 3)
        values = np.arange(256, dtype=np.float64)[:, None] * transform.scale
        table = (values - np.array(transform.mean)) / np.array(transform.std)
        self.table: Array = table.astype(np.float32)  # (256, 3)
        self.planes = [np.ascontiguousarray(self.table[:, c]) for c in range(3)]

    def __call__(self, image: Array) -> tuple[Array, Geometry]:
        import cv2

        height, width = image.shape[:2]
        geometry = place((height, width), self.transform.resize, self.transform.mode)
        top, left, rows, columns = geometry.content
        if (rows, columns) != (height, width):
            image = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_LINEAR)
        tensor = np.empty(self.shape, np.float32)
        if (rows, columns) != self.transform.resize:
            self._fill_border(tensor, geometry.content)
        inside = (slice(top, top + rows), slice(left, left + columns))
        bgr = self.transform.color == "bgr"
        if self.nchw:
            channels = cv2.split(image)[::-1] if bgr else cv2.split(image)
            for plane, channel, table in zip(tensor[0], channels, self.planes, strict=True):
                cv2.LUT(channel, table, plane[inside])  # straight into the tensor
        else:
            self._interleaved(cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if bgr else image, tensor[0], inside)
        return tensor, geometry

    def _interleaved(self, pixels: Array, tensor: Array, inside: tuple[slice, slice]) -> None:
        """A table look-up of interleaved channels is ten times slower than a multiply-add over whole rows."""
        width = pixels.shape[1]
        std = np.array(self.transform.std)
        factor = np.tile((self.transform.scale / std).astype(np.float32), width)
        offset = np.tile((np.array(self.transform.mean) / std).astype(np.float32), width)
        rows = tensor.reshape(len(tensor), -1)[inside[0], 3 * inside[1].start : 3 * inside[1].stop]
        np.multiply(pixels.reshape(len(pixels), -1), factor, out=rows)
        np.subtract(rows, offset, out=rows)

    def _fill_border(self, tensor: Array, content: tuple[int, int, int, int]) -> None:
        top, left, rows, columns = content
        grey = self.table[self.transform.pad_value]  # one value a channel
        view = tensor[0] if self.nchw else tensor[0].transpose(2, 0, 1)
        for plane, value in zip(view, grey, strict=True):
            plane[:top] = value
            plane[top + rows :] = value
            plane[top : top + rows, :left] = value
            plane[top : top + rows, left + columns :] = value
