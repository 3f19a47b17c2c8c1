"""The COCO detection metrics, one frame at a time.

Average precision over ten overlaps from 0.5 to 0.95, interpolated at 101 recalls, for all objects and
by their size, and the recall with 1, 10 and 100 detections a class and frame (Lin et al., "Microsoft
COCO: common objects in context", ECCV 2014; cocodataset.org/#detection-eval).  Equal to the reference
implementation, pycocotools, where frames are counted in the order of their names.

Frames are matched soon after they are added, many at a time: between two inferences all of it would have left the
processor's caches, and take several times as long.  Then each detection needs 17 bytes: its class, its score, its place
in the frame, and two bits for each overlap and size.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import DataError, TensorError
from edgekit.core.predictions import Detections, Objects
from edgekit.core.tensors import Array
from edgekit.tasks import Accumulator
from edgekit.tasks._nms import areas, intersections
from edgekit.tasks._weights import checked, checked_rows, mean, single
from edgekit.tasks.detection.precision import MOST, Sorted, alone, scores

OVERLAPS = np.linspace(0.5, 0.95, 10)
_EQUAL = 1 - 1e-10  # an overlap that counts as whole
SIZES = {"": (0.0, 1e10), "_small": (0.0, 32.0**2), "_medium": (32.0**2, 96.0**2), "_large": (96.0**2, 1e10)}
"""Suffix of the metrics to the area in square pixels, both ends included."""
_RANGES = np.array(list(SIZES.values()))
_SIZE, _STEP = np.ogrid[: len(SIZES), : len(OVERLAPS)]
NAMES = (
    "map", "ap50", "ap75", "ap_small", "ap_medium", "ap_large",
    "ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large",
)  # fmt: skip
"""The twelve numbers, in the order of COCO."""

_RECORD = np.dtype([("label", "<u2"), ("rank", "u1"), ("score", "<f4"), ("bits", "u1", (10,))])
_TOGETHER = 64
"""Frames that are matched at once."""
_FRAMES = 512
"""Frames that are scored alone at once."""
_OBJECT = np.dtype([("label", "<u2"), ("sizes", "?", (len(SIZES),))])


class _Frame(NamedTuple):
    """Copies of what is matched later: a prediction, and its truth."""

    boxes: Array
    scores: Array
    labels: Array
    true_boxes: Array
    true_labels: Array
    crowd: Array
    areas: Array


class CocoMetrics(Accumulator):
    """Average precision and recall over frames, whose order does not matter.

    With weights, the detections and the objects of a frame count as often as the frame does.  Of equal scores in
    one frame, each counts so often before the next begins.  Of the classes ``mistaken``, which no frame can show, every
    detection is a mistake: their average precision is 0 as soon as there is one.
    """

    def __init__(self, classes: Sequence[str], mistaken: Collection[int] = ()) -> None:
        self.classes = tuple(classes)
        self.mistaken = tuple(sorted(mistaken))
        self._frames: dict[str, NDArray[np.void]] = {}
        self._objects: list[NDArray[np.void]] = []
        self._waiting: dict[str, _Frame] = {}
        self._sorted: Sorted | None = None

    def __len__(self) -> int:
        return len(self._frames) + len(self._waiting)

    @property
    def frames(self) -> dict[str, NDArray[np.void]]:
        """The matched detections of each frame."""
        self._match()
        return self._frames

    @property
    def objects(self) -> list[NDArray[np.void]]:
        """True objects of each frame, without crowds, by class and size."""
        self._match()
        return self._objects

    def update(self, prediction: Detections, truth: Any, sample_id: str) -> None:
        """Add a frame; ``truth`` is :class:`~edgekit.core.predictions.Objects`.

        Of each class the 100 surest detections count; of equal scores those that come first.

        Raises:
            DataError: truth is missing or of another kind, has an unknown class, a box or area that is
                negative or no number; or the sample was added before.
            TensorError: the prediction has an unknown class.
        """
        self._check(prediction, truth, sample_id)
        found = prediction.boxes, prediction.scores, prediction.labels
        true = truth.boxes, truth.labels, truth.crowd, truth.areas
        self._waiting[sample_id] = _Frame(*(array.copy() for array in (*found, *true)))
        self._sorted = None
        if len(self._waiting) == _TOGETHER:
            self._match()

    def _match(self) -> None:
        for name, frame in self._waiting.items():
            ignored, real = np.asarray(_outside(frame.areas.astype(np.float64)) | frame.crowd), ~frame.crowd
            objects = np.empty(int(real.sum()), _OBJECT)
            objects["label"], objects["sizes"] = frame.true_labels[real], ~ignored[:, real].T
            self._frames[name] = _matched(frame, ignored)
            self._objects.append(objects)
        self._waiting.clear()

    def _check(self, prediction: Detections, truth: Any, sample_id: str) -> None:
        where, count = f"sample {sample_id!r}", len(self.classes)
        check_objects(truth, count, sample_id)
        if sample_id in self._frames or sample_id in self._waiting:
            raise DataError(f"{where}: was added before; every frame needs a name of its own")
        if (wrong := _outside_classes(prediction.labels, count)) is not None:
            raise TensorError(f"{where}: the prediction has the class id {wrong}; {_allowed_ids(count)}")

    def compute(self, weights: Array | None = None) -> dict[str, float]:
        """The twelve numbers of :data:`NAMES` and ``ap/<class>``, over all frames so far.

        What has no true object (of a size, of a class) was not measured, and has no entry.

        Raises:
            DataError: no true object was added; or as :meth:`Accumulator.compute`.
        """
        found = self.compute_many(checked(weights, len(self))[None])
        return single(found, "map", "no true object to score detections with; evaluate frames that have some")

    def compute_many(self, weights: Array, names: Collection[str] | None = None) -> dict[str, Array]:
        """As :meth:`Accumulator.compute_many`; the detections are put in order once for all rows.

        Half of the time goes into the metrics by size; ``names`` without them leaves them out.
        """
        rows = checked_rows(weights, len(self))
        self._sorted = self._sorted or self._in_order()
        by_size = names is None or any(name.endswith(tuple(filter(None, SIZES))) for name in names)
        kept = np.flatnonzero(rows.any(axis=0))
        weighed, part = np.take(rows, kept, axis=1), self._sorted.part(kept)
        precision, recall = scores(weighed, part, by_size)
        for label in self.mistaken:
            precision[weighed[:, part.frames[part.labels == label]].any(axis=1), label, 0] = 0
        by_class = precision[:, :, 0].mean(axis=2)
        found = {"map": mean(by_class), "ap50": mean(precision[:, :, 0, 0]), "ap75": mean(precision[:, :, 0, 5])}
        for i, suffix in enumerate(SIZES):
            if suffix and by_size:
                found[f"ap{suffix}"] = mean(precision[:, :, i].mean(axis=2))
        for i, name in enumerate(name for name in NAMES if name.startswith("ar")):
            if by_size or i < len(MOST):
                found[name] = mean(recall[:, :, i])
        return found | {f"ap/{name}": by_class[:, i] for i, name in enumerate(self.classes)}

    def alone(self, name: str) -> Array:
        """As :meth:`Accumulator.alone`; ``map`` of all frames at once."""
        if name != "map" or self.mistaken:
            return super().alone(name)
        self._sorted = self._sorted or self._in_order()
        places = np.split(np.arange(len(self)), range(_FRAMES, len(self), _FRAMES))
        return np.concatenate([mean(alone(self._sorted.part(kept)).mean(axis=2)) for kept in places])

    def _in_order(self) -> Sorted:
        places = {name: i for i, name in enumerate(self.frames)}
        names = sorted(self.frames, key=_natural)
        records = np.concatenate([np.empty(0, _RECORD), *(self.frames[name] for name in names)])
        frames = np.repeat([places[name] for name in names], [len(self.frames[name]) for name in names])
        order = np.lexsort((-records["score"], records["label"]))  # stable
        records, frames = records[order], frames[order].astype(np.int32)
        objects = np.zeros((len(self), len(self.classes), len(SIZES)))
        for row, found in zip(objects, self.objects, strict=True):
            np.add.at(row, found["label"], found["sizes"])
        labels, ranks = records["label"].copy(), records["rank"].copy()  # views would keep the scores too
        return Sorted(frames, labels, ranks, np.ascontiguousarray(records["bits"].T), objects)


def check_objects(truth: Any, count: int, sample_id: str) -> None:
    """Raise :class:`DataError` unless ``truth`` is objects of ``count`` classes with boxes and areas."""
    where = f"sample {sample_id!r}"
    if not isinstance(truth, Objects):
        found = "missing" if truth is None else f"{type(truth).__name__}, no objects"
        raise DataError(f"{where}: truth is {found}; evaluate on a dataset with boxes, such as the format coco")
    if (wrong := _outside_classes(truth.labels, count)) is not None:
        raise DataError(f"{where}: truth has the class id {wrong}; {_allowed_ids(count)}")
    sizes = truth.boxes[:, 2:] - truth.boxes[:, :2]
    bad = ~(np.isfinite(truth.boxes).all(axis=1) & (sizes >= 0).all(axis=1) & (truth.areas >= 0))
    if bad.any():
        i = int(bad.argmax())
        raise DataError(
            f"{where}: true object {i} has the box {truth.boxes[i].tolist()} and the area {truth.areas[i]}; "
            "expected left <= right, top <= bottom, an area of 0 or more; correct the labels"
        )


def _outside_classes(labels: Array, count: int) -> int | None:
    bad = (labels < 0) | (labels >= count)
    return int(labels[bad][0]) if bad.any() else None


def _allowed_ids(count: int) -> str:
    return f"allowed: 0..{count - 1}; correct task.classes, or give the data set the names of its classes"


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Numbers in a name count as numbers, so that frame 9 comes before frame 10."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(int(part), "") if part[0] in "0123456789" else (-1, part) for part in parts], name


def _outside(pixels: Array) -> NDArray[np.bool_]:
    """Whether areas ``(N,)`` in square pixels are not of a size: bool ``(4, N)``."""
    return np.asarray((pixels < _RANGES[:, :1]) | (pixels > _RANGES[:, 1:]))


def _matched(frame: _Frame, ignored: Array) -> NDArray[np.void]:
    """The detections of a frame, class by class and the surest first, each with what it found.

    ``ignored`` bool ``(4, G)`` says for each size whether an object counts neither as found nor as missed.
    """
    order = np.lexsort((-frame.scores, frame.labels))  # stable
    labels = frame.labels[order]
    rank = np.arange(len(order)) - np.searchsorted(labels, labels)
    order, labels, rank = (column[rank < MOST[-1]] for column in (order, labels, rank))
    boxes = frame.boxes[order].astype(np.float64)
    overlaps = _overlaps(boxes, frame.true_boxes.astype(np.float64), frame.crowd)
    overlaps[labels[:, None] != frame.true_labels] = 0
    right, skipped = _assign(overlaps, ignored, frame.crowd)
    # A detection of another size that found nothing is no mistake.
    skipped |= ~right & _outside(areas(boxes))[:, None]
    right &= ~skipped
    made = np.empty(len(order), _RECORD)
    made["label"], made["rank"], made["score"] = labels, rank, frame.scores[order]
    flags = np.concatenate([right, ~skipped]).reshape(2 * len(SIZES) * len(OVERLAPS), len(order))
    made["bits"] = np.packbits(flags, axis=0).T
    return made


def _overlaps(boxes: Array, true_boxes: Array, crowd: Array) -> NDArray[np.float64]:
    """Intersection over union ``(D, G)``; with a crowd, over the detection's own area."""
    shared = intersections(boxes, true_boxes)
    detected = areas(boxes)[:, None]
    whole = np.where(crowd, detected, detected + areas(true_boxes) - shared)
    return np.divide(shared, whole, out=np.zeros_like(shared), where=shared > 0)


