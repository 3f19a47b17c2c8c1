"""What frames look like, as a few numbers each, and how those of a data set are spread: the reference of input drift.

The reference is made from the calibration frames when a bundle is built, and kept in it as ``input_statistics.json``.
Beside a running model the same numbers are taken of the camera's frames and held against it
(``edgekit.ros2_node.health``).
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import Self

from edgekit.core.errors import DataError
from edgekit.core.tensors import Array


@dataclass(frozen=True)
class Feature:
    """One number of a frame.

    Attributes:
        description: what it is.
        width: the least width of its range that a reference may claim, which keeps a reference of a few alike frames,
            such as one drive, from calling every other drive unusual.
        margin: how far outside the range that the reference shows, in widths of it, a drive may still lie: about twice
            as far as the furthest of 840 rendered drives that the features were made on (decision 36).
        sides: which end of the range is judged.
    """

    description: str
    width: float
    margin: float
    sides: Literal["both", "low", "high"] = "both"


FEATURES: Mapping[str, Feature] = {
    "brightness": Feature("log2 of the mean level of 255", 1.0, 0.5),
    "contrast": Feature("log2 of the standard deviation of the levels", 0.8, 0.5),
    "black": Feature("level that 2 % of the pixels are below", 40.0, 1.0),
    "white": Feature("level that 2 % of the pixels are above", 70.0, 0.6),
    "clipped": Feature("share of pixels with a channel at 250 or above", 0.15, 1.3),
    "sky": Feature("log2 of brightness above the middle over that below", 1.4, 0.5),
    "light above": Feature("log2 of the level that 10 % of the upper third are above", 0.7, 1.8),
    "haze": Feature("bright dark channel, weak colour and weak steps a little above the middle", 0.6, 0.55, "high"),
    "sharpness": Feature("log2 of the steepest edges over one pixel, as a share of those over eight", 0.7, 0.4),
    "noise": Feature("log2 of 0.5 and the deviation of a pixel from the line through its neighbours", 1.0, 0.4),
    "detail": Feature("log2 of the mean step between neighbours, as a share of the standard deviation", 1.1, 0.5),
    "saturation": Feature("mean of (largest - smallest channel) / largest", 0.22, 0.45),
    "red": Feature("mean of log2 of red over green", 0.4, 0.6),
    "blue": Feature("mean of log2 of blue over green", 0.6, 0.45),
    "blue above": Feature("log2 of blue over red above the middle, less the same below it", 0.9, 0.5),
    "blue with light": Feature("correlation of brightness with blue minus red", 0.6, 0.35),
    "daylight": Feature("sky + 2.4 blue with light: light that comes from above and is bluish", 2.4, 0.35, "low"),
    "warm": Feature("mean of red minus blue in the lower half where positive, of the sum of channels", 0.07, 0.7),
    "cold": Feature("mean of blue minus red in the lower half where positive, of the sum of channels", 0.05, 1.6),
}
"""What is taken of a frame."""
LEVELS = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
"""The levels of the quantiles that a reference keeps."""
WORKING_WIDTH = 640
"""Pixels across of the picture that is measured: wider ones are averaged down to it first."""
MOST_FRAMES = 512
"""Frames that a reference is made of at most, evenly spread over the data."""
LEAST_FRAMES = 8
"""Frames that say too little for a reference are fewer."""
_SPARSE = (72, 128)
_LINES, _FAR, _EDGE = 32, 8, 99.5
_LIGHTS, _HUES = 4, 16
_CELLS, _STEPS = 3 * _LIGHTS * _HUES * _HUES, 40
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def full_scale(image: Array) -> int:
    """The largest value that a picture can have: 255; of uint16 what the bits in use allow (8, 10, 12, 14, 16)."""
    if image.dtype == np.uint8:
        return 255
    most = int(image[:: -(-image.shape[0] // _SPARSE[0])].max(initial=0))
    return next(2**bits - 1 for bits in (8, 10, 12, 14, 16) if most < 2**bits)


@dataclass(frozen=True)
class Measured:
    """What is taken of a frame: ``values`` float64 ``(len(FEATURES),)`` in their order, and ``colours``, the square
    roots of the shares of its pixels by place, brightness and colour, float32 ``(3, 4, 16, 16)``.
    """

    values: Array
    colours: Array


def measure(image: Array, white: float = 255.0) -> Measured:
    """The features of a frame.

    Args:
        image: RGB ``(H, W, 3)``, uint8 or uint16.
        white: the value of full scale.
    """
    picture = _working(image, white)
    height, width = picture.shape[:2]
    sparse = picture[:: -(-height // _SPARSE[0]), :: -(-width // _SPARSE[1])].astype(np.float32)
    tones, hues = _tones(sparse), _hues(sparse)
    daylight = tones["sky"] + 2.4 * hues["blue with light"]
    found = tones | _edges(picture) | hues | {"daylight": daylight}
    return Measured(np.array([found[name] for name in FEATURES], np.float64), _colours(sparse))


def _working(image: Array, white: float) -> Array:
    """At most ``WORKING_WIDTH`` wide, levels of 0 to 255."""
    import cv2

    height, width = image.shape[:2]
    if width > WORKING_WIDTH:
        size = (WORKING_WIDTH, max(1, round(height * WORKING_WIDTH / width)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return image if image.dtype == np.uint8 else image.astype(np.float32) * np.float32(255 / white)


def _tones(sparse: Array) -> dict[str, float]:
    """Brightness and what the air does to it."""
    grey = sparse @ _LUMA
    rows, (upper, lower) = len(grey), _halves(grey)
    largest, least = sparse.max(axis=2), sparse.min(axis=2)
    dark, bright = np.percentile(grey, (2, 98))
    above = np.percentile(grey[: max(1, rows // 3)], 90)
    return {
        "brightness": np.log2(grey.mean() + 1),
        "contrast": np.log2(grey.std() + 1),
        "black": dark,
        "white": bright,
        "clipped": (largest >= 250).mean(),
        "sky": np.log2((upper.mean() + 1) / (lower.mean() + 1)),
        "light above": np.log2(above + 4),
        "haze": _haze(grey, largest, least),
    }


def _halves(picture: Array) -> tuple[Array, Array]:
    """Above and below the middle; of a single row both are it."""
    half = len(picture) // 2
    return picture[: max(1, half)], picture[half:]


def _haze(grey: Array, largest: Array, least: Array) -> float:
    """Where far things are, a little above the middle: their dark channel, colour and steps."""
    rows = len(grey)
    far = slice(int(0.3 * rows), max(int(0.3 * rows) + 1, int(0.55 * rows)))
    # The dark channel of He, Sun and Tang (2009), over 5 x 5 samples.
    veil = _eroded(least[far]).mean() / 255
    colour = ((largest[far] - least[far]) / (largest[far] + 4)).mean()
    step = np.percentile(np.abs(grey[far][:, 1:] - grey[far][:, :-1]), 95) if grey.shape[1] > 1 else 0.0
    return float(veil - np.log2(colour + 0.02) / 3 - np.log2(step + 1) / 6)


def _eroded(channel: Array) -> Array:
    import cv2

    eroded: Array = cv2.erode(channel, np.ones((5, 5), np.uint8))
    return eroded


def _edges(picture: Array) -> dict[str, float]:
    """Focus, noise and detail of whole lines of the green channel."""
    height, width = picture.shape[:2]
    if width <= 4 * _FAR:
        return dict.fromkeys(("sharpness", "noise", "detail"), 0.0)
    step = max(1, height // _LINES)
    lines = picture[step // 2 :: step, :, 1].astype(np.float32)
    near = np.abs(lines[:, 1:] - lines[:, :-1])
    far = np.abs(lines[:, _FAR:] - lines[:, :-_FAR])
    bent = np.abs(lines[:, 1:-1] - (lines[:, 2:] + lines[:, :-2]) / 2)
    # Pixels on a slope say nothing of noise; a mean of the calm ones keeps fractions of a level.
    calm = bent[bent <= 2 * np.median(bent) + 1]
    steep = (np.percentile(near, _EDGE) + 1) / (np.percentile(far, _EDGE) + 4)
    detail = (near.mean() + 0.25) / (lines.std() + 1)
    return {"sharpness": np.log2(steep), "noise": np.log2(0.5 + calm.mean() / 0.7), "detail": np.log2(detail)}


def _hues(sparse: Array) -> dict[str, float]:
    """Colour, and where in the picture and with which light it comes."""
    red, green, blue = (sparse[..., k] + np.float32(4) for k in range(3))
    logs = np.log2(np.stack([red, green, blue]))
    above, below = _halves(logs[2] - logs[0])
    _, cold = _halves((blue - red) / (red + green + blue))
    largest = sparse.max(axis=2)
    return {
        "saturation": ((largest - sparse.min(axis=2)) / (largest + 4)).mean(),
        "red": (logs[0] - logs[1]).mean(),
        "blue": (logs[2] - logs[1]).mean(),
        "blue above": above.mean() - below.mean(),
        "blue with light": _correlation(sparse @ _LUMA, blue - red),
        "warm": np.maximum(-cold, 0).mean(),
        "cold": np.maximum(cold, 0).mean(),
    }


def _correlation(one: Array, other: Array) -> float:
    one, other = one - one.mean(), other - other.mean()
    scale = float(np.sqrt((one * one).sum() * (other * other).sum()))
    return float((one * other).sum()) / scale if scale > 1e-6 else 0.0


def _colours(sparse: Array) -> Array:
    """By third of the picture, brightness, and the shares of red and of blue, after the ground was made grey."""
    rows = len(sparse)
    ground = np.median(sparse[int(0.6 * rows) :].reshape(-1, 3), axis=0) + 4
    even = sparse * (ground.mean() / ground).astype(np.float32)
    total = even.sum(axis=2) + 12
    light = np.clip(total * (_LIGHTS / 768), 0, _LIGHTS - 1).astype(np.intp)
    shares = [np.clip((even[..., k] + 4) / total * (_HUES / 0.44) - _HUES * 0.13 / 0.44, 0, _HUES - 1) for k in (0, 2)]
    red, blue = (share.astype(np.intp) for share in shares)
    third = (np.arange(rows) * 3 // max(rows, 1))[:, None]
    cell = ((third * _LIGHTS + light) * _HUES + red) * _HUES + blue
    counts = np.bincount(cell.reshape(-1), minlength=3 * _LIGHTS * _HUES * _HUES)
    roots: Array = np.sqrt(counts / cell.size).astype(np.float32).reshape(3, _LIGHTS, _HUES, _HUES)
    return roots


class Joint(BaseModel):
    """How features go together: the centre, a scale and the inverse correlation of :data:`FEATURES`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    centre: tuple[float, ...]
    scale: tuple[float, ...]
    precision: tuple[tuple[float, ...], ...] = Field(description="inverse of the shrunk correlation matrix")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        size = len(self.centre)
        rows = {len(self.scale), len(self.precision), *(len(row) for row in self.precision)}
        if rows != {size} or not all(value > 0 for value in self.scale):
            raise ValueError(f"{size} centres; expected as many positive scales and a square precision matrix")
        return self

    def distance(self, values: Array) -> float:
        """Of Mahalanobis: how unusual features are together."""
        centre, scale, precision = self._arrays
        apart = (values - centre) / scale
        return float(np.sqrt(max(0.0, float(apart @ precision @ apart))))

    @cached_property
    def _arrays(self) -> tuple[Array, Array, Array]:
        return np.array(self.centre), np.array(self.scale), np.array(self.precision)


