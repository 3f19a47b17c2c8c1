"""ONNX Runtime: the embedded default, on the CPU or through the CUDA provider when it really runs.

``build`` saves the graph that ONNX Runtime optimised for this processor and
``open`` loads it with optimisation off, which starts twice as fast.  Such a file
fits one ONNX Runtime version and instruction set: :func:`fingerprint`.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from edgekit.core.artifacts import write_bytes
from edgekit.core.errors import BundleError, EnvironmentFault, InputError, MissingRequirement, ModelError, TensorError
from edgekit.core.progress import Progress, Silent
from edgekit.core.tensors import Array, Arrays, TensorSpec
from edgekit.engine import Engine, EngineConfig, LayerEvent, Part, Probe
from edgekit.engine.ort import arena, isolated, layers, peaks
from edgekit.engine.ort.session import (
    INSTALL_CUDA,
    open_session,
    options_of,
    provider_of,
    runtime,
    translated,
)
from edgekit.onnxfile import names
from edgekit.onnxfile.graph import read_graph
from edgekit.runtime import denormals, processor, sessions
from edgekit.runtime.denormals import flushed

SUFFIX = ".ort.onnx"
INT8_CONTROL = "fp32"
SILENT = Silent()
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


class Config(EngineConfig):
    """An ONNX Runtime target."""

    engine: Literal["ort"]
    precision: Literal["int8", "fp16", "bf16", "fp32"] | None = Field(
        None, description="default: what the compress steps lead to, else fp32"
    )
    profile: Literal["ort-x86", "ort-arm"] | None = Field(
        None, description="Q/DQ placement; default: that of the machine edgekit runs on"
    )
    threads: int = Field(1, ge=1, description="threads of one query")
    provider: Literal["cpu", "cuda"] = "cpu"
    pin: tuple[int, ...] = Field((), description="one CPU number per thread")
    spinning: bool = Field(False, description="threads burn CPU while they wait: a little faster, and CPU time lies")

    @field_validator("pin")
    @classmethod
    def _distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) != len(value) or any(cpu < 0 for cpu in value):
            raise ValueError("pin takes different CPU numbers >= 0")
        return value

    @model_validator(mode="after")
    def _one_cpu_a_thread(self) -> Config:
        if self.pin and len(self.pin) != self.threads:
            raise ValueError(f"pin names {len(self.pin)} CPUs for {self.threads} threads; give one CPU per thread")
        return self


def require(config: Config) -> None:
    """Raise :class:`MissingRequirement` when ONNX Runtime or the provider is not installed here."""
    provider_of(config)


def fingerprint(config: Config) -> dict[str, Any]:
    """What an engine file depends on; a file made under another fingerprint is refused."""
    facts = {
        "engine": "ort",
        "onnxruntime": runtime().__version__,
        "provider": config.provider,
        "machine": platform.machine(),
        "isa": processor.instruction_sets(),
    }
    products = processor.int8_products()
    return facts if products is None else facts | {"int8_products": products}


def quantization_profile(config: Config) -> str:
    """The Q/DQ placement that is fast here: a name of :mod:`edgekit.qdq.profiles`."""
    return config.profile or ("ort-arm" if platform.machine().lower() in ("aarch64", "arm64") else "ort-x86")


def build(source: Path, target: Path, config: Config, progress: Progress = SILENT) -> None:
    """Write the graph of ``source`` as ONNX Runtime optimises it for this machine.

    Raises:
        ModelError: ONNX Runtime refuses the model.
        MissingRequirement: the provider does not run here.
    """
    options = options_of(config)
    options.graph_optimization_level = runtime().GraphOptimizationLevel.ORT_ENABLE_ALL
    with progress.track(f"build {source.stem}"), tempfile.TemporaryDirectory() as folder:
        optimised = Path(folder) / "model.onnx"
        options.optimized_model_filepath = str(optimised)
        open_session(sessions.prepared(_read(source)), options, config, str(source))
        write_bytes(target, names.stable(optimised.read_bytes()))


def _read(source: Path) -> bytes:
    try:
        return source.read_bytes()
    except OSError as error:
        raise ModelError(f"{source}: ONNX Runtime refuses the model: {error.strerror}") from error


def open(path: Path, config: Config, optimised: bool = True) -> OrtEngine:
    """The engine in ``path``: a file made by :func:`build`, or, with ``optimised=False``, a plain
    ONNX file that runs exactly as it is written (the reference of a parity check)."""
    if optimised and not path.name.endswith(SUFFIX):
        raise BundleError(f"{path}: not an engine of the ort backend (expected a name ending in {SUFFIX})")
    return OrtEngine(path, config)


def parts(path: Path, source: Path, config: Config, frames: Sequence[Arrays]) -> Iterator[Part]:
    """Every layer of the engine in ``path`` on its own, fed with the tensors of ``source``, its typed model.

    Raises:
        ModelError: one of the files is no ONNX model, or ONNX Runtime refuses it.
        TensorError: a layer does not run.
    """

    def opened(model: bytes) -> Any:
        options = options_of(config)
        options.graph_optimization_level = runtime().GraphOptimizationLevel.ORT_DISABLE_ALL
        return open_session(model, options, config)

    with translated(f"{path.name}: a layer does not run", TensorError):
        yield from isolated.parts(path, source, frames, opened)


def probe() -> list[Probe]:
    """Run a one-node model on every provider this build of ONNX Runtime offers."""
    try:
        installed = runtime()
    except MissingRequirement as missing:
        return [Probe("ort", False, "not importable", missing.install)]
    found = [
        _probe_provider(
            "cpu", f"ONNX Runtime {installed.__version__}, {', '.join(processor.instruction_sets()) or 'no SIMD found'}"
        )
    ]
    if "CUDAExecutionProvider" in installed.get_available_providers():
        found.append(_probe_provider("cuda", f"ONNX Runtime {installed.__version__}"))
    else:
        found.append(Probe("ort/cuda", False, "this build of ONNX Runtime has no CUDA provider", INSTALL_CUDA))
    return found


def _probe_provider(provider: Literal["cpu", "cuda"], detail: str) -> Probe:
    name = f"ort/{provider}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probe.onnx"
        path.write_bytes(PROBE_MODEL)
        try:
            with open(path, Config(engine="ort", provider=provider), optimised=False) as engine:
                result = engine.infer({"x": np.ones((1, 4), np.float32)})["y"]
        except MissingRequirement as missing:
            return Probe(name, False, "installed, but it does not run (driver or libraries missing)", missing.install)
    works = bool((result == 2.0).all())
    return Probe(name, works, f"{detail}; ran a model" if works else f"{detail}; WRONG result {result}")


class OrtEngine(Engine):
    """One ONNX Runtime session with bound inputs and outputs.

    Output buffers are reused only when the caller has dropped them, so results
    stay valid and a steady loop allocates nothing.
    """

    def __init__(self, path: Path, config: Config) -> None:
        self.path = path
        self.config = config
        self._session: Any = None
        self._buffers: list[dict[str, Array]] = []
        self._passed: set[str] = set()
        self._affinity: set[int] | None = None

    def activate(self) -> None:
        options = self._options()
        if self.config.pin:
            self._affinity = _pin(self.config.pin)
        try:
            self._session = open_session(self.path, options, self.config)
            self.inputs = tuple(_spec(node) for node in self._session.get_inputs())
            self.outputs = tuple(_spec(node) for node in self._session.get_outputs())
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
        results = self._free_buffers()
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

    def _free_buffers(self) -> dict[str, Array]:
        for index, held in enumerate(self._buffers):
            # 2: the dictionary's own reference and getrefcount's argument.
            if all(sys.getrefcount(held[name]) == 2 for name in held):
                self._buffers.append(self._buffers.pop(index))
                return dict(held)
        made: dict[str, Array] = {s.name: np.empty(_fixed(s), s.dtype) for s in self.outputs}
        self._buffers.append(made)
        del self._buffers[:-4]
        return dict(made)

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
        self._buffers.clear()
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


def _fixed(spec: TensorSpec) -> tuple[int, ...]:
    return tuple(size for size in spec.shape if size is not None)


def _pin(cpus: tuple[int, ...]) -> set[int]:
    before = os.sched_getaffinity(0)
    missing = sorted(set(cpus) - before)
    if missing:
        raise EnvironmentFault(f"pin: this process may not use CPU {missing[0]}; choose from {sorted(before)}")
    os.sched_setaffinity(0, {cpus[0]})
    return before


# y = x + x for float32 [1, 4], opset 17: small enough to write out, so that probing needs no onnx package.
PROBE_MODEL = bytes.fromhex(
    "08083a3d0a0e0a01780a017812017922034164641201705a130a0178120e0a0c080112080a0208010a02080462130a017912"
    "0e0a0c080112080a0208010a02080442040a001011"
)
