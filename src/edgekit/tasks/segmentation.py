"""Semantic segmentation: one class for each pixel.

The model gives logits (or any score where more is better) ``float32 (1, C, h, w)``, where ``h`` and
``w`` are those of the input or a fraction of them; or, of two classes, one channel ``(1, 1, h, w)`` or
``(1, h, w)``, which a threshold cuts.  Metrics are intersection over union (Jaccard
index; Everingham et al., "The PASCAL Visual Object Classes Challenge", IJCV 2010) and pixel accuracy.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator, model_validator
from typing_extensions import Self

from edgekit.core import suggest
from edgekit.core.classes import MaskNames
from edgekit.core.errors import DataError, SpecError, TensorError
from edgekit.core.predictions import Geometry, LabelMap
from edgekit.core.reports import Metric
from edgekit.core.spec import Misfit
from edgekit.core.tensors import Array, Arrays, TensorSpec
from edgekit.inputs import InputConfig
from edgekit.inputs.image import Config as Image
from edgekit.tasks import Accumulator, Labelled, Task, TaskConfig
from edgekit.tasks._drawing import blended, colours, legend
from edgekit.tasks._masks import check_ids, mask_of
from edgekit.tasks._weights import Records, checked, checked_rows, mean, ratio, single

_NONE = 15
"""Instead of any id that is no class, where four bits hold an id."""

_REST = "background"
"""The class below the threshold, where the spec names only the one above it."""

_THRESHOLD = (
    "task.threshold, the value above which a pixel is {}: 0.5 when the model ends in a sigmoid, 0 for raw logits"
)


class Config(TaskConfig):
    """``output`` names the model output that holds the logits.

    ``classes`` is a list of names in the order of the channels, or a JSON file with one.  Pixels
    whose truth is ``ignore_index`` count nowhere.  ``threshold`` is of a model with one channel: in
    that channel's own unit (0.5 after a sigmoid, 0 for raw logits), the value above which a pixel is
    the second of the two classes; a class that is named alone is that one, with id 1, beside
    ``background``, id 0.
    """

    kind: Literal["segmentation"] = "segmentation"
    output: str
    threshold: float | None = Field(default=None, allow_inf_nan=False, description="of a model with one channel")
    classes: MaskNames  # after the threshold, which decides what a single name means
    ignore_index: int | None = Field(default=None, ge=0, le=255)

    @field_validator("classes")
    @classmethod
    def _beside_the_background(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        """``classes: [road]`` beside a threshold are the two classes background and road."""
        alone = len(names) == 1 and names[0].lower() != _REST
        return (_REST, *names) if alone and info.data.get("threshold") is not None else names

    @model_validator(mode="after")
    def _one_channel(self) -> Self:
        count = len(self.classes)
        if self.threshold is None and count == 1:
            name = self.classes[0]
            raise ValueError(
                f"classes: expected 2 to 256 class names, found {name!r} alone; a background counts as a class. Of a "
                f"model with one channel give {_THRESHOLD.format(name)}"
            )
        if self.threshold is not None and count != 2:
            raise ValueError(
                f"threshold: tells 2 classes apart, found {count}; remove it, or name the class above it: "
                "classes: [road], or both: [background, road]"
            )
        return self

    def check_inputs(self, inputs: Mapping[str, InputConfig]) -> None:
        """Every pixel of the frame has to be in the tensor."""
        for name, section in inputs.items():
            if isinstance(section, Image):
                if section.mode == "crop":
                    raise Misfit(f"{name}.mode", "a crop leaves the rest of the frame without a class; take stretch")
                return  # the first image is the one that results are brought back to

    def create(self) -> Segmentation:
        return Segmentation(self.output, self.classes, self.ignore_index, self.threshold)


class Segmentation(Task):
    """Logits to a :class:`~edgekit.core.predictions.LabelMap` in the size of the original image."""

    def __init__(
        self, output: str, classes: Sequence[str], ignore_index: int | None = None, threshold: float | None = None
    ) -> None:
        self.output = output
        self.classes = tuple(classes)
        self.ignore_index = ignore_index
        self.threshold = threshold
        self.unlabelled: tuple[int, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.classes

    @property
    def void(self) -> int | None:
        return self.ignore_index

    def check_truth(self, truth: Any, sample_id: str) -> None:
        mask = mask_of(truth, sample_id)
        pixels = np.bincount(mask.reshape(-1), minlength=256)
        check_ids(pixels, len(self.classes), self.ignore_index, sample_id)

    def without_labels_of(self, unlabelled: Collection[int], counted: bool) -> Segmentation:
        made = copy.copy(self)
        made.unlabelled = () if counted else tuple(unlabelled)
        return made

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """``miou``, ``pixel_accuracy`` and ``iou/<class>`` of every class that is not ignored."""
        scored = (f"iou/{name}" for i, name in enumerate(self.classes) if i != self.ignore_index)
        return tuple(Metric(name, higher=True) for name in ("miou", "pixel_accuracy", *scored))

    def check_outputs(self, outputs: Sequence[TensorSpec]) -> None:
        """Raise :class:`SpecError` unless ``output`` is there as float32 ``(1, C, h, w)`` with a channel per class.

        With a threshold it has one channel: ``(1, 1, h, w)`` or ``(1, h, w)``.
        """
        known = {spec.name: spec for spec in outputs}
        if self.output not in known:
            hint = suggest.allowed(self.output, tuple(known))
            raise SpecError(f"task.output: the model has no output {self.output!r}; {hint}")
        spec, count = known[self.output], len(self.classes)
        if self.threshold is not None:
            expected = "task.output: expected float32[1, 1, h, w], the one channel that task.threshold cuts"
            shape = spec.shape if len(spec.shape) != 3 else (spec.shape[0], 1, *spec.shape[1:])
            fix = "remove task.threshold when it has a channel for each class"
        else:
            expected = f"task.output: expected float32[1, {count}, h, w], a channel for each of the {count} classes"
            shape, fix = spec.shape, "correct task.classes"
            if count == 2 and (len(shape) == 3 or (len(shape) == 4 and shape[1] == 1)):
                raise SpecError(
                    f"{expected}; the model gives {spec}, one channel: give {_THRESHOLD.format(self.classes[1])}"
                )
        if len(shape) != 4:
            raise SpecError(f"{expected}; the model gives {spec}, which has {len(shape)} dimensions instead of 4")
        if shape[1] not in (None, self.channels):
            raise SpecError(f"{expected}; the model gives {spec}, with {shape[1]} channels: {fix}")
        if shape[0] not in (None, 1):
            raise SpecError(f"{expected}; the model gives {spec}, a batch of {shape[0]}")
        if spec.dtype != "float32":
            raise SpecError(f"{expected}; the model gives {spec}: cast the output to float32")

    @property
    def channels(self) -> int:
        """How many the output has: one per class, or one that a threshold cuts."""
        return len(self.classes) if self.threshold is None else 1

    def decode(self, outputs: Arrays, geometry: Geometry) -> LabelMap:
        """The class with the highest logit at each pixel of the original image; the lowest id wins a tie.

        The letterbox border is cropped and the logits, not the labels, are resized bilinearly
        (pixel centres aligned, as ``align_corners=False``).  With a threshold, id 1 where the value is
        above it, else 0.

        Raises:
            TensorError: the output is missing, has another shape or dtype, or holds NaN.
        """
        if self.output not in outputs:
            raise TensorError(f"no output {self.output!r}; {suggest.allowed(self.output, tuple(outputs))}")
        logits = outputs[self.output]
        if self.threshold is not None and logits.ndim == 3:
            logits = logits[:, None]
        if logits.ndim != 4 or logits.shape[:2] != (1, self.channels) or 0 in logits.shape:
            expected = f"[1, {self.channels}, h, w]"
            raise TensorError(
                f"output {self.output!r} has shape {list(outputs[self.output].shape)}; expected {expected}"
            )
        if logits.dtype != np.float32:
            raise TensorError(f"output {self.output!r} is {logits.dtype}; expected float32")
        planes = (_to_original(plane, geometry) for plane in logits[0])
        labels = _argmax(planes) if self.threshold is None else _above(next(planes), self.threshold)
        if labels is None:
            raise TensorError(f"output {self.output!r} holds NaN, so pixels have no class; run: edgekit verify")
        return LabelMap(labels)

    def accumulator(self) -> PixelCounts:
        return PixelCounts(self.classes, self.ignore_index, self.unlabelled)

    covers = True

    def paint(self, image: Array, shown: Any) -> Array:
        """Class colours half over ``image`` uint8 RGB ``(H, W, 3)``; a class called background stays clear.

        Raises:
            DataError: prediction or truth is not of the image's size.
        """
        what, labels = ("prediction", shown.labels) if isinstance(shown, LabelMap) else ("truth", shown)
        if labels.shape != image.shape[:2]:
            raise DataError(f"{what} is {list(labels.shape)}; expected the image's size {list(image.shape[:2])}")
        return blended(image, labels, colours(self.classes), self._clear)

    @property
    def _clear(self) -> list[int]:
        return [i for i, name in enumerate(self.classes) if name.lower() == "background"]

    def legend(self, width: int, scale: float) -> Array:
        """A swatch and a name for every class that is painted."""
        painted = [i for i in range(len(self.classes)) if i not in self._clear]
        return legend(width, [self.classes[i] for i in painted], colours(self.classes)[painted], scale)

    disagreement_of = "pixels of another class"

    def change(self, before: LabelMap, after: LabelMap) -> float:
        """The share of pixels whose class changed."""
        return float(_differ(before.labels, after.labels).mean())

    def excess(self, before: Labelled, after: Labelled) -> float | None:
        """The share of pixels whose class changed, of those whose true class did not; void in either is left out."""
        stayed = ~_differ(before[1], after[1])
        if self.ignore_index is not None:
            stayed &= before[1] != self.ignore_index
        changed = _differ(before[0].labels, after[0].labels)[stayed]
        return float(changed.mean()) if changed.size else None


def _differ(before: Array, after: Array) -> NDArray[np.bool_]:
    if before.shape != after.shape:
        sizes = f"{list(before.shape)} and {list(after.shape)}"
        raise DataError(f"two frames of one sequence are {sizes} (height, width); give each size its own sequence")
    return np.asarray(before != after)


def _to_original(plane: Array, geometry: Geometry) -> Array:
    """One float32 plane of scores ``(h, w)``, without the letterbox border, in the original size."""
    import cv2

    height, width = geometry.tensor
    if (plane.shape[0] * np.array(geometry.content[::2]) % height).any() or (
        plane.shape[1] * np.array(geometry.content[1::2]) % width
    ).any():  # the border does not end between two scores: bring them to the tensor's size first
        plane = cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR)
    top, rows = (plane.shape[0] * size // height for size in geometry.content[::2])
    left, columns = (plane.shape[1] * size // width for size in geometry.content[1::2])
    plane = plane[top : top + rows, left : left + columns]
    if plane.shape != geometry.original:
        plane = cv2.resize(plane, geometry.original[::-1], interpolation=cv2.INTER_LINEAR)
    return plane


def _argmax(planes: Iterable[Array]) -> NDArray[np.uint8] | None:
    """Index of the highest of the planes at each pixel, or None when a plane holds NaN.

    A running maximum over whole planes is ten times as fast as ``numpy.argmax`` over the first axis.
    """
    remaining = iter(planes)
    best = next(remaining).copy()
    labels = np.zeros(best.shape, np.uint8)
    higher = np.empty(best.shape, bool)
    candidate = np.empty(best.shape, np.uint8)
    for index, plane in enumerate(remaining, start=1):
        np.greater(plane, best, out=higher)  # strictly: the lowest index keeps a tie
        np.multiply(higher.view(np.uint8), np.uint8(index), out=candidate)
        np.maximum(labels, candidate, out=labels)  # indices rise, so the newest is the largest
        np.maximum(best, plane, out=best)  # keeps NaN
    return None if np.isnan(best.max()) else labels


def _above(plane: Array, threshold: float) -> NDArray[np.uint8] | None:
    """1 where the value is above the threshold, else 0; None when one is NaN."""
    return None if np.isnan(plane.max()) else np.asarray(plane > threshold).view(np.uint8)


class PixelCounts(Accumulator):
    """Right, predicted and true pixels of each class, uint32 ``(3, C)`` a frame; ignored pixels are left out.

    Absent classes and an ``ignore_index`` that is itself a class are treated as torchmetrics'
    ``JaccardIndex(task="multiclass", average="macro")`` does: neither is part of the mean.
    """

    def __init__(self, classes: Sequence[str], ignore_index: int | None = None, unlabelled: Sequence[int] = ()) -> None:
        self.classes = tuple(classes)
        self.ignore_index = ignore_index
        self.unlabelled = list(unlabelled)
        self.counts = Records(np.uint32, (3, len(classes)))

    def __len__(self) -> int:
        return len(self.counts)

    def update(self, prediction: LabelMap, truth: Any, sample_id: str) -> None:
        """Add a frame: ``truth`` is a uint8 ``(H, W)`` mask of the prediction's size.

        Raises:
            DataError: truth is missing or no mask, has another size, or holds an id that is no class.
            TensorError: the prediction holds an id that is no class.
        """
        count = len(self.classes)
        truth = mask_of(truth, sample_id)
        if truth.shape != prediction.labels.shape:
            raise DataError(
                f"sample {sample_id!r}: truth is {list(truth.shape)}, but the prediction is "
                f"{list(prediction.labels.shape)} (height, width); make the mask in the image's size"
            )
        joint = self._joint_of_few(prediction.labels, truth)
        if joint is None:
            joint = self._joint(prediction.labels, truth, sample_id)
        right, in_truth = joint.diagonal()[:count], joint.sum(axis=1)[:count]
        self.counts.add(np.stack([right, joint.sum(axis=0)[:count], in_truth]))

    def _joint_of_few(self, labels: Array, truth: Array) -> Array | None:
        """Pixels by true and predicted class, int64 ``(16, 16)``; None with more classes, or ids that are none.

        True and predicted class share a byte, and two pixels at once are counted as one number.
        """
        count, void = len(self.classes), self.ignore_index
        if count > _NONE or labels.max(initial=0) > _NONE:
            return None
        if truth.max(initial=0) >= _NONE and (
            void is None or void & _NONE != _NONE or np.count_nonzero(truth >= _NONE) != np.count_nonzero(truth == void)
        ):
            return None
        pixels = np.multiply(truth, np.uint8(16))  # the upper four bits of void are lost
        pixels |= labels
        flat = pixels.reshape(-1)
        even = flat.size // 2 * 2
        twos = np.bincount(flat[:even].view(np.uint16), minlength=1 << 16).reshape(256, 256)
        joint = (twos.sum(axis=0) + twos.sum(axis=1)).reshape(16, 16)
        joint.reshape(-1)[flat[even:]] += 1
        if void is not None:
            joint[min(void, _NONE)] = 0
        return None if joint[count:].any() or joint[:, count:].any() else joint

    def _joint(self, labels: Array, truth: Array, sample_id: str) -> Array:
        """Pixels by true and predicted class, int64 ``(256, 256)``; ignored ones are left out; see :meth:`update`."""
        count = len(self.classes)
        pairs = (truth.astype(np.uint16) << 8) | labels
        joint = np.bincount(pairs.ravel(), minlength=1 << 16).reshape(256, 256)
        if self.ignore_index is not None:
            joint[self.ignore_index] = 0
        check_ids(joint.sum(axis=1), count, self.ignore_index, sample_id)
        if joint[:, count:].any():
            raise TensorError(f"sample {sample_id!r}: the prediction has an id outside 0..{count - 1}")
        return joint

    def compute(self, weights: Array | None = None) -> dict[str, float]:
        """``miou``, ``pixel_accuracy`` and ``iou/<class>`` over all frames so far.

        A class that is neither in truth nor predicted has no IoU and no entry: nothing was measured.

        Raises:
            DataError: no labelled pixel was added; or as :meth:`Accumulator.compute`.
        """
        found = self.compute_many(checked(weights, len(self))[None])
        problem = "no labelled pixel to score; evaluate frames whose truth is not all ignore_index"
        return single(found, "pixel_accuracy", problem)

    def compute_many(self, weights: Array, names: Collection[str] | None = None) -> dict[str, Array]:
        """As :meth:`Accumulator.compute_many`; the sums over frames are one matrix product."""
        rows = checked_rows(weights, len(self))
        kept = np.flatnonzero(rows.any(axis=0))
        counts = self.counts.some(kept).reshape(len(kept), 3 * len(self.classes)).astype(np.float64)
        return self._scores(np.take(rows, kept, axis=1) @ counts)

    def alone(self, name: str) -> Array:
        """As :meth:`Accumulator.alone`; a frame's counts are the sums."""
        return self._scores(self.counts.all().reshape(len(self), 3 * len(self.classes)).astype(np.float64))[name]

    def _scores(self, sums: Array) -> dict[str, Array]:
        """The metrics of right, predicted and true pixels of each class, float64 ``(R, 3 * C)``."""
        right, predicted, true = sums.reshape(len(sums), 3, len(self.classes)).swapaxes(0, 1)
        iou = ratio(right, predicted + true - right)
        iou[:, self.unlabelled] = np.nan
        scored = [i for i in range(len(self.classes)) if i != self.ignore_index]
        by_class = {f"iou/{self.classes[i]}": iou[:, i] for i in scored}
        accuracy = ratio(right.sum(axis=1), true.sum(axis=1))
        return {"miou": mean(iou[:, scored]), "pixel_accuracy": accuracy, **by_class}
