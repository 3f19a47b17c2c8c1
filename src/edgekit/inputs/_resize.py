"""The named ways of resizing an image."""

from __future__ import annotations

from typing import Literal

import numpy as np

from edgekit.core.tensors import Array
from edgekit.inputs._resample import FILTERS, resample

Interpolation = Literal["bilinear", "nearest", "nearest-exact", "area", "bicubic", "lanczos"]
Antialias = Literal[False, True, "pillow-13"]
ALIASES_ABOVE = 2.0
"""A reduction by more than this skips pixels when the filter does not grow with it."""


def resize(image: Array, size: tuple[int, int], interpolation: str, antialias: Antialias) -> Array:
    """``image`` ``(H, W)`` or ``(H, W, C)`` of uint8, uint16 or float32 in ``size`` (height, width).

    With ``antialias`` Pillow's and torchvision's filters, else OpenCV's of a fixed number of pixels.
    """
    if image.shape[:2] == size:
        return image
    if antialias:
        return resample(image, size, interpolation, antialias == "pillow-13")
    if interpolation == "nearest-exact":
        return image[_centres(image.shape[0], size[0])[:, None], _centres(image.shape[1], size[1])]
    return _by_opencv(image, size, interpolation)


def can_antialias(interpolation: str) -> bool:
    """Whether there is a filter that grows with the reduction."""
    return interpolation in FILTERS


def _by_opencv(image: Array, size: tuple[int, int], interpolation: str) -> Array:
    import cv2

    flags = {
        "bilinear": cv2.INTER_LINEAR,
        "nearest": cv2.INTER_NEAREST,
        "area": cv2.INTER_AREA,
        "bicubic": cv2.INTER_CUBIC,
        "lanczos": cv2.INTER_LANCZOS4,
    }
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=flags[interpolation]))


def _centres(source: int, made: int) -> Array:
    """The source pixel in which the centre of each result lies, stepped as Pillow steps it."""
    step = source / made
    return np.minimum(np.add.accumulate(np.full(made, step) - np.eye(1, made)[0] * step * 0.5), source - 1).astype(int)
