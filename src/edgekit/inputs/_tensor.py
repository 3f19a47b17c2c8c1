"""Images written into a tensor: checked, resized, normalised, in the order of the model's channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.core.errors import DataError, TensorError
from edgekit.core.predictions import Geometry
from edgekit.core.tensors import Array, TensorSpec
from edgekit.inputs import Input, Made, take
from edgekit.inputs._place import Size, place
from edgekit.inputs._resize import ALIASES_ABOVE, Antialias, resize

Box = tuple[slice, slice]
_VALUES = {"uint8": 256, "uint16": 65536}


@dataclass(frozen=True)
class Placing:
    """How an image comes to the tensor's size; the keys of ``preprocess`` of the same names."""

    size: Size
    mode: str
    before_crop: int | Size | None
    interpolation: str
    antialias: Antialias

    def __call__(self, image: Array) -> tuple[Array, Geometry]:
        """The pixels of ``image`` that are in the tensor, and where."""
        height, width = image.shape[:2]
        geometry = place((height, width), self.size, self.mode, self.before_crop)
        top, left, rows, columns = geometry.content
        image = resize(image, (rows, columns), self.interpolation, self.antialias)
        if self.mode == "crop":
            image = image[-top : self.size[0] - top, -left : self.size[1] - left]
        return image, geometry

    def aliases(self, original: Size) -> float:
        """How many times smaller an image of ``original`` becomes when that skips pixels; 0: it skips none."""
        rows, columns = place(original, self.size, self.mode, self.before_crop).content[2:]
        reduction = max(original[0] / rows, original[1] / columns)
        covered = self.antialias or self.interpolation == "area"
        return 0.0 if covered or reduction <= ALIASES_ABOVE else reduction


class Normalised:
    """``(value * scale - mean) / std`` of each channel, rounded once to the type of the model input.

    Pixels of 8 and 16 bits have few values, so it is computed once for each value and channel in
    float64: exact to the last bit of float32, and one look-up a pixel at run time.
    """

    def __init__(self, scale: float, mean: Sequence[float], std: Sequence[float], dtype: str) -> None:
        self.scale, self.dtype = scale, np.dtype(dtype)
        self.mean, self.std = np.array(mean, np.float64), np.array(std, np.float64)
        self._tables: dict[str, Array] = {}

    def __call__(self, values: Array, channel: int) -> Array:
        made = (np.asarray(values, np.float64) * self.scale - self.mean[channel]) / self.std[channel]
        return np.asarray(made.astype(self.dtype))

    def table(self, pixels: str) -> Array:
        """The result for each value of ``pixels``: contiguous ``(channels, 256 or 65536)``."""
        if pixels not in self._tables:
            values = np.arange(_VALUES[pixels])
            self._tables[pixels] = np.stack([self(values, channel) for channel in range(len(self.mean))])
        return self._tables[pixels]


@dataclass(frozen=True)
class Part:
    """One image of the frame, and the channels that it becomes."""

    source: str
    pixels: str
    grey: bool
    placing: Placing
    normalised: Normalised
    pad_value: float
    backwards: bool
    chosen: bool
    """Whether the spec says itself that the image may alias."""

    @property
    def channels(self) -> int:
        return 1 if self.grey else 3

    def write(self, image: Array, planes: Array, rows: Array | None) -> Geometry:
        """Fill ``planes`` ``(channels, h, w)``; ``rows`` is the same memory, ``(h, w * 3)``, if interleaved."""
        import cv2

        if self.grey:
            image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        image, geometry = self.placing(image)
        top, left = (max(0, at) for at in geometry.content[:2])
        inside = (slice(top, top + image.shape[0]), slice(left, left + image.shape[1]))
        if image.shape[:2] != planes.shape[1:]:
            self._fill_border(planes, inside)
        if rows is not None and self.pixels == "uint8" and self.normalised.dtype == np.float32:
            self._interleaved(cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if self.backwards else image, rows, inside)
            return geometry
        channels = (image,) if self.grey else cv2.split(image)
        for index, channel in enumerate(reversed(channels) if self.backwards else channels):
            self._plane(np.asarray(channel), index, planes[index][inside])
        return geometry

    def _plane(self, channel: Array, index: int, out: Array) -> None:
        import cv2

        if self.pixels == "float32":
            out[...] = self.normalised(channel, index)
            return
        table = self.normalised.table(self.pixels)[index]
        if self.pixels == "uint8" and out.dtype == np.float32 and out.strides[1] == out.itemsize:
            cv2.LUT(channel, table, out)  # straight into the tensor
        else:
            out[...] = table[channel]

    def _interleaved(self, pixels: Array, rows: Array, inside: Box) -> None:
        """Multiply-add over whole rows: for interleaved channels a table look-up is ten times slower."""
        width, values = pixels.shape[1], self.normalised
        factor = np.tile((values.scale / values.std).astype(np.float32), width)
        offset = np.tile((values.mean / values.std).astype(np.float32), width)
        out = rows[inside[0], 3 * inside[1].start : 3 * inside[1].stop]
        np.multiply(pixels.reshape(len(pixels), -1), factor, out=out)
        np.subtract(out, offset, out=out)

    def _fill_border(self, planes: Array, inside: Box) -> None:
        down, across = inside
        for index, plane in enumerate(planes):
            value = self.normalised(np.array(self.pad_value), index)
            plane[: down.start] = value
            plane[down.stop :] = value
            plane[down, : across.start] = value
            plane[down, across.stop :] = value


