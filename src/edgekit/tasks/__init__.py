"""Perception tasks, one file per task: decode, metrics and drawing, NumPy only.

A task is a module with a frozen ``Config`` (its keys in the spec) whose
``create()`` returns a :class:`Task`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from edgekit.core.predictions import Geometry
from edgekit.core.reports import Metric
from edgekit.core.tensors import Array, Arrays, TensorSpec


class Accumulator(ABC):
    """Collects one metric family over frames; memory does not grow with frames."""

    @abstractmethod
    def update(self, prediction: Any, truth: Any, sample_id: str) -> None:
        """Add a frame; raises :class:`~edgekit.core.errors.DataError` when truth cannot belong to it."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Metric name to value over all frames so far."""


class Task(ABC):
    """What the numbers of a model mean."""

    @property
    @abstractmethod
    def metrics(self) -> tuple[Metric, ...]:
        """Every metric that :meth:`accumulator` computes, with its direction."""

    @abstractmethod
    def check_outputs(self, outputs: Sequence[TensorSpec]) -> None:
        """Raise :class:`~edgekit.core.errors.SpecError` unless the model's outputs fit the task."""

    @abstractmethod
    def decode(self, outputs: Arrays, geometry: Geometry) -> Any:
        """Model outputs of one frame to a prediction in original image coordinates."""

    @abstractmethod
    def accumulator(self) -> Accumulator:
        """An empty accumulator of this task's metrics."""

    @abstractmethod
    def draw(self, image: Array, prediction: Any, truth: Any = None) -> Array:
        """RGB uint8 picture of ``image`` with the prediction over it, and truth beside it if given."""


class TaskConfig(BaseModel):
    """Base of every task's ``Config``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str

    def create(self) -> Task:
        """The task; raises :class:`~edgekit.core.errors.SpecError` when its options do not fit."""
        raise TypeError(f"{type(self).__module__}.Config does not define create()")
