"""Colours, sharpness and noise of an image: nothing moves, so no truth changes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import DataError
from edgekit.core.tensors import Array

_GREY = np.array([0.299, 0.587, 0.114])  # luma of ITU-R BT.601


@dataclass(frozen=True)
class Colour:
    """Brightness, contrast and saturation as factors, hue as a turn of the colour circle in -0.5..0.5.

    All four are linear in the colours, so they are one matrix: hue turns around the grey axis, saturation scales the
    distance from a pixel's grey, contrast that from the image's mean grey, brightness everything.
    """

    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0

    def matrix(self) -> NDArray[np.float64]:
        """``(3, 3)``, without contrast and brightness."""
        angle = 2 * math.pi * self.hue
        cos, sin = math.cos(angle), math.sin(angle)
        # Rodrigues' formula for the axis (1, 1, 1) / sqrt(3).
        cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
        turn = cos * np.eye(3) + sin * cross + (1 - cos) / 3
        grey = np.tile(_GREY, (3, 1))
        saturate = self.saturation * np.eye(3) + (1 - self.saturation) * grey
        return np.asarray(saturate @ turn)

    def __call__(self, image: Array) -> Array:
        """An RGB image ``(H, W, 3)`` in the type that it had; whole numbers end at black and white."""
        import cv2

        if self == Colour():
            return image
        mean = float(_GREY @ image.reshape(-1, 3).mean(axis=0, dtype=np.float64))
        gain = self.brightness * self.contrast * self.matrix()
        shift = self.brightness * (1 - self.contrast) * mean
        made = cv2.transform(image.astype(np.float32), np.column_stack([gain, np.full(3, shift)]))
        return as_type(np.asarray(made), image)


@dataclass(frozen=True)
class Noise:
    """Gaussian noise whose sigma is a share of white."""

    sigma: float
    seed: int

    def __call__(self, image: Array) -> Array:
        """An image in the type that it had.

        Raises:
            DataError: the image is float, so that its white is not known.
        """
        if self.sigma == 0:
            return image
        if not np.issubdtype(image.dtype, np.integer):
            raise DataError(f"noise is a share of white, which is not known of {image.dtype}; leave augment.noise out")
        values = np.random.default_rng(self.seed).standard_normal(image.shape, np.float32)
        return as_type(image + values * np.float32(self.sigma * np.iinfo(image.dtype).max), image)


def blurred(image: Array, sigma: float) -> Array:
    """A Gaussian blur; below a tenth of a pixel nothing would change."""
    import cv2

    return image if sigma < 0.1 else np.asarray(cv2.GaussianBlur(image, (0, 0), sigma))


def as_type(values: Array, like: Array) -> Array:
    """In the type of ``like``: rounded and cut at black and white, where it holds whole numbers."""
    if not np.issubdtype(like.dtype, np.integer):
        return values.astype(like.dtype)
    return np.asarray(np.clip(np.rint(values), 0, np.iinfo(like.dtype).max).astype(like.dtype))
