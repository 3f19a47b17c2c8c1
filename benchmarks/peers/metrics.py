"""Accuracy against truth, or against the FP32 model where the truth is not at hand.  NumPy only."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from benchmarks.peers.models import CAMVID_CLASSES, CAMVID_VOID

from edgekit.core.predictions import Geometry
from edgekit.core.tensors import Array
from edgekit.tasks.segmentation import Segmentation

CONFIDENCE, NMS_IOU, MATCH_IOU = 0.25, 0.65, 0.5
YOLOX_STRIDES = (8, 16, 32)
# Of each kind: the number that decides, and what it is.
DECIDING = {
    "segmentation": ("miou", "mIoU on CamVid, 11 classes, void ignored"),
    "agreement": ("top1_agreement", "share of crops of CamVid frames with the class of FP32 (ImageNet is not used)"),
    "detection": ("f1", "F1 at IoU 0.5 against the detections of FP32 on CamVid frames (COCO is not used)"),
}


class Score(Protocol):
    """Adds up frames."""

    needs_reference: bool

    def update(self, output: Array, reference: Array | None, geometry: Geometry, truth: Array) -> None: ...
    def compute(self) -> dict[str, float | None]: ...


class Miou:
    """Mean IoU of logits ``(1, 11, h, w)`` against CamVid's masks."""

    needs_reference = False

    def __init__(self) -> None:
        self.task = Segmentation("logits", CAMVID_CLASSES, CAMVID_VOID)
        self.matrix = self.task.accumulator()

    def update(self, output: Array, reference: Array | None, geometry: Geometry, truth: Array) -> None:
        self.matrix.update(self.task.decode({"logits": output}, geometry), truth, "frame")

    def compute(self) -> dict[str, float | None]:
        found = self.matrix.compute()
        return {"miou": found["miou"], "pixel_accuracy": found["pixel_accuracy"]}


class Sqnr:
    """Signal to quantization noise in dB, over all values of all frames: ``10 log10(sum r^2 / sum (r - o)^2)``."""

    def __init__(self) -> None:
        self.signal = self.noise = 0.0

    def update(self, output: Array, reference: Array) -> None:
        wide = reference.astype(np.float64)
        self.signal += float(np.square(wide).sum())
        self.noise += float(np.square(wide - output).sum())

    def compute(self) -> float | None:
        """None when the outputs are equal."""
        return 10 * float(np.log10(self.signal / self.noise)) if self.noise > 0 else None


class Agreement:
    """Share of inputs whose highest logit is the reference's."""

    needs_reference = True

    def __init__(self) -> None:
        self.same = self.total = 0
        self.sqnr = Sqnr()

    def update(self, output: Array, reference: Array | None, geometry: Geometry, truth: Array) -> None:
        assert reference is not None
        self.same += int(output.argmax() == reference.argmax())
        self.total += 1
        self.sqnr.update(output, reference)

    def compute(self) -> dict[str, float | None]:
        return {"top1_agreement": self.same / self.total, "sqnr_db": self.sqnr.compute()}


class Detection:
    """F1 of detections against the reference's detections, counted over all frames."""

    needs_reference = True

    def __init__(self) -> None:
        self.hits = self.found = self.wanted = 0
        self.sqnr = Sqnr()

    def update(self, output: Array, reference: Array | None, geometry: Geometry, truth: Array) -> None:
        assert reference is not None
        found, wanted = (detections(values, geometry.tensor) for values in (output, reference))
        self.hits += matches(found, wanted)
        self.found += len(found)
        self.wanted += len(wanted)
        self.sqnr.update(output, reference)

    def compute(self) -> dict[str, float | None]:
        both = self.found + self.wanted
        f1 = 2 * self.hits / both if both else 1.0
        return {"f1": f1, "detections": self.found, "reference_detections": self.wanted, "sqnr_db": self.sqnr.compute()}


def detections(output: Array, size: tuple[int, int]) -> Array:
    """Rows ``x1 y1 x2 y2 score class`` in pixels of the tensor, best first, from YOLOX's head ``(1, N, 5 + classes)``.

    Boxes are offsets from the cells of the grids of strides 8, 16 and 32; objectness and classes are
    probabilities already (Ge et al., "YOLOX", 2021).  NMS is done within a class.
    """
    grids, steps = [], []
    for stride in YOLOX_STRIDES:
        rows, columns = size[0] // stride, size[1] // stride
        y, x = np.divmod(np.arange(rows * columns), columns)
        grids.append(np.stack([x, y], axis=1))
        steps.append(np.full((rows * columns, 1), stride))
    grid, step = np.concatenate(grids), np.concatenate(steps)
    head = output[0].astype(np.float64)
    classes = head[:, 5:].argmax(axis=1)
    scores = head[:, 4] * head[:, 5:].max(axis=1)
    keep = scores >= CONFIDENCE
    centres = ((head[:, :2] + grid) * step)[keep]
    halves = (np.exp(head[:, 2:4]) * step / 2)[keep]
    rows = np.column_stack([centres - halves, centres + halves, scores[keep], classes[keep]])
    return _suppressed(rows[np.argsort(-rows[:, 4], kind="stable")])


def _suppressed(rows: Array) -> Array:
    kept: list[Array] = []
    while len(rows):
        best, rows = rows[0], rows[1:]
        kept.append(best)
        rows = rows[(iou(best, rows) <= NMS_IOU) | (rows[:, 5] != best[5])]
    return np.array(kept).reshape(-1, 6)


def iou(box: Array, boxes: Array) -> Array:
    """Of ``x1 y1 x2 y2 ...`` with each row of ``boxes``."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:4], boxes[:, 2:4])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    areas = (boxes[:, 2:4] - boxes[:, :2]).prod(axis=1) + (box[2:4] - box[:2]).prod()
    return np.asarray(shared / np.maximum(areas - shared, 1e-12))


def matches(found: Array, wanted: Array) -> int:
    """Pairs of one class with an IoU of at least 0.5: each found box, best first, takes the best box left."""
    free = np.ones(len(wanted), bool)
    hits = 0
    for row in found:
        overlaps = np.where(free & (wanted[:, 5] == row[5]), iou(row, wanted), 0.0)
        if len(overlaps) and overlaps.max() >= MATCH_IOU:
            free[overlaps.argmax()] = False
            hits += 1
    return hits


KINDS: dict[str, Any] = {"segmentation": Miou, "agreement": Agreement, "detection": Detection}


def score(kind: str) -> Score:
    """An empty score of one kind of metric."""
    made: Score = KINDS[kind]()
    return made
