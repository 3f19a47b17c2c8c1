"""What a task makes of a model's outputs, in the coordinates of the original image."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.core.errors import TensorError
from edgekit.core.tensors import Array


@dataclass(frozen=True)
class Geometry:
    """How an image went into a tensor, exactly enough to bring results back.

    ``original`` and ``tensor`` are (height, width) in pixels; ``content`` is the
    part (top, left, height, width) of the tensor that the image fills: all of it
    when stretched, less when letterboxed.
    """

    original: tuple[int, int]
    tensor: tuple[int, int]
    content: tuple[int, int, int, int]


@dataclass(frozen=True)
class LabelMap:
    """One class id per pixel of the original image: ``labels`` uint8 ``(H, W)``."""

    labels: Array

    def __post_init__(self) -> None:
        if self.labels.ndim != 2 or self.labels.dtype.name != "uint8":
            raise TensorError(f"label map is {self.labels.dtype}{list(self.labels.shape)}; expected uint8[H, W]")
