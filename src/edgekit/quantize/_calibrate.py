"""Run the calibration frames once and find the range of every tensor that a plan rounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgekit.core.errors import DataError
from edgekit.core.tensors import Array, Arrays
from edgekit.quantize import Frames
from edgekit.quantize._graph import Graph, runtime, session, translated
from edgekit.quantize._profiles import Profile
from edgekit.quantize._ranges import RangeFinder, Steps


@dataclass(frozen=True)
class Calibration:
    """What the frames told: one range finder per tensor; ``unseen`` were empty in every frame."""

    finders: dict[str, RangeFinder]
    frames: int
    unseen: frozenset[str] = frozenset()
    _searched: dict[Steps, dict[str, tuple[float, float]]] = field(default_factory=dict, compare=False)

    def ranges(self, profile: Profile) -> dict[str, tuple[float, float]]:
        """(lowest, highest) of every tensor for the grids of ``profile``.

        Raises:
            DataError: no frame had a value of a tensor.
        """
        if self.unseen:
            raise DataError(
                f"tensor {min(self.unseen)!r} was empty in every calibration frame; give data.calibration a frame "
                "in which it holds values, or exclude the nodes that make and read it"
            )
        steps = Steps(254 if profile.symmetric else 255, profile.symmetric)
        if steps not in self._searched:
            self._searched[steps] = {name: finder.range(steps) for name, finder in self.finders.items()}
        return self._searched[steps]


def calibrate(
    graph: Graph,
    tensors: Iterable[str],
    frames: Frames,
    finder: Callable[[str], RangeFinder],
    advance: Callable[[], None] = lambda: None,
) -> Calibration:
    """Show every frame to the model and its tensors to their finders; one frame is in memory at a time.

    Args:
        graph: the FP32 model.
        tensors: names of float activations or inputs.
        frames: at least one.
        finder: makes the empty finder of a tensor.
        advance: called after every frame.

    Raises:
        DataError: no frame.
        ModelError: NaN or infinity in a tensor, or frames that do not fit the model.
    """
    finders = {name: finder(name) for name in tensors}
    observer = Observer(graph, [name for name in finders if name not in graph.inputs])
    unseen = set(finders)
    count = 0
    for feeds in frames:
        for name, values in {**feeds, **observer(feeds)}.items():
            if name in finders:
                finders[name].update(values)
                if values.size:
                    unseen.discard(name)
        count += 1
        advance()
    if count == 0:
        raise DataError("the calibration set is empty; give data.calibration at least one frame")
    return Calibration(finders, count, frozenset(unseen))


class Observer:
    """The model with some of its activations to look at."""

    def __init__(self, graph: Graph, tensors: Iterable[str]) -> None:
        self.tensors = tuple(dict.fromkeys(tensors))
        self._session = _observed(graph, self.tensors)
        self._fixed = all(None not in graph.shapes.get(name, (None,)) for name in self.tensors)
        self._buffers: dict[str, Array] = {}
        if self._fixed:
            # Bound once: a hundred megabytes of fresh pages a frame cost more than the inference.
            self._buffers = {name: np.empty(_sizes(graph, name), np.float32) for name in self.tensors}

    def __call__(self, feeds: Arrays) -> dict[str, Array]:
        """Values of the tensors, float32; the next call overwrites them.

        Raises:
            ModelError: the feeds do not fit the model.
        """
        if not self.tensors:
            return {}  # only inputs are rounded
        with translated("the model does not run on the calibration frames"):
            if not self._fixed:
                return dict(zip(self.tensors, self._session.run(list(self.tensors), dict(feeds)), strict=True))
            binding = self._session.io_binding()
            held = {name: np.asarray(values, order="C") for name, values in feeds.items()}
            for name, values in held.items():
                binding.bind_cpu_input(name, values)
            for name, buffer in self._buffers.items():
                binding.bind_output(name, "cpu", 0, np.float32, buffer.shape, buffer.ctypes.data)
            self._session.run_with_iobinding(binding)
        return self._buffers


def _sizes(graph: Graph, name: str) -> tuple[int, ...]:
    return tuple(size for size in graph.shapes[name] if size is not None)


def _observed(graph: Graph, tensors: Iterable[str]) -> Any:
    """A session of the model that also gives ``tensors``."""
    import onnx

    watched = onnx.ModelProto()
    watched.CopyFrom(graph.model)
    for name in tensors:
        if name not in graph.outputs:
            watched.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    options = runtime().SessionOptions()
    options.log_severity_level = 3
    return session(watched, options)
