"""A task that edgekit does not know: how bright a picture is, in grey levels.

All that a new task needs is in this one file; tests/contract/test_toy_task.py makes a package of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from edgekit.core.errors import DataError, SpecError, TensorError
from edgekit.core.predictions import Geometry
from edgekit.core.reports import Metric
from edgekit.core.tensors import Array, Arrays, TensorSpec
from edgekit.tasks import Accumulator, Task, TaskConfig, checked


class Config(TaskConfig):
    """``output`` names the model output ``float32 (1, 1)`` that holds the grey level."""

    kind: Literal["brightness"] = "brightness"
    output: str

    def create(self) -> Brightness:
        return Brightness(self.output)


@dataclass(frozen=True)
class Level:
    """The grey level of a picture, and the picture's size."""

    value: float
    size: tuple[int, int]


class Brightness(Task):
    def __init__(self, output: str) -> None:
        self.output = output

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (Metric("mae", higher=False, unit="levels"),)

    def check_outputs(self, outputs: Sequence[TensorSpec]) -> None:
        if not any(spec.name == self.output and spec.shape == (1, 1) for spec in outputs):
            raise SpecError(f"task.output: expected {self.output!r} of shape [1, 1], found {list(map(str, outputs))}")

    def decode(self, outputs: Arrays, geometry: Geometry) -> Level:
        value = outputs.get(self.output)
        if value is None or value.shape != (1, 1):
            raise TensorError(f"output {self.output!r}: expected shape [1, 1]")
        if np.isnan(value).any():
            raise TensorError(f"output {self.output!r} holds NaN")
        return Level(float(value[0, 0]), geometry.original)

    def accumulator(self) -> MeanError:
        return MeanError()

    def paint(self, image: Array, shown: Any) -> Array:
        """A bar at the upper edge, as long as the picture is bright."""
        value = shown.value if isinstance(shown, Level) else _true_level(shown, "?")
        if isinstance(shown, Level) and shown.size != image.shape[:2]:
            raise DataError(f"prediction is of an image of {shown.size}; expected {image.shape[:2]}")
        picture = image.copy()
        picture[:2] = 0
        picture[:2, : round(image.shape[1] * min(value / 255, 1))] = 255
        return picture


class MeanError(Accumulator):
    def __init__(self) -> None:
        self.errors: list[float] = []

    def __len__(self) -> int:
        return len(self.errors)

    def update(self, prediction: Level, truth: Any, sample_id: str) -> None:
        self.errors.append(abs(prediction.value - _true_level(truth, sample_id)))

    def compute(self, weights: Array | None = None) -> dict[str, float]:
        often = checked(weights, len(self))
        if not often.any():
            raise DataError("no frame to score")
        return {"mae": float(np.average(self.errors, weights=often))}


def _true_level(truth: Any, sample_id: str) -> float:
    """The mean of a grey picture, which the dataset format image_mask takes for a mask."""
    if not isinstance(truth, np.ndarray) or truth.dtype != np.uint8 or truth.ndim != 2:
        raise DataError(f"sample {sample_id!r}: truth is {type(truth).__name__}; expected a grey picture")
    return float(truth.mean())


def _frame(seed: int) -> tuple[Any, dict[str, np.ndarray]]:
    level = (seed * 67 + 20) % 256
    return np.full((24, 40), level, np.uint8), {"level": np.array([[level]], np.float32)}


# What edgekit's contract tests show a task that comes from elsewhere.
EXAMPLE: dict[str, Any] = {
    "section": {"kind": "brightness", "output": "level"},
    "outputs": (TensorSpec("level", (1, 1)),),
    "frame": _frame,
    "same": lambda prediction, truth: prediction.value == truth.mean(),
    "best": {"mae": 0.0},
}
