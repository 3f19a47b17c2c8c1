"""Non-maximum suppression: of boxes that show the same object, keep the surest.

``class-aware`` and ``class-agnostic`` drop a box that overlaps a surer one (of its class) by more than
``iou``; ``soft-linear`` and ``soft-gaussian`` lower its score instead (Bodla et al., "Soft-NMS: improving
object detection with one line of code", ICCV 2017), class by class.

OpenCV has these too, as part of its optional ``dnn`` module; the cost of what is here does not grow with
the number of boxes that overlap nothing, because it ends when enough are found.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekit.core.tensors import Array

_BLOCK = 32  # candidates compared with all others at once: more wastes work on boxes that fall anyway


def suppress(
    boxes: Array, scores: Array, labels: Array, mode: str, iou: float, sigma: float, least: float, most: int
) -> tuple[NDArray[np.intp], Array]:
    """What is left of candidates, the surest first.

    Args:
        boxes: ``(N, 4)`` left, top, right, bottom; finite, each larger than nothing.
        scores: ``(N,)``, falling.
        labels: ``(N,)`` class ids.
        mode: see the module; ``none`` keeps every candidate.
        iou: overlap, 0..1, above which two boxes show one object; ``soft-gaussian`` does not use it.
        sigma: of ``soft-gaussian``: an overlap ``o`` multiplies the score by ``exp(-o * o / sigma)``.
        least: score below which ``soft-*`` drops a candidate.
        most: the number of detections at which the search ends.

    Returns:
        Indices into the candidates, and their scores.
    """
    if mode == "none":
        kept = np.arange(min(len(boxes), most))
        return kept, scores[kept]
    wide = boxes.astype(np.float64)
    if mode != "class-agnostic" and len(wide):
        # Classes side by side: boxes of different ones never meet.
        wide += (labels * (wide.max() - wide.min() + 1))[:, None]
    if mode in ("class-aware", "class-agnostic"):
        kept = _greedy(wide, iou, most)
        return kept, scores[kept]
    return _soft(wide, scores, None if mode == "soft-gaussian" else iou, sigma, least, most)


def intersections(first: Array, second: Array) -> NDArray[np.float64]:
    """Shared area of every pair of boxes, float64 ``(N, M)``."""
    a, b = first.T[:, :, None], second.T[:, None, :]
    width = np.minimum(a[2], b[2])
    width -= np.maximum(a[0], b[0])
    height = np.minimum(a[3], b[3])
    height -= np.maximum(a[1], b[1])
    shared: NDArray[np.float64] = np.maximum(width, 0, out=width)
    shared *= np.maximum(height, 0, out=height)
    return shared


def areas(boxes: Array) -> Array:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def _greedy(boxes: NDArray[np.float64], iou: float, most: int) -> NDArray[np.intp]:
    sizes = areas(boxes)
    rest = np.arange(len(boxes))
    kept: list[int] = []
    while len(rest) and len(kept) < most:
        head = rest[:_BLOCK]
        shared = intersections(boxes[head], boxes[rest])
        # The quotient shared / union > iou without its division.
        drops = shared * (1 + iou) > iou * (sizes[head][:, None] + sizes[rest])
        alive = np.ones(len(rest), np.bool_)
        for place, index in enumerate(head.tolist()):
            if alive[place]:
                kept.append(index)
                alive &= ~drops[place]
        rest = rest[_BLOCK:][alive[_BLOCK:]]
    return np.array(kept[:most], np.intp)


def _soft(
    boxes: NDArray[np.float64], scores: Array, iou: float | None, sigma: float, least: float, most: int
) -> tuple[NDArray[np.intp], Array]:
    """``iou`` is the threshold of the linear rule, None for the Gaussian one."""
    sizes = areas(boxes)
    current = scores.astype(np.float64)
    kept: list[int] = []
    found: list[float] = []
    while len(kept) < min(most, len(boxes)):
        best = int(current.argmax())
        if current[best] < least:
            break
        kept.append(best)
        found.append(float(current[best]))
        shared = intersections(boxes[best : best + 1], boxes)[0]
        overlap = shared / (sizes[best] + sizes - shared)
        current *= np.exp(-overlap * overlap / sigma) if iou is None else np.where(overlap > iou, 1 - overlap, 1)
        current[kept] = -1
    return np.array(kept, np.intp), np.array(found, scores.dtype)