def _assign(overlaps: Array, ignored: Array, crowd: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Objects to detections, in the order of the rows: each takes the free object it overlaps most.

    An object that counts comes before one that is ignored; of equal overlaps the last object is taken; a
    crowd may be taken again and again.

    Returns:
        Whether a detection took an object, and whether that is ignored: bool ``(4, 10, D)`` each.
    """
    count = overlaps.shape[1]
    took = np.zeros((len(SIZES), len(OVERLAPS), len(overlaps)), np.bool_)
    skipped = np.zeros_like(took)
    least = np.minimum(OVERLAPS, _EQUAL)[:, None]
    near = overlaps >= least[0]
    candidates, wanted = np.count_nonzero(near, axis=1), np.count_nonzero(near, axis=0)
    # Most detections have one object, and it has no other detection: these need no turns.
    alone, of = np.nonzero(near & (candidates == 1)[:, None] & (wanted == 1))
    hits = overlaps[alone, of] >= least
    took[..., alone] = hits
    skipped[..., alone] = hits & ignored[:, None, of]
    candidates[alone] = 0
    free = np.ones((*took.shape[:2], count), np.bool_)
    for i in np.flatnonzero(candidates).tolist():
        order = np.empty(count, np.int64)
        order[np.argsort(overlaps[i], kind="stable")] = np.arange(count)
        preference = order + count * ~ignored
        choice = np.where(free & (overlaps[i] >= least), preference[:, None], -1)
        best = choice.argmax(axis=2)
        hit = np.take_along_axis(choice, best[..., None], axis=2)[..., 0] >= 0
        took[..., i] = hit
        skipped[..., i] = hit & ignored[_SIZE, best]
        free[_SIZE, _STEP, best] &= ~hit | crowd[best]
    return took, skipped
