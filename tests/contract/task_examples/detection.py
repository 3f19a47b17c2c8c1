from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.core.predictions import Detections, Objects
from edgekit.core.tensors import TensorSpec
from tests.contract.task_examples import HEIGHT, WIDTH, Example

CLASSES = ("car", "person", "sign")
STRIDE = 8
COUNT = (HEIGHT // STRIDE) * (WIDTH // STRIDE)
METRICS = (
    "map", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100", "ar_small", "ar_medium",
    "ar_large", "ap/car", "ap/person", "ap/sign",
)  # fmt: skip


def _frame(seed: int) -> tuple[Any, dict[str, np.ndarray]]:
    """One object a class, each in a cell of its own; what YOLOX gives for them."""
    rng = np.random.default_rng(seed)
    cells = rng.choice(COUNT, 3, replace=False)
    head = np.zeros((1, COUNT, 5 + 3), np.float32)
    boxes = np.empty((3, 4), np.float32)
    for label, cell in enumerate(cells.tolist()):
        y, x = divmod(cell, WIDTH // STRIDE)
        head[0, cell, :4] = 0.5, 0.5, np.log(0.5), np.log(0.25)
        head[0, cell, 4], head[0, cell, 5 + label] = 1, 0.5 + rng.random() / 2
        left, top = (x + 0.5) * STRIDE - 2, (y + 0.5) * STRIDE - 1
        boxes[label] = [left, top, left + 4, top + 2]
    areas = np.array([8, 2000, 20000], np.float32)  # of masks: one object for each size
    return Objects(boxes, np.arange(3), np.zeros(3, bool), areas), {"output": head}


def _same(prediction: Detections, truth: Objects) -> bool:
    order = np.argsort(prediction.labels)
    found = prediction.boxes[order]
    return np.array_equal(prediction.labels[order], truth.labels) and np.allclose(found, truth.boxes, atol=1e-4)


EXAMPLE = Example(
    section={"kind": "detection", "output": "output", "classes": list(CLASSES), "family": "yolox", "strides": [STRIDE]},
    outputs=(TensorSpec("output", (1, COUNT, 5 + 3)),),
    frame=_frame,
    same=_same,
    best=dict.fromkeys(METRICS, 1.0),
)
