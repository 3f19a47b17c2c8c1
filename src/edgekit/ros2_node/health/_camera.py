"""What a camera's picture says of the camera: frozen, covered, dark, saturated, out of focus, or a jump of exposure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgekit.core.tensors import Array
from edgekit.evaluation.input_statistics import full_scale
from edgekit.ros2_node.health._span import Lasting, Recent
from edgekit.ros2_node.health.limits import Limits
from edgekit.ros2_node.health.statuses import Level, Status, values_of

_ROWS, _ACROSS, _LINES = 54, 96, 8
"""Of the sample: so many rows and columns of single pixels, and so many whole lines for edges."""
_ACROSS_SHARP, _FAR = 640, 8
"""A picture is sharp when an edge takes one of so many parts of its width; it is complete within eight of them."""
_EDGE = 0.995
"""Quantile of the steepest edges: of lines of some hundred pixels it is a handful."""


@dataclass(frozen=True)
class Look:
    """A sample of a picture, and what it says; levels are of 0 to 255.

    ``sample`` is uint8 or uint16 ``(rows, columns, 3)``.
    """

    sample: Array
    mean: float
    low: float
    high: float
    saturated: float
    sharpness: float | None
    """Steepest edges over a 640th of the width as a share of those over eight; None: there is none to judge by."""


def look(image: Array, scale: int, saturated_level: float) -> Look:
    """Sample a picture.

    Args:
        image: RGB ``(H, W, 3)``, uint8 or uint16.
        scale: the value that is white.
        saturated_level: from this level of 255 on a pixel is saturated.
    """
    height, width = image.shape[:2]
    sample = image[:: -(-height // _ROWS), :: -(-width // _ACROSS)].copy()
    to_255 = np.float32(255 / scale)
    grey = sample.astype(np.float32) @ (np.array([0.299, 0.587, 0.114], np.float32) * to_255)
    low, high = _ranked(grey, 0.01), _ranked(grey, 0.99)
    brightest = np.maximum(np.maximum(sample[..., 0], sample[..., 1]), sample[..., 2])
    return Look(
        sample=sample,
        mean=float(grey.mean()),
        low=low,
        high=high,
        saturated=float((brightest >= saturated_level * scale / 255).mean()),
        sharpness=_sharpness(image, 255 / scale),
    )


def _sharpness(image: Array, to_255: float) -> float | None:
    """From whole lines, because single pixels far apart know nothing of focus."""
    height, width = image.shape[:2]
    if width <= 4 * _FAR:
        return None
    step = max(1, height // _LINES)
    lines: Array = image[step // 2 :: step, :, 1].astype(np.int32 if image.dtype == np.uint16 else np.int16)
    one = max(1, width // _ACROSS_SHARP)
    near = _ranked(np.abs(lines[:, one:] - lines[:, :-one]), _EDGE)
    far = _ranked(np.abs(lines[:, _FAR * one :] - lines[:, : -_FAR * one]), _EDGE)
    return None if far * to_255 < 16 else near / far


def _ranked(values: Array, share: float) -> float:
    """The value that ``share`` of them are below; a quantile without the cost of interpolating."""
    flat = values.reshape(-1)
    rank = min(flat.size - 1, int(share * flat.size))
    return float(np.partition(flat, rank)[rank])


class Camera:
    """What the pictures of one camera say, with the memory that keeps its level from flapping."""

    def __init__(self) -> None:
        self._last: Look | None = None
        self._still_s = self._seen_s = 0.0
        self._repeats = 0
        self._brightness: Recent[float] = Recent()
        self._jumps: Recent[float] = Recent(64)
        self._conditions = {name: Lasting() for name in ("covered", "dark", "saturated", "defocus")}
        self._scale = 0

    def begin(self) -> None:
        """No picture yet."""
        self._last = None
        self._repeats = 0
        self._brightness.clear()
        self._jumps.clear()
        for condition in self._conditions.values():
            condition.clear()

    def scale_of(self, image: Array) -> int:
        """The value that is white: of 16 bits it grows with what was seen."""
        self._scale = max(self._scale, full_scale(image))
        return 255 if image.dtype == np.uint8 else self._scale

    def see(self, found: Look, now_s: float, limits: Limits) -> float:
        """A picture; returns how much it differs from the last: mean absolute difference of the samples, of 255."""
        changed = np.inf
        if self._last is not None and self._last.sample.shape == found.sample.shape:
            apart = np.maximum(found.sample, self._last.sample) - np.minimum(found.sample, self._last.sample)
            changed = float(apart.mean()) * 255 / max(self._scale, 255)
        if changed > 0:
            self._still_s, self._repeats = now_s, 0
        else:
            self._repeats += 1
        self._judge(found, now_s, limits)
        self._last, self._seen_s = found, now_s
        return changed

    def _judge(self, found: Look, now_s: float, limits: Limits) -> None:
        flat = found.high - found.low < limits.covered_contrast
        dark = found.high < limits.dark_level
        bad = {
            "dark": dark,
            "covered": flat and not dark,
            "saturated": found.saturated > limits.saturated_share,
            "defocus": not flat and found.sharpness is not None and found.sharpness < limits.defocus_ratio,
        }
        for name, condition in bad.items():
            self._conditions[name].see(condition, now_s, limits.camera_raise_s, limits.camera_clear_s)
        before = [mean for _, mean in self._brightness.within(now_s, 1.0)]
        if before:
            ratio = (found.mean + 1) / (float(np.median(before)) + 1)
            if max(ratio, 1 / ratio) > limits.exposure_factor:
                self._jumps.add(now_s, ratio)
                self._brightness.clear()
        self._brightness.add(now_s, found.mean)

    def status(self, name: str, now_s: float, limits: Limits) -> Status:
        """Of the last pictures."""
        last = self._last
        if last is None:
            return Status(name, Level.OK, "Waiting for frames.")
        holds = {condition for condition, memory in self._conditions.items() if memory.holds}
        jumps = [ratio for _, ratio in self._jumps.within(now_s, max(limits.hold_s, 0.1))]
        still_s = self._seen_s - self._still_s if self._repeats else 0.0  # not until now: that is the input's rate
        frozen = self._repeats >= 2 and still_s >= limits.frozen_s
        found = [
            (frozen, Level.ERROR, f"The same picture is repeated for {still_s:.1f} s."),
            ("covered" in holds, Level.ERROR, "The lens is covered: the picture has no contrast."),
            ("dark" in holds, Level.ERROR, "The picture is dark."),
            ("saturated" in holds, Level.WARN, f"{100 * last.saturated:.0f} % of the picture is saturated."),
            ("defocus" in holds, Level.WARN, "The picture is out of focus."),
            (bool(jumps), Level.WARN, f"The exposure jumped by a factor of {(jumps or [1.0])[-1]:.2g}."),
        ]
        told = [(level, message) for condition, level, message in found if condition]
        pairs: list[tuple[str, object]] = [
            ("Picture repeated for (s)", float(still_s)),
            ("Mean brightness (0-255)", last.mean),
            ("Contrast, 1 to 99 % (0-255)", last.high - last.low),
            ("Saturated share", last.saturated),
            ("Sharpness", "n/a" if last.sharpness is None else last.sharpness),
        ]
        level = max((level for level, _ in told), default=Level.OK)
        return Status(name, level, " ".join(m for _, m in told) or "The picture is normal.", values_of(pairs))
