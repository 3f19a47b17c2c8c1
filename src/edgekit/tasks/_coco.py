"""The COCO detection metrics, one frame at a time.

Average precision over ten overlaps from 0.5 to 0.95, interpolated at 101 recalls, for all objects and
by their size, and the recall with 1, 10 and 100 detections a class and frame (Lin et al., "Microsoft
COCO: common objects in context", ECCV 2014; cocodataset.org/#detection-eval).  Equal to the reference
implementation, pycocotools, where frames are counted in the order of their names.

A frame is matched when it is added, and then each detection needs 17 bytes: its class, its score, its
place in the frame, and two bits for each overlap and size.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import DataError, TensorError
from edgekit.core.predictions import Detections, Objects
from edgekit.core.tensors import Array
from edgekit.tasks import Accumulator
from edgekit.tasks._nms import areas, intersections

OVERLAPS = np.linspace(0.5, 0.95, 10)
_EQUAL = 1 - 1e-10  # an overlap that counts as whole
RECALLS = np.linspace(0, 1, 101)
SIZES = {"": (0.0, 1e10), "_small": (0.0, 32.0**2), "_medium": (32.0**2, 96.0**2), "_large": (96.0**2, 1e10)}
"""Suffix of the metrics to the area in square pixels, both ends included."""
MOST = (1, 10, 100)
"""Detections a class and frame."""

NAMES = (
    "map", "ap50", "ap75", "ap_small", "ap_medium", "ap_large",
    "ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large",
)  # fmt: skip
"""The twelve numbers, in the order of COCO."""

_RECORD = np.dtype([("label", "<u2"), ("rank", "u1"), ("score", "<f4"), ("bits", "u1", (10,))])


class CocoMetrics(Accumulator):
    """Average precision and recall over frames, whose order does not matter."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self.frames: dict[str, NDArray[np.void]] = {}
        self.objects = np.zeros((len(classes), len(SIZES)), np.int64)
        """True objects by class and size, without crowds."""

    def update(self, prediction: Detections, truth: Any, sample_id: str) -> None:
        """Add a frame; ``truth`` is :class:`~edgekit.core.predictions.Objects`.

        Of each class the 100 surest detections count; of equal scores those that come first.

        Raises:
            DataError: truth is missing or of another kind, has an unknown class, a box or area that is
                negative or no number; or the sample was added before.
            TensorError: the prediction has an unknown class.
        """
        self._check(prediction, truth, sample_id)
        ignored = _ignored(truth)
        counted = [np.bincount(truth.labels[~out], minlength=len(self.classes)) for out in ignored]
        self.objects += np.stack(counted, axis=1)
        self.frames[sample_id] = _matched(prediction, truth, ignored)

    def _check(self, prediction: Detections, truth: Any, sample_id: str) -> None:
        where, count = f"sample {sample_id!r}", len(self.classes)
        if not isinstance(truth, Objects):
            found = "missing" if truth is None else f"{type(truth).__name__}, no objects"
            raise DataError(f"{where}: truth is {found}; evaluate on a dataset with boxes, such as the format coco")
        if sample_id in self.frames:
            raise DataError(f"{where}: was added before; every frame needs a name of its own")
        for what, labels, error in (
            ("truth", truth.labels, DataError), ("the prediction", prediction.labels, TensorError),
        ):  # fmt: skip
            if len(labels) and not 0 <= labels.min() <= labels.max() < count:
                wrong = labels[(labels < 0) | (labels >= count)][0]
                raise error(
                    f"{where}: {what} has the class id {wrong}; allowed: 0..{count - 1}; correct task.classes "
                    "or the classes of the dataset, which must be the same in the same order"
                )
        sizes = truth.boxes[:, 2:] - truth.boxes[:, :2]
        bad = ~(np.isfinite(truth.boxes).all(axis=1) & (sizes >= 0).all(axis=1) & (truth.areas >= 0))
        if bad.any():
            i = int(bad.argmax())
            raise DataError(
                f"{where}: true object {i} has the box {truth.boxes[i].tolist()} and the area {truth.areas[i]}; "
                "expected left <= right, top <= bottom, an area of 0 or more; correct the labels"
            )

    def compute(self) -> dict[str, float]:
        """The twelve numbers of :data:`NAMES` and ``ap/<class>``, over all frames so far.

        What has no true object (of a size, of a class) was not measured, and has no entry.

        Raises:
            DataError: no true object was added.
        """
        if not self.objects[:, 0].any():
            raise DataError("no true object to score detections with; evaluate frames that have some")
        records = np.concatenate([self.frames[name] for name in sorted(self.frames, key=_natural)])
        records = records[np.argsort(-records["score"], kind="stable")]
        records = records[np.argsort(records["label"], kind="stable")]
        starts = np.searchsorted(records["label"], np.arange(len(self.classes) + 1))
        precision: dict[str, dict[int, Array]] = {suffix: {} for suffix in SIZES}
        recall: dict[str, list[Array]] = {name: [] for name in NAMES if name.startswith("ar")}
        for label in np.flatnonzero(self.objects[:, 0]).tolist():
            own = records[starts[label] : starts[label + 1]]
            right, counted = _unpacked(own["bits"])
            for i, suffix in enumerate(SIZES):
                total = int(self.objects[label, i])
                if not total:
                    continue
                precision[suffix][label] = _precisions(right[i], counted[i], total)
                for most in MOST[-1:] if suffix else MOST:
                    hits = right[i][:, own["rank"] < most].sum(axis=1)
                    recall[f"ar{suffix or most}"].append(hits / total)
        return self._named(precision, recall)

    def _named(self, precision: dict[str, dict[int, Array]], recall: dict[str, list[Array]]) -> dict[str, float]:
        whole = np.array(list(precision[""].values()))
        found = {"map": whole, "ap50": whole[:, 0], "ap75": whole[:, 5]}
        found |= {f"ap{suffix}": np.array(list(precision[suffix].values())) for suffix in SIZES if suffix}
        found |= {name: np.array(values) for name, values in recall.items()}
        named = {name: float(found[name].mean()) for name in NAMES if found[name].size}
        return named | {f"ap/{self.classes[label]}": float(own.mean()) for label, own in precision[""].items()}


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Numbers in a name count as numbers, so that frame 9 comes before frame 10."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(int(part), "") if part[0] in "0123456789" else (-1, part) for part in parts], name


