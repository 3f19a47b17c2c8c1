from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.core.predictions import Values
from edgekit.core.tensors import TensorSpec
from tests.contract.task_examples import Example

NAMES = ("yaw", "pitch", "roll")


def _frame(seed: int) -> tuple[Any, dict[str, np.ndarray]]:
    angles = np.random.default_rng(seed).uniform(-170, 170, 3).astype(np.float32)
    return dict(zip(NAMES, angles.astype(np.float64).tolist(), strict=True)), {"angles": angles[None]}


def _same(prediction: Values, truth: dict[str, float]) -> bool:
    return prediction.names == NAMES and prediction.values.tolist() == list(truth.values())


EXAMPLE = Example(
    section={"kind": "regression", "output": "angles", "components": list(NAMES), "period": 360},
    outputs=(TensorSpec("angles", (1, 3)),),
    frame=_frame,
    same=_same,
    best=dict.fromkeys(("mae", "rmse", "error_p50", "error_p90", "error_p99"), 0.0)
    | {f"{what}/{name}": 0.0 for name in NAMES for what in ("mae", "rmse", "error_p90")},
    foreign=(None, "a text", np.zeros((3, 3, 3), np.float32), {"yaw": 1.0}, {"yaw": 1, "pitch": "2", "roll": 3}),
    sized=False,
    shaped=False,
)
