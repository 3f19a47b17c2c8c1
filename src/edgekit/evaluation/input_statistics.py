"""What frames look like, as a few numbers each, and how those of a data set are spread: the reference of input drift.

The reference is made from the calibration frames when a bundle is built, and kept in it as ``input_statistics.json``.
Beside a running model the same numbers are taken of the camera's frames and held against it
(``edgekit.ros2_node.health``).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import Self

from edgekit.core.errors import DataError
from edgekit.core.tensors import Array

FEATURES: Mapping[str, tuple[str, float]] = {
    "brightness": ("log2 of the mean level of 255", 0.5),
    "contrast": ("log2 of the standard deviation of the levels", 0.5),
    "black": ("level that 2 % of the pixels are below", 15.0),
    "white": ("level that 2 % of the pixels are above", 20.0),
    "clipped": ("share of pixels with a channel at 250 or above", 0.1),
    "sharpness": ("log2 of the steepest edges over one pixel, as a share of those over eight", 0.5),
    "noise": ("log2 of 0.5 and the deviation of a pixel from the line through its neighbours, robust", 0.7),
    "detail": ("log2 of the mean step between neighbours, as a share of the standard deviation", 0.6),
    "saturation": ("mean of (largest - smallest channel) / largest", 0.1),
    "red": ("mean of log2 of red over green", 0.2),
    "blue": ("mean of log2 of blue over green", 0.2),
    "sky": ("log2 of brightness above the middle over that below", 0.5),
    "blue above": ("log2 of blue over red above the middle, less the same below it", 0.25),
    "blue with light": ("correlation of brightness with blue minus red", 0.4),
    "warm": ("mean of red minus blue below the middle where it is positive, of the sum of channels", 0.03),
    "cold": ("mean of blue minus red below the middle where it is positive, of the sum of channels", 0.03),
}
"""What is taken of a frame: a description, and the least width of its range that a reference may claim.

