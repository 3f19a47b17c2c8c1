"""A frame's truth after the frame was cut and mirrored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.core.errors import DataError
from edgekit.core.predictions import Objects
from edgekit.core.suggest import allowed
from edgekit.core.tensors import Array
from edgekit.training.augment._window import Window

VISIBLE = 0.25
"""An object of which less is left in the frame counts neither as there nor as not there."""


@dataclass(frozen=True)
class Follows:
    """Truths of a frame of ``size`` (height, width) after it was seen through ``window``.

    Args:
        window: what is seen.
        size: of the frame.
        keypoints: names of objects' points; None: they have none.
        swap: pairs of these names that change places in a mirror.
        frame: named in errors.
    """

    window: Window
    size: tuple[int, int]
    keypoints: Sequence[str] | None
    swap: tuple[tuple[str, str], ...]
    frame: str

    def __call__(self, truth: Any, part: str = "truth") -> Any:
        """The truth, in its own form.

        Raises:
            DataError: it is not known how it follows.
        """
        if isinstance(truth, Objects):
            return self._objects(truth)
        if isinstance(truth, np.ndarray) and truth.shape == self.size:
            return self.window.labels(truth)
        if isinstance(truth, Mapping) and not any(isinstance(one, float | np.floating) for one in truth.values()):
            return {name: self(one, f"truth {name!r}") for name, one in truth.items()}
        if truth is None or (isinstance(truth, str | int | np.integer) and not isinstance(truth, bool)):
            return truth
        what = f"{truth.dtype}{list(truth.shape)}" if isinstance(truth, np.ndarray) else type(truth).__name__
        if isinstance(truth, Mapping):
            what = f"numbers ({', '.join(map(str, truth))})"
        height, width = self.size
        raise DataError(
            f"frame {self.frame!r}: the {part} is {what}, of which it is not known how it changes when the frame "
            f"({height} x {width}) is mirrored or cut; leave augment.flip and augment.crop out"
        )

    def _objects(self, truth: Objects) -> Objects:
        height, width = self.size
        corners = self.window.points(truth.boxes.reshape(-1, 2, 2), height, width)
        boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
        points = None if truth.keypoints is None else self._points(truth.keypoints)
        if self.window.share == 1:
            return Objects(boxes.astype(np.float32), truth.labels, truth.crowd, truth.areas, points)
        left, top, right, bottom = self.window.pixels(height, width)
        zoom = width * height / ((right - left) * (bottom - top))
        before = _area(np.clip(truth.boxes.astype(np.float64), 0, [width, height, width, height])) * zoom
        cut = np.clip(boxes, 0, [width, height, width, height])
        left_over = np.where(before > 0, _area(cut) / np.maximum(before, 1e-9), 0.0)
        kept = left_over > 0
        return Objects(
            cut[kept].astype(np.float32),
            truth.labels[kept],
            (truth.crowd | (left_over < VISIBLE))[kept],
            (truth.areas * left_over * zoom)[kept].astype(np.float32),
            None if points is None else points[kept],
        )

    def _points(self, keypoints: Array) -> Array:
        height, width = self.size
        moved = np.zeros_like(keypoints)
        moved[..., :2] = self.window.points(keypoints[..., :2], height, width)
        seen = (keypoints[..., 2] > 0) & (moved[..., :2] >= 0).all(-1) & (moved[..., :2] <= (width, height)).all(-1)
        moved[..., 2] = keypoints[..., 2]
        moved[~seen] = 0
        return moved[:, self._places(keypoints.shape[1])] if self.window.mirrored else moved

    def _places(self, count: int) -> list[int]:
        """Where each point comes from in a mirror."""
        names = self.keypoints
        if names is None or len(names) != count:
            raise DataError(
                f"frame {self.frame!r}: its objects have {count} keypoints without names, so it is not known which "
                "change places in a mirror; leave augment.flip out"
            )
        partner = {name: name.replace("left", "right") for name in names if "left" in name}
        for one, other in self.swap:
            unknown = next((name for name in (one, other) if name not in names), None)
            if unknown is not None:
                raise DataError(f"augment.swap: there is no keypoint {unknown!r}; {allowed(unknown, tuple(names))}")
            partner[one] = other
        both = {name: other for name, other in partner.items() if other in names}
        both |= {other: name for name, other in both.items()}
        return [list(names).index(both.get(name, name)) for name in names]


def _area(boxes: Array) -> Array:
    return np.asarray((boxes[:, 2] - boxes[:, 0]).clip(0) * (boxes[:, 3] - boxes[:, 1]).clip(0))
