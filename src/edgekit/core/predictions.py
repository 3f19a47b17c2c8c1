"""What a task makes of a model's outputs, and the truth beside it, in the coordinates of the original image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

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


@dataclass(frozen=True)
class Detections:
    """Objects found in one frame, in any order.

    ``boxes`` float32 ``(N, 4)`` are left, top, right, bottom in pixels of the original image, where
    pixel ``i`` reaches from ``i`` to ``i + 1``; ``scores`` float32 ``(N,)`` in 0..1; ``labels`` int64
    ``(N,)`` are class ids.  Boxes may reach outside the image, whose (height, width) is ``size`` where it
    is known.
    """

    boxes: Array
    scores: Array
    labels: Array
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        _check_boxes("detections", self.boxes, {"scores": (self.scores, "float32"), "labels": (self.labels, "int64")})
        if not (np.isfinite(self.boxes).all() and np.isfinite(self.scores).all()):
            raise TensorError("detections hold NaN or infinity; check the model with: edgekit verify")

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True)
class Objects:
    """The objects that truly are in one frame.

    ``boxes`` and ``labels`` as in :class:`Detections`; ``crowd`` bool ``(N,)`` marks regions of many
    objects (COCO's ``iscrowd``), in which detections count neither as right nor as wrong; ``areas``
    float32 ``(N,)`` in square pixels decide the size class: of the object's mask where the data set
    has one, else of the box.  ``keypoints`` float32 ``(N, K, 3)``, where the data set has some, are x and y in pixels
    and whether it is labelled: 0 not, 1 hidden, 2 visible (COCO's ``v``).
    """

    boxes: Array
    labels: Array
    crowd: Array
    areas: Array
    keypoints: Array | None = None

    def __post_init__(self) -> None:
        points = self.keypoints
        if points is not None and (points.ndim != 3 or points.shape[::2] != (len(self.boxes), 3)):
            found = f"{points.dtype}{list(points.shape)}"
            raise TensorError(f"objects: keypoints are {found}; expected float32[{len(self.boxes)}, K, 3]")
        columns = {"labels": (self.labels, "int64"), "crowd": (self.crowd, "bool"), "areas": (self.areas, "float32")}
        _check_boxes("objects", self.boxes, columns)

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True)
class ClassScores:
    """The probability of each class for one frame: float32 ``(C,)`` that sum to one."""

    probabilities: Array

    def __post_init__(self) -> None:
        if self.probabilities.ndim != 1 or self.probabilities.dtype.name != "float32":
            found = f"{self.probabilities.dtype}{list(self.probabilities.shape)}"
            raise TensorError(f"class scores are {found}; expected float32[C]")


@dataclass(frozen=True)
class Embedding:
    """What identifies the subject of one frame: float32 ``(D,)``, compared by cosine."""

    vector: Array

    def __post_init__(self) -> None:
        if self.vector.ndim != 1 or self.vector.dtype.name != "float32":
            raise TensorError(f"embedding is {self.vector.dtype}{list(self.vector.shape)}; expected float32[D]")


@dataclass(frozen=True)
class Values:
    """Numbers of one frame by name: ``values`` float64 ``(len(names),)``, in the unit of the labels."""

    names: tuple[str, ...]
    values: Array

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.names),) or self.values.dtype.name != "float64":
            found = f"{self.values.dtype}{list(self.values.shape)}"
            raise TensorError(f"values are {found}; expected float64[{len(self.names)}]")


@dataclass(frozen=True)
class Tensors:
    """Outputs of one frame as the model gives them, by name."""

    values: Mapping[str, Array]


def _check_boxes(what: str, boxes: Array, columns: dict[str, tuple[Array, str]]) -> None:
    if boxes.ndim != 2 or boxes.shape[1] != 4 or boxes.dtype.name != "float32":
        raise TensorError(f"{what}: boxes are {boxes.dtype}{list(boxes.shape)}; expected float32[N, 4]")
    for name, (column, dtype) in columns.items():
        if column.shape != (len(boxes),) or column.dtype.name != dtype:
            expected = f"{dtype}[{len(boxes)}]"
            raise TensorError(f"{what}: {name} is {column.dtype}{list(column.shape)}; expected {expected}")
