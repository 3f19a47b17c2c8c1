from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.core.tensors import TensorSpec
from tests.contract.task_examples import Example

CLASSES = ["awake", "drowsy", "absent"]


def _frame(seed: int) -> tuple[Any, dict[str, np.ndarray]]:
    """Every class in turn; from frame 99 on, one class further than before."""
    truth = (seed + seed // 99) % len(CLASSES)
    logits = np.full((1, len(CLASSES)), -100, np.float32)
    logits[0, truth] = 100
    return truth, {"logits": logits}


EXAMPLE = Example(
    section={"kind": "classification", "output": "logits", "classes": CLASSES},
    outputs=(TensorSpec("logits", (1, len(CLASSES))),),
    frame=_frame,
    same=lambda prediction, truth: prediction.probabilities.argmax() == truth,
    best=dict.fromkeys(("top1", "top2", "balanced_accuracy", "macro_f1"), 1.0)
    | {f"{what}/{name}": 1.0 for what in ("recall", "precision") for name in CLASSES}
    | {"ece": 0.0},
    sized=False,
)
