from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.core.predictions import Tensors
from edgekit.core.tensors import TensorSpec
from tests.contract.task_examples import Example

SHAPES = {"maps": (1, 3, 4, 5), "count": (1, 2)}


def _frame(seed: int) -> tuple[Any, dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    made = {name: rng.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
    return Tensors({name: value.copy() for name, value in made.items()}), made


def _same(prediction: Tensors, truth: Tensors) -> bool:
    return all(np.array_equal(prediction.values[name], truth.values[name]) for name in SHAPES)


EXAMPLE = Example(
    section={"kind": "outputs", "output": list(SHAPES)},
    outputs=tuple(TensorSpec(name, shape) for name, shape in SHAPES.items()),
    frame=_frame,
    same=_same,
    best={
        f"{measure}{tail}{part}": float(measure == "cosine")
        for part in ("", *(f"/{name}" for name in SHAPES))
        for measure, tails in {"rel_l2": "99", "cosine": "01", "max_abs": "99"}.items()
        for tail in ("", "_p50", f"_p{100 - 90 if measure == 'cosine' else 90}", f"_p{tails}")
    },
    sized=False,
    shaped=False,
)
