"""A model with some of its tensors to look at."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from edgekit.core.tensors import Array, Arrays
from edgekit.qdq.graph import Graph, runtime, session, translated
from edgekit.runtime.denormals import flushed


class Observer:
    """The model with some of its activations to look at.

    Args:
        graph: the model.
        tensors: their names; no inputs.
        model: ``graph.model`` with more nodes, some of whose tensors are among ``tensors``.

    Raises:
        ModelError: ONNX Runtime refuses the model.
    """

    def __init__(self, graph: Graph, tensors: Iterable[str], model: Any = None) -> None:
        self.tensors = tuple(dict.fromkeys(tensors))
        self._session = _observed(graph, self.tensors, model or graph.model)
        # Bound once: a hundred megabytes of fresh pages a frame cost more than the inference.
        self._buffers = {
            name: np.empty(sizes, np.float32)
            for name in self.tensors
            if graph.is_float(name) and (sizes := _sizes(graph, name)) is not None
        }

    def __call__(self, feeds: Arrays) -> dict[str, Array]:
        """Values of the tensors; the next call overwrites them.

        Raises:
            ModelError: the feeds do not fit the model.
        """
        if not self.tensors:
            return {}  # only inputs are rounded
        with translated("the model does not run on the calibration frames"):
            binding = self._session.io_binding()
            held = {name: np.asarray(values, order="C") for name, values in feeds.items()}
            for name, values in held.items():
                binding.bind_cpu_input(name, values)
            for name in self.tensors:
                buffer = self._buffers.get(name)
                if buffer is None:
                    binding.bind_output(name, "cpu")
                else:
                    binding.bind_output(name, "cpu", 0, np.float32, buffer.shape, buffer.ctypes.data)
            with flushed():
                self._session.run_with_iobinding(binding)
            made = dict(zip(self.tensors, binding.get_outputs(), strict=True))
            return {name: self._buffers[name] if name in self._buffers else made[name].numpy() for name in made}


def _sizes(graph: Graph, name: str) -> tuple[int, ...] | None:
    sizes = tuple(size for size in graph.shapes.get(name, (None,)) if size is not None)
    return sizes if len(sizes) == len(graph.shapes.get(name, (None,))) else None


def _observed(graph: Graph, tensors: Iterable[str], model: Any) -> Any:
    """A session of ``model`` that also gives ``tensors``."""
    import onnx

    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    for name in tensors:
        if name not in graph.outputs:
            watched.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    options = runtime().SessionOptions()
    options.log_severity_level = 3
    return session(watched, options)
