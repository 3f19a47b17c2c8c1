"""What changed between two consecutive frames, for tasks whose predictions are objects or classes.

A matched pair of boxes is of one class and overlaps with an IoU of at least 0.5; pairs are taken
greedily, the highest IoU first, each box once.  (An optimal assignment finds more pairs only where
boxes of one class overlap each other by half, which non-maximum suppression removes.)
"""

from __future__ import annotations

import numpy as np

from edgekit.core.predictions import ClassScores, Detections, Objects
from edgekit.core.tensors import Array
from edgekit.tasks._nms import areas, intersections

IOU = 0.5


def changed_class(before: ClassScores, after: ClassScores) -> float:
    """1.0 when the most probable class changed, else 0.0."""
    return float(before.probabilities.argmax() != after.probabilities.argmax())


def changed_boxes(before: Detections, after: Detections, score: float) -> float:
    """The share of boxes of both frames that the other frame does not have: ``1 - 2 matched / (n + m)``.

    Only detections of at least ``score`` count, the ones a user of the model acts on.  Two frames without
    any have not changed.
    """
    before, after = _confident(before, score), _confident(after, score)
    total = len(before) + len(after)
    return 1 - 2 * len(matches(before, after)) / total if total else 0.0


def changed_objects(
    before: Detections, after: Detections, true_before: Objects, true_after: Objects, score: float
) -> float | None:
    """Of the true objects that both frames show, the share found in one of them only; None without such objects.

    The fragment error of Zhang and Wang, "On the stability of video detection and tracking", 2016, for data
    without track ids: an object is followed by its overlap from frame to frame.  Crowds count nowhere.
    """
    first, second = _countable(true_before), _countable(true_after)
    found_before = {i for i, _ in matches(first, _confident(before, score))}
    found_after = {i for i, _ in matches(second, _confident(after, score))}
    stayed = matches(first, second)
    return sum((i in found_before) != (j in found_after) for i, j in stayed) / len(stayed) if stayed else None


def matches(first: Detections | Objects, second: Detections | Objects) -> list[tuple[int, int]]:
    """Index pairs of the same object in both, each index once."""
    overlap = np.where(first.labels[:, None] == second.labels, _iou(first.boxes, second.boxes), 0.0)
    rows, columns = np.nonzero(overlap >= IOU)
    best = np.argsort(-overlap[rows, columns], kind="stable")
    taken_rows: set[int] = set()
    taken_columns: set[int] = set()
    pairs = []
    for row, column in zip(rows[best].tolist(), columns[best].tolist(), strict=True):
        if row not in taken_rows and column not in taken_columns:
            taken_rows.add(row)
            taken_columns.add(column)
            pairs.append((row, column))
    return pairs


def _confident(found: Detections, score: float) -> Detections:
    kept = found.scores >= score
    return Detections(found.boxes[kept], found.scores[kept], found.labels[kept], found.size)


def _countable(objects: Objects) -> Objects:
    kept = ~objects.crowd
    return Objects(objects.boxes[kept], objects.labels[kept], objects.crowd[kept], objects.areas[kept])


def _iou(first: Array, second: Array) -> Array:
    """Intersection over union of every pair, ``(N, M)``; 0 for boxes without area."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    shared = intersections(a, b)
    union = areas(a)[:, None] + areas(b) - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0))