ORDER, TOGETHER = "colour order", "together"
COMBINED: Mapping[str, Feature] = {
    ORDER: Feature("log likelihood of the colours, less that with red and blue exchanged", 9.0, 0.2, "low"),
    TOGETHER: Feature("Mahalanobis distance of all features from the middle of the reference", 6.0, 1.3, "high"),
}
"""What is made of a frame's features and the reference."""
JUDGED: Mapping[str, Feature] = {**FEATURES, **COMBINED}
"""All that is held against a reference, in the order of :meth:`InputStatistics.row`."""


class InputStatistics(BaseModel):
    """``input_statistics.json`` of a bundle: how the features of the calibration frames are spread."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["edgekit-input-statistics"] = "edgekit-input-statistics"
    version: Literal[1] = 1
    frames: int = Field(ge=2, description="how many frames were measured")
    data: str = Field(description="name of the dataset plugin that they come from")
    levels: tuple[float, ...] = Field(description="of the quantiles, 0 to 1")
    quantiles: dict[str, tuple[float, ...]] = Field(description="of each feature of a frame, at the levels")
    joint: Joint
    colours: str = Field(
        description="base64 of int8 (3, 4, 16, 16): 40 times the log ratio of a colour's share to that of the colour "
        "with red and blue exchanged, by third of the picture, brightness, share of red and of blue"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        ordered = all(low < high for low, high in itertools.pairwise(self.levels))
        if len(self.levels) < 2 or (self.levels[0], self.levels[-1]) != (0.0, 1.0) or not ordered:
            raise ValueError(f"levels {self.levels}; expected ascending ones from 0 to 1")
        for name in JUDGED:
            values = self.quantiles.get(name, ())
            falls = any(low > high for low, high in itertools.pairwise(values))
            if len(values) != len(self.levels) or falls or not np.isfinite(values).all():
                raise ValueError(f"quantiles of {name!r}: expected {len(self.levels)} finite, ascending numbers")
        if len(self.joint.centre) != len(FEATURES):
            raise ValueError(f"joint is of {len(self.joint.centre)} features; expected {len(FEATURES)}")
        if len(base64.b64decode(self.colours)) != _CELLS:
            raise ValueError(f"colours: expected {_CELLS} numbers")
        return self

    def row(self, measured: Measured) -> Array:
        """All that is held against the reference: float64 ``(len(JUDGED),)``, in its order."""
        order = float(measured.colours.reshape(-1) @ self._table)
        return np.array([*measured.values, order, self.joint.distance(measured.values)])

    @cached_property
    def _table(self) -> Array:
        return np.frombuffer(base64.b64decode(self.colours), np.int8).astype(np.float32) / _STEPS

    def quantile(self, name: str, level: float) -> float:
        """Of one feature, between its kept levels by the straight line."""
        return float(np.interp(level, self.levels, self.quantiles[name]))

    def edges(self, name: str, factor: float = 1.0) -> tuple[float, float]:
        """Between which values a feature is as at calibration; infinite on a side that is not judged.

        Args:
            name: of :data:`JUDGED`.
            factor: of the feature's margin.
        """
        feature = JUDGED[name]
        low, high = self.quantile(name, 0.01), self.quantile(name, 0.99)
        beyond = factor * feature.margin * max(high - low, feature.width)
        return (
            -np.inf if feature.sides == "high" else low - beyond,
            np.inf if feature.sides == "low" else high + beyond,
        )


def statistics_of(frames: Sequence[Measured], data: str) -> InputStatistics:
    """The reference that frames make.

    What is learned of the frames (colours, how features go together) is learned of the half that a frame is not in
    when its own quantiles are taken: a frame is never held against itself.

    Args:
        frames: of :func:`measure`.
        data: name of the dataset plugin.

    Raises:
        DataError: fewer than ``LEAST_FRAMES`` frames.
    """
    if len(frames) < LEAST_FRAMES:
        fix = f"at least {LEAST_FRAMES} are needed: raise data.calibration.limit"
        raise DataError(f"input statistics of {len(frames)} frames; {fix}")
    halves = (frames[::2], frames[1::2])
    combined: list[tuple[float, float]] = []
    for learned, held in (halves, halves[::-1]):
        joint, table = _joint(learned), _order_table(learned)
        combined += [(float(m.colours.reshape(-1) @ table), joint.distance(m.values)) for m in held]
    rows = np.concatenate([[m.values for m in (*halves[1], *halves[0])], combined], axis=1)
    quantiles = np.quantile(rows, LEVELS, axis=0)
    table = np.round(_order_table(frames) * _STEPS).astype(np.int8)
    return InputStatistics(
        frames=len(frames),
        data=data,
        levels=LEVELS,
        quantiles={name: tuple(float(f"{v:.6g}") for v in quantiles[:, k]) for k, name in enumerate(JUDGED)},
        joint=_joint(frames),
        colours=base64.b64encode(table.tobytes()).decode("ascii"),
    )


def _joint(frames: Sequence[Measured]) -> Joint:
    rows = np.array([m.values for m in frames])
    centre = np.median(rows, axis=0)
    low, high = np.quantile(rows, (0.16, 0.84), axis=0)
    scale = np.maximum((high - low) / 2, [feature.width / 6 for feature in FEATURES.values()])
    apart = np.clip((rows - centre) / scale, -5, 5)
    spread = apart.T @ apart / len(apart)
    # Few frames say little of so many pairs: the correlations are shrunk, the more the fewer there are.
    share = max(0.05, min(0.9, 2 * len(FEATURES) / (len(frames) + 2 * len(FEATURES))))
    shrunk = (1 - share) * spread + share * np.diag(np.maximum(np.diag(spread), 0.05))
    precision = np.linalg.inv(shrunk)
    return Joint(
        centre=_short(centre),
        scale=_short(scale),
        precision=tuple(_short(row) for row in (precision + precision.T) / 2),
    )


def _short(values: Array) -> tuple[float, ...]:
    return tuple(float(f"{value:.6g}") for value in values)


def _order_table(frames: Sequence[Measured]) -> Array:
    """Log ratio of every cell to its mirror, float32 of ``_CELLS``, within -3 and 3."""
    shares = np.sum([m.colours.astype(np.float64) ** 2 for m in frames], axis=0) + 0.5 / (_HUES * _HUES)
    table: Array = np.clip(np.log(shares / shares.transpose(0, 1, 3, 2)), -3, 3).reshape(-1).astype(np.float32)
    return table
