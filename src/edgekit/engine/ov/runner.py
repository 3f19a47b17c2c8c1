"""A compiled model of OpenVINO as an engine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.core.errors import TensorError
from edgekit.core.tensors import Array, Arrays
from edgekit.engine import Engine, LayerEvent
from edgekit.engine._buffers import Buffers
from edgekit.engine._threads import pin_thread
from edgekit.engine.ov import enginefile, executed, layers, session
from edgekit.engine.ov.config import Config
from edgekit.onnxfile.graph import read_graph
from edgekit.runtime import denormals
from edgekit.runtime.denormals import flushed


class OvEngine(Engine):
    """One infer request that reads the caller's arrays and writes into arrays of the caller.

    With ``pin`` and several threads, those that the first query starts use any of the pinned CPUs.
    """

    def __init__(self, path: Path, config: Config) -> None:
        self.path = path
        self.config = config
        self._file: enginefile.EngineFile | None = None
        self._ready: _Ready | None = None
        self._buffers = Buffers(())
        self._affinity: set[int] | None = None

    def activate(self) -> None:
        if self.config.pin:
            self._affinity = pin_thread(self.config.pin, set(self.config.pin))
        try:
            self._file = enginefile.read(self.path, session.version())
            self.inputs, self.outputs = self._file.inputs, self._file.outputs
            self._ready = self._loaded(self._file, profiling=False)
            self._buffers = Buffers(self.outputs, _shared)
        except BaseException:
            self.deactivate()
            raise

    def _loaded(self, file: enginefile.EngineFile, profiling: bool) -> _Ready:
        model = session.opened(file.blob, self.config, file.hint, self.path.name, profiling)
        inputs = {spec.name: model.input(spec.name) for spec in file.inputs}
        # An output that is itself an input is copied: one name stands for both.
        outputs = {spec.name: model.output(spec.name) for spec in file.outputs if spec.name not in inputs}
        return _Ready(model, model.create_infer_request(), inputs, outputs)

    @property
    def model(self) -> Any:
        """The open engine's ``openvino.CompiledModel``."""
        return self._open_one.model

    @property
    def _open_one(self) -> _Ready:
        assert self._ready is not None, "asked of an engine that is not open"
        return self._ready

    def infer_impl(self, feeds: Arrays) -> dict[str, Array]:
        return self._infer(self._open_one, feeds)

    def _infer(self, ready: _Ready, feeds: Arrays) -> dict[str, Array]:
        # The request keeps addresses, not arrays: these live until it has run.
        given = {name: _shared(np.asarray(array, order="C")) for name, array in feeds.items()}
        with session.translated(f"{self.path.name}: inference failed", TensorError), flushed():
            if any(size is None for spec in self.outputs for size in spec.shape):
                ready.run(given, {})
                made = {name: np.array(ready.request.get_tensor(port).data) for name, port in ready.outputs.items()}
                return {s.name: made[s.name] if s.name in made else feeds[s.name].copy() for s in self.outputs}
            results, bound = self._buffers.free()
            ready.run(given, bound)
        for name in results.keys() - ready.outputs.keys():
            np.copyto(results[name], feeds[name])
        return results

    def profile_layers_impl(self, feeds: Arrays, queries: int, source: Path | None) -> tuple[LayerEvent, ...]:
        assert self._file is not None, "asked of an engine that is not open"
        ready = self._loaded(self._file, profiling=True)
        means = []
        for _ in range(queries):
            self._infer(ready, feeds)
            means.append(_means_us(ready.request))
        typed = None if source is None else read_graph(source)
        return layers.layer_events(means, executed.layers_of(ready.model), typed)

    def layer_list(self) -> str | None:
        return executed.document(executed.layers_of(self.model), session.version())

    def deactivate(self) -> None:
        self._file = self._ready = None
        self._buffers = Buffers(())
        if self._affinity is not None:
            os.sched_setaffinity(0, self._affinity)
            self._affinity = None

    def describe(self) -> dict[str, Any]:
        facts = {
            "engine": "ov",
            "version": session.version(),
            "threads": self.config.threads,
            "streams": 1,
            "pin": list(self.config.pin),
            "denormals": denormals.told(),
        }
        if self._file is not None:
            facts |= {"provider": session.DEVICE, "floats": self._file.hint}
        return facts


@dataclass(frozen=True)
class _Ready:
    """A compiled model with its one infer request, and the ports of what is fed and written by name."""

    model: Any
    request: Any
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]

    def run(self, given: Mapping[str, Any], bound: Mapping[str, Any]) -> None:
        """One query; outputs without a tensor of their own stay with the request."""
        for name, tensor in given.items():
            self.request.set_tensor(self.inputs[name], tensor)
        for name, port in self.outputs.items():
            if name in bound:
                self.request.set_tensor(port, bound[name])
        self.request.infer(None, share_inputs=True, share_outputs=True)


def _shared(array: Array) -> Any:
    """A tensor over the array's own memory, which lives as long as the array; of a read-only array over a copy."""
    make = session.runtime().Tensor
    return make(array, shared_memory=True) if array.flags.writeable else make(array, shared_memory=False)


def _means_us(request: Any) -> dict[str, float]:
    ran = [info for info in request.get_profiling_info() if str(info.status).endswith("EXECUTED")]
    return {info.node_name: info.real_time.total_seconds() * 1e6 for info in ran}
