"""Pillow's resampling, bit for bit: a filter that grows with the reduction, so that nothing aliases.

The arithmetic, which docs/preprocess.md writes down, is that of Pillow's ``Resample.c``: two passes, along the rows
first, each rounded to the pixels' type; uint8 in integers of 22 fractional bits, other types in float64.  PyTorch's
``interpolate(antialias=True)`` of uint8, which torchvision calls, differs from it by rounding only.  Pillow 13 turns
the passes round where that is less work.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edgekit.core.tensors import Array

_BITS = 22
_ONE = 1 << _BITS
_BLOCK = 16  # results that one matrix product makes: the matrix is banded, so that larger ones hold mostly zeros


def _bilinear(x: Array) -> Array:
    return np.maximum(1.0 - np.abs(x), 0.0)


def _bicubic(x: Array) -> Array:
    """Keys' kernel with a = -0.5."""
    a, x = -0.5, np.abs(x)
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    far = (((x - 5.0) * x + 8.0) * x - 4.0) * a
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def _lanczos(x: Array) -> Array:
    return np.where((x >= -3.0) & (x < 3.0), np.sinc(x) * np.sinc(x / 3.0), 0.0)


FILTERS: dict[str, tuple[Callable[[Array], Array], float]] = {
    "bilinear": (_bilinear, 1.0),
    "bicubic": (_bicubic, 2.0),
    "lanczos": (_lanczos, 3.0),
}
"""Name to the filter and its support, in source pixels of an image that is not reduced."""


@dataclass(frozen=True)
class _Band:
    """``taken`` pixels of the source become ``made`` pixels of the result by ``weights`` (taken, made) float64."""

    taken: slice
    made: slice
    weights: Array


def resample(image: Array, size: tuple[int, int], name: str, pillow_13: bool = False) -> Array:
    """``image`` in ``size`` (height, width) by the filter ``name``.

    Args:
        image: ``(H, W)`` or ``(H, W, C)`` of uint8, uint16 or float32.
        size: (height, width) in pixels; an axis of the same length is left as it is.
        name: one of :data:`FILTERS`.
        pillow_13: the order of the passes is that of Pillow 13.

    Returns:
        The same type and number of axes.
    """
    import cv2

    (height, width), (rows, columns) = image.shape[:2], size
    passes = [_along_rows, _along_columns]
    if pillow_13 and rows < height and height - rows > 2 * (width - columns):
        passes.reverse()
    planes = [image] if image.ndim == 2 else list(cv2.split(image))
    for one in passes:
        planes = [one(np.asarray(plane), size, name) for plane in planes]
    return planes[0] if image.ndim == 2 else np.asarray(cv2.merge(planes))


def _along_rows(plane: Array, size: tuple[int, int], name: str) -> Array:
    if plane.shape[1] == size[1]:
        return plane
    made, source = np.empty((len(plane), size[1])), plane.astype(np.float64)
    for band in _bands(plane.shape[1], size[1], name, plane.dtype == np.uint8):
        np.matmul(source[:, band.taken], band.weights, out=made[:, band.made])
    return _rounded(made, plane.dtype)


def _along_columns(plane: Array, size: tuple[int, int], name: str) -> Array:
    if plane.shape[0] == size[0]:
        return plane
    made, source = np.empty((size[0], plane.shape[1])), plane.astype(np.float64)
    for band in _bands(plane.shape[0], size[0], name, plane.dtype == np.uint8):
        np.matmul(band.weights.T, source[band.taken], out=made[band.made])
    return _rounded(made, plane.dtype)


def _rounded(sums: Array, dtype: np.dtype[np.generic]) -> Array:
    """Weighted sums in the pixels' own type.  Those of uint8 are whole numbers below 2**53, so float64 holds them."""
    if dtype == np.uint8:
        sums += _ONE // 2
        sums *= 1.0 / _ONE
        np.floor(sums, out=sums)
        return np.clip(sums, 0, 255, out=sums).astype(np.uint8)
    if dtype == np.uint16:
        return np.clip(np.floor(sums + 0.5), 0, 65535).astype(np.uint16)
    return sums.astype(np.float32)


@lru_cache(maxsize=64)
def _bands(source: int, made: int, name: str, whole: bool) -> tuple[_Band, ...]:
    """The weights of one axis, in blocks; ``whole``: in integers of 22 fractional bits."""
    starts, weights = coefficients(source, made, name)
    if whole:
        weights = np.trunc(weights * _ONE + np.where(weights < 0, -0.5, 0.5))
    ends = starts + weights.shape[1]
    bands = []
    for first in range(0, made, _BLOCK):
        last = min(first + _BLOCK, made)
        low, high = int(starts[first]), min(int(ends[first:last].max()), source)
        block = np.zeros((high - low, last - first))
        for index in range(first, last):
            row = weights[index][: high - starts[index]]
            block[starts[index] - low : starts[index] - low + len(row), index - first] = row
        bands.append(_Band(slice(low, high), slice(first, last), block))
    return tuple(bands)


def coefficients(source: int, made: int, name: str) -> tuple[Array, Array]:
    """Where each of ``made`` pixels begins to read, int64 ``(made,)``, and its float64 weights ``(made, taps)``.

    Weights beyond the pixels that one reads are zero.
    """
    function, support = FILTERS[name]
    scale = source / made
    stretched = max(scale, 1.0)
    reach = support * stretched
    centres = (np.arange(made) + 0.5) * scale
    starts = np.maximum(np.trunc(centres - reach + 0.5).astype(np.int64), 0)
    ends = np.minimum(np.trunc(centres + reach + 0.5).astype(np.int64), source)
    taps = np.arange(math.ceil(reach) * 2 + 1)
    distances = (starts[:, None] + taps - centres[:, None] + 0.5) * (1.0 / stretched)
    weights = np.where(taps < (ends - starts)[:, None], function(distances), 0.0)
    return starts, weights / weights.sum(axis=1, keepdims=True)