def _ignored(truth: Objects) -> NDArray[np.bool_]:
    """Whether an object counts neither as found nor as missed, by size: bool ``(4, G)``."""
    sizes = truth.areas.astype(np.float64)
    outside = np.stack([(sizes < low) | (sizes > high) for low, high in SIZES.values()])
    return np.asarray(outside | truth.crowd)


def _matched(prediction: Detections, truth: Objects, ignored: Array) -> NDArray[np.void]:
    """The detections of a frame, class by class and the surest first, each with what it found."""
    order = np.lexsort((-prediction.scores, prediction.labels))  # stable
    labels = prediction.labels[order]
    rank = np.arange(len(order)) - np.searchsorted(labels, labels)
    order, labels, rank = (column[rank < MOST[-1]] for column in (order, labels, rank))
    boxes = prediction.boxes[order].astype(np.float64)
    overlaps = _overlaps(boxes, truth.boxes.astype(np.float64), truth.crowd)
    overlaps[labels[:, None] != truth.labels] = 0
    right, skipped = _assign(overlaps, ignored, truth.crowd)
    sizes = areas(boxes)
    for i, (low, high) in enumerate(SIZES.values()):
        # A detection of another size that found nothing is no mistake.
        skipped[i] |= ~right[i] & ((sizes < low) | (sizes > high))
    right &= ~skipped
    made = np.empty(len(order), _RECORD)
    made["label"], made["rank"], made["score"] = labels, rank, prediction.scores[order]
    flags = np.concatenate([right, ~skipped]).reshape(2 * len(SIZES) * len(OVERLAPS), len(order))
    made["bits"] = np.packbits(flags, axis=0).T
    return made


def _unpacked(bits: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether detections found an object, and whether they count: bool ``(4, 10, N)`` each."""
    flags = np.unpackbits(np.ascontiguousarray(bits.T), axis=0).astype(np.bool_)
    right, counted = flags.reshape(2, len(SIZES), len(OVERLAPS), -1)
    return right, counted


def _overlaps(boxes: Array, true_boxes: Array, crowd: Array) -> NDArray[np.float64]:
    """Intersection over union ``(D, G)``; with a crowd, over the detection's own area."""
    shared = intersections(boxes, true_boxes)
    own = areas(boxes)[:, None]
    whole = np.where(crowd, own, own + areas(true_boxes) - shared)
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
    free = np.ones((*took.shape[:2], count), np.bool_)
    least = np.minimum(OVERLAPS, _EQUAL)[:, None]
    size, step = np.ogrid[: len(SIZES), : len(OVERLAPS)]
    for i in np.flatnonzero((overlaps >= least[0]).any(axis=1)).tolist():
        order = np.empty(count, np.int64)
        order[np.argsort(overlaps[i], kind="stable")] = np.arange(count)
        preference = order + count * ~ignored
        choice = np.where(free & (overlaps[i] >= least), preference[:, None], -1)
        best = choice.argmax(axis=2)
        hit = np.take_along_axis(choice, best[..., None], axis=2)[..., 0] >= 0
        took[..., i] = hit
        skipped[..., i] = hit & ignored[size, best]
        free[size, step, best] &= ~hit | crowd[best]
    return took, skipped


def _precisions(right: Array, counted: Array, total: int) -> NDArray[np.float64]:
    """Precision at each overlap and each of :data:`RECALLS`, float64 ``(10, 101)``, of ``total`` objects."""
    hits = np.cumsum(right, axis=1, dtype=np.float64)
    found = np.cumsum(counted, axis=1, dtype=np.float64)
    precision = np.divide(hits, found, out=np.zeros_like(hits), where=found > 0)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]  # at this recall or a higher one
    made = np.zeros((len(OVERLAPS), len(RECALLS)))
    for row, (own, recall) in enumerate(zip(best, hits / total, strict=True)):
        places = np.searchsorted(recall, RECALLS, side="left")
        reached = places < len(own)
        made[row, reached] = own[places[reached]]
    return made
