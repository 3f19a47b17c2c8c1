"""What a frame goes through, in one place: preprocess, infer, decode.

Evaluation, profiling, the second check of a parity check, the report's pictures and ``edgekit run`` all use it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edgekit.core.predictions import Geometry
from edgekit.core.tensors import Array, Arrays
from edgekit.engine._engine import Engine
from edgekit.preprocess import Prepared, Preprocess
from edgekit.tasks import Task


@dataclass(frozen=True)
class Passed:
    """A prediction, the outputs that it was made of, and the seconds that each stage took."""

    prediction: Any
    outputs: Arrays
    pre_s: float
    infer_s: float
    post_s: float

    @property
    def total_s(self) -> float:
        """From the frame to the prediction."""
        return self.pre_s + self.infer_s + self.post_s


@dataclass(frozen=True)
class Chain:
    """A callable that makes the prediction of a frame.

    Args:
        preprocess: makes the model's inputs.
        engine: open when the chain is called.
        task: decodes the outputs.
    """

    preprocess: Preprocess
    engine: Engine
    task: Task

    def __call__(self, images: Mapping[str, Array], frame: str = "") -> Any:
        """The prediction, of the task's own type; ``frame`` names the frame in errors.

        Raises:
            DataError: an image is missing or does not fit, or the outputs mean nothing to the task.
            TensorError: an array has another shape or dtype than the engine takes or the task reads.
            InputError: the engine is not open.
        """
        prepared = self.preprocess(images, frame)
        return self.decode(self.engine.infer(prepared.feeds), prepared.geometry)

    def decode(self, outputs: Arrays, geometry: Geometry) -> Any:
        """The prediction of an engine's outputs; ``geometry`` says how the frame went into the model's inputs."""
        return self.task.decode(outputs, geometry)

    def timed(self, images: Mapping[str, Array]) -> Passed:
        """As calling it, with the clock read between the stages."""
        start = time.perf_counter()
        prepared = self.preprocess(images)
        return self.answered(prepared, time.perf_counter() - start)

    def answered(self, prepared: Prepared, pre_s: float, usable: Callable[[Arrays], bool] = lambda _: True) -> Passed:
        """The rest of :meth:`timed`, for a frame whose preparation took ``pre_s`` seconds.

        Outputs that are not ``usable`` are not decoded: the prediction is None then.
        """
        start = time.perf_counter()
        outputs = self.engine.infer(prepared.feeds)
        inferred = time.perf_counter()
        prediction = self.decode(outputs, prepared.geometry) if usable(outputs) else None
        return Passed(prediction, outputs, pre_s, inferred - start, time.perf_counter() - inferred)


def predict(engine: Engine, task: Task, prepared: Prepared) -> Any:
    """The second half of a chain: several engines share one prepared frame.

    Args:
        engine: open.
        task: decodes the outputs.
        prepared: inputs of the model, and how the frame went into them.
    """
    return task.decode(engine.infer(prepared.feeds), prepared.geometry)
