from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.core.tensors import TensorSpec
from tests.contract.task_examples import HEIGHT, WIDTH, Example


def _frame(seed: int) -> tuple[Any, dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, (HEIGHT, WIDTH)).astype(np.uint8)
    logits = (truth == np.arange(3)[:, None, None]) * 2 + rng.random((3, HEIGHT, WIDTH))
    return truth, {"logits": logits[None].astype(np.float32)}


EXAMPLE = Example(
    section={"kind": "segmentation", "output": "logits", "classes": ["road", "car", "sky"], "ignore_index": 255},
    outputs=(TensorSpec("logits", (1, 3, HEIGHT, WIDTH)),),
    frame=_frame,
    same=lambda prediction, truth: np.array_equal(prediction.labels, truth),
    best={"miou": 1.0, "pixel_accuracy": 1.0, "iou/road": 1.0, "iou/car": 1.0, "iou/sky": 1.0},
)
