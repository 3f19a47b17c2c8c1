"""An ONNX Runtime session as an engine."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.core.errors import InputError, ModelError, TensorError
from edgekit.core.tensors import Array, Arrays, TensorSpec
from edgekit.engine import Engine, LayerEvent
from edgekit.engine._buffers import Buffers
from edgekit.engine._threads import pin_thread
from edgekit.engine.ort import arena, layers, peaks
from edgekit.engine.ort.config import Config
from edgekit.engine.ort.session import open_session, options_of, runtime, translated
from edgekit.onnxfile.graph import read_graph
from edgekit.runtime import denormals
from edgekit.runtime.denormals import flushed

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}


class OrtEngine(Engine):
    """One ONNX Runtime session with bound inputs and outputs.

    Output buffers are reused only when the caller has dropped them, so results
    stay valid and a steady loop allocates nothing.
    """

    def __init__(self, path: Path, config: Config) -> None:
        self.path = path
        self.config = config
        self._session: Any = None
        self._buffers = Buffers(())
        self._passed: set[str] = set()
        self._affinity: set[int] | None = None

    def activate(self) -> None:
        options = self._options()
        if self.config.pin:
            self._affinity = pin_thread(self.config.pin, {self.config.pin[0]})
        try:
            self._session = open_session(self.path, options, self.config)
            self.inputs = tuple(_spec(node) for node in self._session.get_inputs())
            self.outputs = tuple(_spec(node) for node in self._session.get_outputs())
            self._buffers = Buffers(self.outputs)
            # ONNX Runtime writes nothing to the bound buffer of an output that is itself an input.
            self._passed = {spec.name for spec in self.inputs} & {spec.name for spec in self.outputs}
        except BaseException:
            self.deactivate()
            raise

    def _options(self) -> Any:
        options = options_of(self.config)
        options.graph_optimization_level = runtime().GraphOptimizationLevel.ORT_DISABLE_ALL
        return options

    def infer_impl(self, feeds: Arrays) -> dict[str, Array]:
        binding = self._session.io_binding()
        for name, array in feeds.items():
            binding.bind_cpu_input(name, np.asarray(array, order="C"))  # unlike ascontiguousarray, keeps scalars
        if any(size is None for spec in self.outputs for size in spec.shape):
            return self._infer_dynamic(binding)
        results, _ = self._buffers.free()
        for spec in self.outputs:
            array = results[spec.name]
            binding.bind_output(spec.name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        self._run(binding)
        for name in self._passed:
            np.copyto(results[name], feeds[name])
        return results

    def _infer_dynamic(self, binding: Any) -> dict[str, Array]:
        for spec in self.outputs:
            binding.bind_output(spec.name, "cpu")
        self._run(binding)
        return dict(zip((spec.name for spec in self.outputs), binding.copy_outputs_to_cpu(), strict=True))

    def _run(self, binding: Any) -> None:
        with translated(f"{self.path.name}: inference failed", TensorError), flushed():
            self._session.run_with_iobinding(binding)

    def profile_layers_impl(self, feeds: Arrays, queries: int, source: Path | None) -> tuple[LayerEvent, ...]:
        if self.config.provider != "cpu":
            raise InputError(
                f"{self.path.name}: ONNX Runtime times only the launch of a layer on {self.config.provider}; "
                "profile its layers with provider: cpu, or with the vendor's tool"
            )
        options = self._options()
        options.enable_profiling = True
        timed = self._session
        with tempfile.TemporaryDirectory() as folder:
            options.profile_file_prefix = str(Path(folder) / "layers")
            try:
                self._session = open_session(self.path, options, self.config)
                for _ in range(queries):
                    self.infer_impl(feeds)
                profile = json.loads(Path(self._session.end_profiling()).read_text())
            finally:
                self._session = timed
        typed = None if source is None else read_graph(source)
        return layers.layer_events(profile, read_graph(self.path), typed, queries)

    def arena_mib(self, feeds: Arrays) -> dict[str, float]:
        def run() -> None:
            session = open_session(self.path, self._options(), self.config)
            for _ in range(3):  # the first query learns the sizes, the second takes them in one block
                with flushed():
                    session.run(None, dict(feeds))

        return arena.arena_mib(runtime(), run)

    def measure_peaks(self, seconds: float = 0.2) -> dict[str, float]:
        if self.config.provider != "cpu":
            return {}
        return peaks.measure_peaks(lambda model: open_session(model, options_of(self.config), self.config), seconds)

    def deactivate(self) -> None:
        self._session = None
        self._buffers = Buffers(())
        if self._affinity is not None:
            os.sched_setaffinity(0, self._affinity)
            self._affinity = None

    def describe(self) -> dict[str, Any]:
        facts = {
            "engine": "ort",
            "version": runtime().__version__,
            "threads": self.config.threads,
            "pin": list(self.config.pin),
            "denormals": denormals.told(),
        }
        if self._session is not None:
            facts["provider"] = self._session.get_providers()[0]
        return facts


def _spec(node: Any) -> TensorSpec:
    if node.type not in _DTYPES:
        raise ModelError(f"tensor {node.name!r} has type {node.type}; supported: {', '.join(_DTYPES.values())}")
    return TensorSpec(node.name, tuple(d if isinstance(d, int) else None for d in node.shape), _DTYPES[node.type])


def reference(path: Path, config: Config | None = None) -> OrtEngine:
    """A plain ONNX file as an engine that computes exactly what is written: the reference of a parity check.

    Args:
        path: any ONNX file that ONNX Runtime takes; nothing in it is optimised.
        config: default: one thread on the CPU.
    """
    return OrtEngine(path, config or Config(engine="ort"))
