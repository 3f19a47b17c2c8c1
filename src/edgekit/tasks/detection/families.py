"""What the numbers of detection heads mean, as data: reference points, box codings, families.

A head has one row per candidate.  Its box columns are read by one entry of :data:`CODINGS`; a
:class:`Family` names that entry and says where the columns are and what the scores are.  A new kind
of model is one row of :data:`FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.core.tensors import Array

Size = tuple[int, int]
"""Height and width of the input in pixels."""

Pairs = tuple[tuple[float, float], ...]
Prior = tuple[float, float, float, float]
Layout = Literal["rows", "columns", "maps", "final"]
BoxCoding = Literal[
    "grid-exp", "grid-tanh", "sides", "distribution", "anchor-variance", "anchor-exp", "anchor-sigmoid", "cxcywh",
    "cxcywh-sigmoid", "xyxy", "yxyx",
]  # fmt: skip
Unit = Literal["pixels", "normalised"]
ScoreCoding = Literal["probability", "sigmoid", "softmax"]
Background = Literal["none", "first", "last"]
ColumnOrder = Literal["box-first", "objectness-first"]
AnchorOrder = Literal["anchor-first", "cell-first"]
NmsMode = Literal["class-aware", "class-agnostic", "soft-linear", "soft-gaussian", "none"]


@dataclass(frozen=True)
class Family:
    """How a kind of model writes its detections; every field is a key of the task that overrides it.

    ``layout``: ``rows`` ``(1, N, K)``, ``columns`` ``(1, K, N)``, ``maps`` one ``(1, A*K, h, w)`` or
    ``(1, A, h, w, K)`` a stride, or ``final``: lists of objects, suppressed inside the model.
    ``box_coding``: an entry of :data:`CODINGS`; ``unit``: of coordinates that need no reference point.
    ``score_coding``: what turns the scores into probabilities; ``objectness``: whether a column before
    the classes multiplies them; ``score_powers``: the exponents a and b of ``objectness^a * class^b``;
    ``column_order``: whether a row that holds all begins with the box or with the objectness;
    ``background``: where the scores have a column that is no class.
    ``multi_label``: a box may be several classes.  ``strides`` in pixels; ``anchors`` (width, height) in
    pixels a stride, ``anchor_order`` whether all cells of an anchor come together (``anchor-first``) or all
    anchors of a cell; ``variances`` of SSD; ``bins`` of a distribution.  ``nms``, ``iou`` and ``sigma``:
    see :mod:`edgekit.tasks._nms`.  ``clip``: whether boxes are cut at the borders of the image, as the code
    does that the family's published figures come from.
    """

    layout: Layout
    box_coding: BoxCoding
    unit: Unit = "pixels"
    score_coding: ScoreCoding = "probability"
    objectness: bool = False
    score_powers: tuple[float, float] = (1.0, 1.0)
    column_order: ColumnOrder = "box-first"
    background: Background = "none"
    multi_label: bool = False
    strides: tuple[int, ...] = ()
    anchors: tuple[Pairs, ...] = ()
    anchor_order: AnchorOrder = "anchor-first"
    variances: tuple[float, float] = (0.1, 0.2)
    bins: int = 16
    nms: NmsMode = "class-aware"
    iou: float = 0.65
    sigma: float = 0.5
    clip: bool = False

    @property
    def box_columns(self) -> int:
        return 4 * (self.bins if self.box_coding == "distribution" else 1)

    @property
    def per_cell(self) -> int:
        """Candidates of one cell of a grid."""
        return len(self.anchors[0]) if self.anchors else 1

    def score_columns(self, classes: int) -> int:
        return classes + (self.background != "none")

    def columns(self, classes: int) -> int:
        """Width of a row that holds box, objectness and scores."""
        return self.box_columns + self.objectness + self.score_columns(classes)


_STRIDES = (8, 16, 32)
# The published anchors of YOLOv5, fitted to COCO at 640x640.
_YOLOV5 = (
    ((10.0, 13.0), (16.0, 30.0), (33.0, 23.0)),
    ((30.0, 61.0), (62.0, 45.0), (59.0, 119.0)),
    ((116.0, 90.0), (156.0, 198.0), (373.0, 326.0)),
)

FAMILIES: dict[str, Family] = {
    # Ge et al., "YOLOX: Exceeding YOLO Series in 2021"; the published export applies the sigmoid, not the grid.  Its
    # evaluator leaves boxes as they are.
    "yolox": Family("rows", "grid-exp", objectness=True, strides=_STRIDES),
    "yolox-decoded": Family("rows", "cxcywh", objectness=True),
    # Distances as distributions: Li et al., "Generalized Focal Loss", NeurIPS 2020.  scale_boxes cuts.
    "yolov8": Family(
        "columns", "distribution", score_coding="sigmoid", multi_label=True, strides=_STRIDES, iou=0.7, clip=True
    ),
    "yolov8-decoded": Family("columns", "cxcywh", multi_label=True, iou=0.7, clip=True),
    "yolov5": Family(
        "maps", "anchor-sigmoid", score_coding="sigmoid", objectness=True, multi_label=True, strides=_STRIDES,
        anchors=_YOLOV5, iou=0.6, clip=True,
    ),
    "yolov5-decoded": Family("rows", "cxcywh", objectness=True, multi_label=True, iou=0.6, clip=True),
    # Redmon and Farhadi, "YOLOv3: An incremental improvement", 2018; darknet writes cut boxes.  Same anchors as YOLOv5.
    "yolov3": Family(
        "maps", "anchor-exp", score_coding="sigmoid", objectness=True, multi_label=True, strides=_STRIDES,
        anchors=_YOLOV5, iou=0.45, clip=True,
    ),
    # One map; sigmoid and softmax are in the published network, tanh and sigmoid of the boxes are not.
    "fastestdet": Family(
        "maps", "grid-tanh", objectness=True, score_powers=(0.6, 0.4), column_order="objectness-first", strides=(16,),
        iou=0.45,
    ),
    # Tian et al., "FCOS", ICCV 2019, without its centre-ness; clip_to_image.
    "fcos": Family(
        "maps", "sides", score_coding="sigmoid", multi_label=True, strides=(8, 16, 32, 64, 128), iou=0.6, clip=True
    ),
    # Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016; torchvision's cuts.
    "ssd": Family(
        "rows", "anchor-variance", score_coding="softmax", background="first", multi_label=True,
        anchor_order="cell-first", iou=0.45, clip=True,
    ),
    # Carion et al., "End-to-End Object Detection with Transformers", ECCV 2020.
    "detr": Family("rows", "cxcywh", "normalised", "softmax", background="last", nms="none"),
    # Deformable DETR and RT-DETR: focal loss, so classes are independent of each other.
    "detr-sigmoid": Family("rows", "cxcywh", "normalised", "sigmoid", multi_label=True, nms="none"),
    "end2end": Family("final", "xyxy", nms="none"),
}  # fmt: skip


@dataclass(frozen=True)
class Coding:
    """``decode`` makes left, top, right, bottom from raw columns ``(M, K)`` and their reference points ``(M, 5)``.

    ``needs`` says what the points are made of; with "nothing" coordinates are direct, in the family's unit.
    """

    decode: Callable[[Array, Array, Family], Array]
    needs: Literal["nothing", "strides", "anchors"]


def _corners(centres: Array, sizes: Array) -> Array:
    halves = sizes / 2
    return np.concatenate([centres - halves, centres + halves], axis=1)


def _grid_exp(raw: Array, points: Array, family: Family) -> Array:
    """Offset from the cell's corner in cells; logarithm of the size in cells (YOLOX)."""
    stride = points[:, 2:3]
    return _corners(points[:, :2] + (raw[:, :2] - 0.5) * stride, np.exp(raw[:, 2:]) * stride)