class Images(Input):
    """The frame's images one after the other in the channels of one tensor."""

    places = True

    def __init__(self, spec: TensorSpec, parts: tuple[Part, ...], channels_first: bool) -> None:
        self.spec, self.parts, self.channels_first = spec, parts, channels_first
        self._shape = tuple(size or 0 for size in spec.shape)

    def __call__(self, images: Mapping[str, Array], geometry: Geometry | None) -> Made:
        """The input of one frame, and where its first image went."""
        tensor = np.empty(self._shape, self.spec.dtype)
        planes = tensor[0] if self.channels_first else tensor[0].transpose(2, 0, 1)
        interleaved = not self.channels_first and len(planes) == 3
        rows = tensor.reshape(len(tensor[0]), -1) if interleaved else None
        made, at = [], 0
        for part in self.parts:
            image = take(images, part.source, self.spec.name)
            self._check(part, image)
            made.append(part.write(image, planes[at : at + part.channels], rows))
            at += part.channels
        return Made(tensor, made[0])

    def aliasing(self, images: Mapping[str, Array]) -> str:
        """A reduction that skips pixels, unless the spec says ``antialias`` itself."""
        for part in self.parts:
            height, width = take(images, part.source, self.spec.name).shape[:2]
            times = 0.0 if part.chosen else part.placing.aliases((height, width))
            if times:
                return (
                    f"preprocess.{self.spec.name}: frames of {height}x{width} become {times:.1f} times smaller, and "
                    f"{part.placing.interpolation} skips pixels then (aliasing). Resize as the network was trained: "
                    "antialias: true as Pillow and torchvision do, interpolation: area as OpenCV averages, or "
                    "antialias: false to leave it so"
                )
        return ""

    def _check(self, part: Part, image: object) -> None:
        expected = f"image {part.source!r}: expected a {part.pixels} RGB array (height, width, 3)"
        if not isinstance(image, np.ndarray):
            raise TensorError(f"{expected}, found {type(image).__name__}")
        if image.ndim != 3 or image.shape[2] != 3:
            raise TensorError(f"{expected}, found shape {list(image.shape)}")
        if image.size == 0:
            raise TensorError(f"{expected}, found an empty image of shape {list(image.shape)}")
        if image.dtype != part.pixels:
            raise self._other_pixels(part, image)
        if part.pixels == "float32" and not np.isfinite(image).all():
            raise DataError(
                f"preprocess.{self.spec.name}: the image {part.source!r} holds NaN or infinity, and a resize "
                "spreads them: fill such pixels with the value that the network was trained with"
            )

    def _other_pixels(self, part: Part, image: Array) -> DataError:
        key = f"preprocess.{self.spec.name}"
        found = f"the image {part.source!r} has {image.dtype} pixels of {image.min():g} to {image.max():g}"
        if image.dtype == np.uint8:
            return DataError(
                f"{found}, but {key}.pixels is {part.pixels}: leave these frames out, or write all of them in one type"
            )
        if image.dtype.name not in (*_VALUES, "float32"):
            return DataError(f"{found}; {key}.pixels takes uint8, uint16 and float32: write the frames in one of them")
        full = "1.52590219e-05, which is 1 / 65535" if image.dtype == np.uint16 else "1"
        return DataError(
            f"{found}, but {key}.pixels is {part.pixels}: set pixels: {image.dtype}, which takes the values as they "
            f"are, with the scale, mean and std that the network was trained with (such as scale: {full}); "
            "or write 8-bit frames"
        )
