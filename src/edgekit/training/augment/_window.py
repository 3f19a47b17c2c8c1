"""The part of a frame that is seen, and whether in a mirror."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgekit.core.tensors import Array


@dataclass(frozen=True)
class Window:
    """A part of a frame that fills the whole of it afterwards.

    Args:
        mirrored: left to right, after cutting.
        share: of the width and of the height that is seen, in (0, 1].
        left: where the part begins: 0 at the left border, 1 as far right as it goes.
        top: the same downwards.
    """

    mirrored: bool
    share: float
    left: float
    top: float

    def pixels(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the part in a frame of this size, whole pixels."""
        w, h = (max(1, round(self.share * size)) for size in (width, height))
        left, top = round(self.left * (width - w)), round(self.top * (height - h))
        return left, top, left + w, top + h

    def image(self, image: Array) -> Array:
        """An image ``(H, W, 3)``, in its size and type; resized with pixel centres aligned."""
        import cv2

        return self._moved(image, cv2.INTER_LINEAR)

    def labels(self, labels: Array) -> Array:
        """Ids or distances ``(H, W)``: each pixel takes the value of the nearest one, none in between."""
        import cv2

        return self._moved(labels, cv2.INTER_NEAREST_EXACT)

    def points(self, points: Array, height: int, width: int) -> Array:
        """Coordinates ``(..., 2)`` in pixels of a frame of this size: x and y, pixel ``i`` reaches to ``i + 1``."""
        left, top, right, bottom = self.pixels(height, width)
        scale = np.array([width / (right - left), height / (bottom - top)])
        moved = (np.asarray(points, np.float64) - (left, top)) * scale
        if self.mirrored:
            moved[..., 0] = width - moved[..., 0]
        return np.asarray(moved)

    def _moved(self, image: Array, how: int) -> Array:
        import cv2

        height, width = image.shape[:2]
        left, top, right, bottom = self.pixels(height, width)
        part = image[top:bottom, left:right]
        if part.shape != image.shape:
            part = np.asarray(cv2.resize(np.ascontiguousarray(part), (width, height), interpolation=how))
        return np.ascontiguousarray(part[:, ::-1] if self.mirrored else part)
