from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.core.tensors import TensorSpec
from tests.contract.task_examples import HEIGHT, WIDTH, Example

CLASSES = {"area": ["background", "drivable", "alternative"], "lanes": ["background", "lane"]}


def _frame(seed: int) -> tuple[Any, dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    truth, outputs = {}, {}
    for (task, classes), part in zip(CLASSES.items(), ("drivable", "lanes"), strict=True):
        truth[part] = rng.integers(0, len(classes), (HEIGHT, WIDTH)).astype(np.uint8)
        right = truth[part] == np.arange(len(classes))[:, None, None]
        outputs[f"{task}_logits"] = (right * 2 + rng.random(right.shape))[None].astype(np.float32)
    return truth, outputs


EXAMPLE = Example(
    section={
        "kind": "multitask",
        "tasks": {
            name: {"kind": "segmentation", "output": f"{name}_logits", "classes": classes}
            for name, classes in CLASSES.items()
        },
        "truth": {"area": "drivable"},
    },
    outputs=tuple(TensorSpec(f"{name}_logits", (1, len(names), HEIGHT, WIDTH)) for name, names in CLASSES.items()),
    frame=_frame,
    same=lambda prediction, truth: (
        np.array_equal(prediction["area"].labels, truth["drivable"])
        and np.array_equal(prediction["lanes"].labels, truth["lanes"])
    ),
    best={
        f"{task}/{metric}": 1.0
        for task, classes in CLASSES.items()
        for metric in ("miou", "pixel_accuracy", *(f"iou/{name}" for name in classes))
    },
)
