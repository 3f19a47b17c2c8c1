from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.core.tensors import TensorSpec
from tests.contract.task_examples import Example

SUBJECTS, LENGTH = 6, 16


def _frame(seed: int) -> tuple[Any, dict[str, np.ndarray]]:
    """Every subject in turn; from frame 99 on, three frames of one subject after another."""
    subject = (seed if seed < 99 else seed // 3) % SUBJECTS
    vector = np.eye(SUBJECTS, LENGTH)[subject] * 3 + np.random.default_rng(seed).normal(0, 0.02, LENGTH)
    return f"subject-{subject}", {"vector": vector[None].astype(np.float32)}


EXAMPLE = Example(
    section={"kind": "embedding", "output": "vector", "far": [0.01]},
    outputs=(TensorSpec("vector", (1, LENGTH)),),
    frame=_frame,
    same=lambda prediction, truth: truth == f"subject-{prediction.vector.argmax()}",
    best={"tar@far=1e-2": 1.0, "eer": 0.0, "auc": 1.0, "rank1": 1.0, "rank5": 1.0},
    frames=3 * SUBJECTS,
    foreign=(None, 3, "", np.zeros((3, 3, 3), np.float32)),
    sized=False,
    pairs=True,
)