The width keeps a reference of a few alike frames, such as one drive, from calling every other drive unusual.
"""
LEVELS = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
"""The levels of the quantiles that a reference keeps."""
WORKING_WIDTH = 640
"""Pixels across of the picture that is measured: wider ones are averaged down to it first."""
MOST_FRAMES = 512
"""Frames that a reference is made of at most, evenly spread over the data."""
_LINES, _FAR, _EDGE = 48, 8, 99.5


def measure(image: Array, white: float = 255.0) -> Array:
    """The features of a frame, float64 ``(len(FEATURES),)`` in their order.

    Args:
        image: RGB ``(H, W, 3)``, uint8 or uint16.
        white: the value of full scale.
    """
    picture = _working(image, white)
    height, width = picture.shape[:2]
    sparse = picture[:: max(1, height // 96), :: max(1, width // 160)].astype(np.float32)
    grey = sparse @ np.array([0.299, 0.587, 0.114], np.float32)
    half = len(grey) // 2
    deviation = float(grey.std())
    red, green, blue = (sparse[..., k] + np.float32(4) for k in range(3))
    red_green, blue_green = np.log2(red / green), np.log2(blue / green)
    blue_red = blue_green - red_green
    cold = ((blue - red) / (red + green + blue))[half:]
    largest = sparse.max(axis=2)
    near, far, noise, step = _edges(picture)
    return np.array(
        [
            np.log2(grey.mean() + 1),
            np.log2(deviation + 1),
            np.percentile(grey, 2),
            np.percentile(grey, 98),
            (largest >= 250).mean(),
            np.log2((near + 1) / (far + 4)),
            np.log2(0.5 + noise),
            np.log2((step + 0.25) / (deviation + 1)),
            ((largest - sparse.min(axis=2)) / (largest + 4)).mean(),
            red_green.mean(),
            blue_green.mean(),
            np.log2((grey[:half].mean() + 1) / (grey[half:].mean() + 1)),
            blue_red[:half].mean() - blue_red[half:].mean(),
            _correlation(grey, sparse[..., 2] - sparse[..., 0]),
            np.maximum(-cold, 0).mean(),
            np.maximum(cold, 0).mean(),
        ],
        np.float64,
    )


def _working(image: Array, white: float) -> Array:
    """At most ``WORKING_WIDTH`` wide, levels of 0 to 255."""
    import cv2

    height, width = image.shape[:2]
    if width > WORKING_WIDTH:
        size = (WORKING_WIDTH, max(1, round(height * WORKING_WIDTH / width)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return image if image.dtype == np.uint8 else image.astype(np.float32) * np.float32(255 / white)


def _edges(picture: Array) -> tuple[float, float, float, float]:
    """Steepest steps over one pixel and over eight, noise, and the mean step; of whole lines of the green channel."""
    height, width = picture.shape[:2]
    if width <= 4 * _FAR:
        return 0.0, 0.0, 0.0, 0.0
    step = max(1, height // _LINES)
    lines = picture[step // 2 :: step, :, 1].astype(np.float32)
    near = np.abs(lines[:, 1:] - lines[:, :-1])
    far = np.abs(lines[:, _FAR:] - lines[:, :-_FAR])
    bent = np.abs(lines[:, 1:-1] - (lines[:, 2:] + lines[:, :-2]) / 2)
    # Of normal noise of deviation 1, |bent| has the median 0.6745 * sqrt(1.5); a mean keeps fractions of a level.
    calm = bent[bent <= 2 * np.median(bent) + 1]
    noise = float(calm.mean()) / 0.7
    return float(np.percentile(near, _EDGE)), float(np.percentile(far, _EDGE)), noise, float(near.mean())


def _correlation(one: Array, other: Array) -> float:
    one, other = one - one.mean(), other - other.mean()
    scale = float(np.sqrt((one * one).sum() * (other * other).sum()))
    return float((one * other).sum()) / scale if scale > 1e-6 else 0.0


class InputStatistics(BaseModel):
    """``input_statistics.json`` of a bundle: how the features of the calibration frames are spread."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["edgekit-input-statistics"] = "edgekit-input-statistics"
    version: Literal[1] = 1
    frames: int = Field(ge=2, description="how many frames were measured")
    data: str = Field(description="name of the dataset plugin that they come from")
    levels: tuple[float, ...] = Field(description="of the quantiles, 0 to 1")
    quantiles: dict[str, tuple[float, ...]] = Field(description="of each feature of a frame, at the levels")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        ordered = all(low < high for low, high in itertools.pairwise(self.levels))
        if len(self.levels) < 2 or (self.levels[0], self.levels[-1]) != (0.0, 1.0) or not ordered:
            raise ValueError(f"levels {self.levels}; expected ascending ones from 0 to 1")
        for name, values in self.quantiles.items():
            falls = any(low > high for low, high in itertools.pairwise(values))
            if len(values) != len(self.levels) or falls or not np.isfinite(values).all():
                raise ValueError(f"quantiles of {name!r}: expected {len(self.levels)} finite, ascending numbers")
        return self

    def quantile(self, name: str, level: float) -> float:
        """Of one feature, between its kept levels by the straight line."""
        return float(np.interp(level, self.levels, self.quantiles[name]))


def statistics_of(rows: Array, data: str) -> InputStatistics:
    """The reference that frames make.

    Args:
        rows: float64 ``(N, len(FEATURES))``, of :func:`measure`.
        data: name of the dataset plugin.

    Raises:
        DataError: fewer than two frames.
    """
    if len(rows) < 2:
        raise DataError(f"input statistics of {len(rows)} frames; at least 2 are needed: raise data.calibration.limit")
    quantiles = np.quantile(rows, LEVELS, axis=0)
    return InputStatistics(
        frames=len(rows),
        data=data,
        levels=LEVELS,
        quantiles={name: tuple(float(f"{v:.6g}") for v in quantiles[:, k]) for k, name in enumerate(FEATURES)},
    )


def measured(images: Iterable[Array]) -> Array:
    """The features of frames, float64 ``(N, len(FEATURES))``."""
    return np.array([measure(image) for image in images]).reshape(-1, len(FEATURES))