def _grid_tanh(raw: Array, points: Array, family: Family) -> Array:
    """Offset from the cell's corner as tanh of cells; size as sigmoid of the input's (FastestDet)."""
    corners = points[:, :2] - 0.5 * points[:, 2:3]
    return _corners(corners + np.tanh(raw[:, :2]) * points[:, 2:3], sigmoid(raw[:, 2:]) * points[:, 3:])


def _anchor_exp(raw: Array, points: Array, family: Family) -> Array:
    """Centre inside the cell as sigmoid; logarithm of the growth of the anchor (YOLOv3)."""
    centres = points[:, :2] + (sigmoid(raw[:, :2]) - 0.5) * points[:, 2:3]
    return _corners(centres, np.exp(raw[:, 2:]) * points[:, 3:])


def _cxcywh_sigmoid(raw: Array, points: Array, family: Family) -> Array:
    share = sigmoid(raw)
    return _corners(share[:, :2], share[:, 2:])


def _sides(raw: Array, points: Array, family: Family) -> Array:
    """Distances from the cell's centre to left, top, right, bottom, in cells (FCOS)."""
    reach = raw * points[:, 2:3]
    return np.concatenate([points[:, :2] - reach[:, :2], points[:, :2] + reach[:, 2:]], axis=1)


def _distribution(raw: Array, points: Array, family: Family) -> Array:
    """The mean of a distribution over 0, 1, ... cells for each side (Generalized Focal Loss, YOLOv8)."""
    # Bins before candidates: sums over the short last axis take four times as long.
    powers = np.ascontiguousarray(raw.T).reshape(4, family.bins, -1)
    powers = np.exp(powers - powers.max(axis=1, keepdims=True))
    mean = np.tensordot(np.arange(family.bins, dtype=np.float32), powers, axes=(0, 1)) / powers.sum(axis=1)
    return _sides(mean.T, points, family)


