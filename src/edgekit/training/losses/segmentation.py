"""Segmentation: cross-entropy of each pixel."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.core.errors import DataError
from edgekit.core.predictions import Geometry
from edgekit.tasks.segmentation import Config
from edgekit.training.losses import _teacher
from edgekit.training.losses._batch import Distance, TaskLoss

if TYPE_CHECKING:
    from torch import Tensor

_VOID = -1
"""Truth of what is no part of the frame, such as the borders of a letterbox."""


def loss(task: Config) -> TaskLoss | None:
    """Mean cross-entropy over the pixels that are not ``ignore_index`` (Long, Shelhamer and Darrell, "Fully
    convolutional networks for semantic segmentation", CVPR 2015).

    Scores ``(N, C, h, w)`` are brought to the size of the masks ``(N, H, W)`` as the task's decoder does
    (bilinear, pixel centres aligned), so a mask covers the same area as the model's input.

    None for one channel and a threshold: whether it holds logits or probabilities is not known.
    """
    return None if task.threshold is not None else partial(_cross_entropy, task)


def class_scores(task: Config) -> tuple[str, ...]:
    """The output, without a threshold."""
    return () if task.threshold is not None else (task.output,)


def distance(task: Config) -> Distance | None:
    """The scores as distributions over the classes, pixel by pixel; None with a threshold, as for :func:`loss`."""
    return None if task.threshold is not None else partial(_teacher.divergences, (task.output,))


def placed(task: Config, truth: Any, geometry: Geometry) -> Any:
    """A mask that covers the model's input: one of a letterboxed frame gets void borders (int16, -1)."""
    top, left, rows, columns = geometry.content
    height, width = geometry.tensor
    filled = (top, left, rows, columns) == (0, 0, height, width)
    if filled or not isinstance(truth, np.ndarray) or truth.ndim != 2:
        return truth
    y, x = truth.shape[0] / rows, truth.shape[1] / columns
    below, right = height - top - rows, width - left - columns
    borders = ((round(top * y), round(below * y)), (round(left * x), round(right * x)))
    return np.pad(truth.astype(np.int16), borders, constant_values=_VOID)


def _cross_entropy(task: Config, outputs: Mapping[str, Tensor], truth: Any) -> Tensor:
    from torch.nn import functional

    count, ignored = len(task.classes), task.ignore_index
    scores = outputs[task.output]
    labels = _stacked(truth, scores.shape[0]).long()
    kept = labels >= 0 if ignored is None else (labels >= 0) & (labels != ignored)
    highest = int(labels[kept].max()) if kept.any() else 0
    if highest >= count:
        raise DataError(
            f"truth has the class id {highest}; allowed: 0..{count - 1} and task.ignore_index ({ignored}); "
            "correct the mask, task.classes or task.ignore_index"
        )
    if scores.shape[-2:] != labels.shape[-2:]:
        scores = functional.interpolate(scores, size=labels.shape[-2:], mode="bilinear", align_corners=False)
    total = functional.cross_entropy(scores, labels.masked_fill(~kept, -100), reduction="sum")
    return total / kept.sum().clamp(min=1)  # a batch that is void everywhere teaches nothing, but is no NaN


def _stacked(truth: Any, count: int) -> Tensor:
    """The masks of a batch, if they are such."""
    if isinstance(truth, tuple):
        found = {str(list(one.shape)) if hasattr(one, "shape") else type(one).__name__ for one in truth}
        raise DataError(
            f"the truths of a batch are {' and '.join(sorted(found))}; expected masks of one size: "
            "make them so, or set training.batch to 1"
        )
    masks: Tensor = truth
    if masks.ndim != 3 or masks.shape[0] != count:
        raise DataError(f"truth has shape {list(masks.shape)}; expected masks [{count}, H, W]")
    return masks
