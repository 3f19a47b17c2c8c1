from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.core.tensors import TensorSpec
from tests.contract.task_examples import Example

KINDS = ("print", "bona_fide", "screen")


def _frame(seed: int) -> tuple[Any, dict[str, np.ndarray]]:
    """Every kind in turn; from frame 99 on, one kind further than before."""
    kind = (seed + seed // 99) % len(KINDS)
    logits = np.full((1, len(KINDS)), -3, np.float32)
    logits[0, kind] = 3
    return KINDS[kind], {"near": logits, "far": logits * 2}


EXAMPLE = Example(
    section={
        "kind": "antispoofing",
        "output": ["near", "far"],
        "classes": ["paper", "real", "screen"],
        "live_class": 1,
        "threshold": 0.5,
        "attacks": ["print", "screen"],
    },
    outputs=(TensorSpec("near", (1, 3)), TensorSpec("far", (1, 3))),
    frame=_frame,
    same=lambda prediction, truth: KINDS[prediction.probabilities.argmax()] == truth,
    best=dict.fromkeys(("acer", "apcer", "bpcer", "apcer/print", "apcer/screen", "eer"), 0.0) | {"auc": 1.0},
    sized=False,
)