def _anchor_variance(raw: Array, points: Array, family: Family) -> Array:
    """Offset in anchors and logarithm of their growth, each divided by its variance in training (SSD)."""
    centre, size = family.variances
    anchor = points[:, 3:]
    return _corners(points[:, :2] + raw[:, :2] * centre * anchor, np.exp(raw[:, 2:] * size) * anchor)


def _anchor_sigmoid(raw: Array, points: Array, family: Family) -> Array:
    """Centre up to one and a half cells away, size up to four anchors (YOLOv5)."""
    share = sigmoid(raw)
    return _corners(points[:, :2] + (2 * share[:, :2] - 1) * points[:, 2:3], (2 * share[:, 2:]) ** 2 * points[:, 3:])


CODINGS: dict[BoxCoding, Coding] = {
    "grid-exp": Coding(_grid_exp, "strides"),
    "grid-tanh": Coding(_grid_tanh, "strides"),
    "sides": Coding(_sides, "strides"),
    "distribution": Coding(_distribution, "strides"),
    "anchor-variance": Coding(_anchor_variance, "anchors"),
    "anchor-exp": Coding(_anchor_exp, "anchors"),
    "anchor-sigmoid": Coding(_anchor_sigmoid, "anchors"),
    "cxcywh": Coding(lambda raw, points, family: _corners(raw[:, :2], raw[:, 2:]), "nothing"),
    "cxcywh-sigmoid": Coding(_cxcywh_sigmoid, "nothing"),
    "xyxy": Coding(lambda raw, points, family: raw.copy(), "nothing"),
    "yxyx": Coding(lambda raw, points, family: raw[:, [1, 0, 3, 2]], "nothing"),
}


def sigmoid(values: Array) -> Array:
    with np.errstate(over="ignore"):  # exp gives infinity, the quotient the right 0
        return np.asarray(1 / (1 + np.exp(-values)))


def softmax(values: Array) -> Array:
    """Over the last axis."""
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def to_pixels(raw: Array, points: Array, family: Family, size: Size) -> NDArray[np.float64]:
    """Boxes left, top, right, bottom in pixels of the input ``(M, 4)``; see :class:`Coding` for the arguments.

    Values that overflow become infinite.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        boxes = CODINGS[family.box_coding].decode(raw, points, family).astype(np.float64)
    if family.unit == "normalised":
        boxes *= np.array([size[1], size[0], size[1], size[0]], np.float64)
    return boxes


def grids(size: Size, strides: tuple[int, ...]) -> list[Size]:
    """Rows and columns of the grid of each stride; a cell that is cut off counts."""
    return [(-(-size[0] // stride), -(-size[1] // stride)) for stride in strides]


def points(size: Size, family: Family) -> NDArray[np.float32]:
    """The reference point of each candidate, ``(N, 5)``: centre x, y, stride, anchor width, height, in pixels.

    Without anchors, the whole input is one.
    Candidates are in the order of the strides, then anchors and cells in the family's order, cells row by row.
    """
    blocks = []
    anchors = family.anchors or (((float(size[1]), float(size[0])),),) * len(family.strides)
    for stride, shapes, (rows, columns) in zip(family.strides, anchors, grids(size, family.strides), strict=True):
        y, x = np.mgrid[:rows, :columns]
        cells = np.stack([x, y], axis=-1).reshape(-1, 2).astype(np.float32)
        block = np.empty((len(shapes), len(cells), 5), np.float32)
        block[..., :2] = (cells + 0.5) * stride
        block[..., 2] = stride
        block[..., 3:] = np.array(shapes, np.float32)[:, None]
        blocks.append((block if family.anchor_order == "anchor-first" else block.swapaxes(0, 1)).reshape(-1, 5))
    return np.concatenate(blocks) if blocks else np.empty((0, 5), np.float32)


def priors(size: Size, given: tuple[Prior, ...]) -> NDArray[np.float32]:
    """Reference points of boxes (centre x, y, width, height) that are shares of the input; as :func:`points`."""
    height, width = size
    made = np.zeros((len(given), 5), np.float32)
    made[:, [0, 1, 3, 4]] = np.array(given) * [width, height, width, height]
    return made
