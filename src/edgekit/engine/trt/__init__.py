"""TensorRT: ``tensorrt`` 10.x and 11.x and TensorRT for RTX, one backend.

``build`` reads one typed ONNX file (Q/DQ and Cast say what computes in which type) and writes the serialized
engine with the facts of :mod:`edgekit.engine.trt.guard` beside it.  An engine fits one TensorRT version and one
GPU, so it is built where it runs, or with ``host``; TensorRT for RTX builds for a GPU that is not here.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from edgekit import devices
from edgekit.core.artifacts import write_bytes
from edgekit.core.errors import EdgekitError, MissingRequirement
from edgekit.core.progress import Progress, Silent
from edgekit.core.spec import SpecPath
from edgekit.engine import EngineConfig, Probe, layers_path
from edgekit.engine.ort import PROBE_MODEL
from edgekit.engine.trt import bindings, builder, errors, guard, inspector
from edgekit.engine.trt.inspector import Achieved
from edgekit.onnxfile.graph import read_graph

if TYPE_CHECKING:
    from edgekit.engine.trt.runner import TrtEngine

SUFFIX = ".engine"
INT8_CONTROL = "fp16"
# On a GPU INT8 is chosen for speed alone, and FP16 costs no accuracy to speak of.
SLOWER_FAILS = True
"""What INT8 has to beat: every device here computes FP16 at least twice as fast as FP32."""
SILENT = Silent()

Shape = tuple[Annotated[int, Field(ge=1)], ...]


class ShapeRange(BaseModel):
    """Smallest, usual and largest shape of one input; the kernels are tuned for ``opt``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min: Shape
    opt: Shape
    max: Shape

    @model_validator(mode="after")
    def _ordered(self) -> ShapeRange:
        if not len(self.min) == len(self.opt) == len(self.max):
            raise ValueError(f"min, opt and max need the same rank; found {self.min}, {self.opt}, {self.max}")
        if any(not low <= usual <= high for low, usual, high in zip(self.min, self.opt, self.max, strict=True)):
            raise ValueError(f"expected min <= opt <= max in every axis; found {self.min}, {self.opt}, {self.max}")
        return self


class Config(EngineConfig):
    """A TensorRT target."""

    engine: Literal["trt"]
    precision: Literal["int8", "fp16", "bf16", "fp32", "fp8", "fp4"] | None = Field(
        None, description="default: what the compress steps lead to, else fp32"
    )
    device: str | None = Field(None, description="a file of devices/; default: the GPU of this machine")
    host: str | None = Field(
        None, pattern=r"^[^\s@-][^\s@]*@[^\s@]+$", description="user@board: built there over SSH, with its TensorRT"
    )
    compute_capability: str | None = Field(
        None, pattern=r"^\d{1,2}\.\d$", description="such as 8.9; default: that of the device"
    )
    profiles: tuple[dict[str, ShapeRange], ...] = Field(
        (), description="optimization profiles of a model with dynamic sizes; default: one, every dynamic size 1"
    )
    workspace_mib: int | None = Field(None, ge=1, description="scratch memory of a layer; default: what the device has")
    timing_cache: SpecPath | None = Field(
        None, description="file of measured kernel times, read and added to; only the same device and version share it"
    )
    optimization_level: int | None = Field(None, ge=0, le=5, description="effort of the builder; default: TensorRT's")
    version_compatible: bool = Field(False, description="runs on later TensorRT versions of the same major version")
    hardware_compatible: bool = Field(False, description="runs on every GPU from compute capability 8.0 on")
    weight_stripped: bool = Field(False, description="the engine holds no weights; they are put in from the ONNX file")
    max_aux_streams: int | None = Field(None, ge=0, description="streams beside the main one; default: TensorRT's")
    sparse_weights: bool = Field(False, description="use 2:4 sparse kernels where the weights are")
    dla_core: int | None = Field(None, ge=0, description="run on this deep-learning accelerator; default: the GPU")
    gpu_fallback: bool = Field(True, description="layers that the DLA cannot run go to the GPU")
    detailed_profiling: bool = Field(True, description="keep what the engine inspector needs to name precisions")
    cuda_graph: bool = Field(True, description="replay the launches as one CUDA graph when all shapes are fixed")
    memory: Literal["cuda-python", "pycuda"] = Field("cuda-python", description="library for device memory")

    @field_validator("device")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None:
            devices.get(value)
        return value

    @model_validator(mode="after")
    def _possible(self) -> Config:
        if self.device is not None:
            reason = devices.get(self.device).objection(
                self.precision, self.dla_core, self.compute_capability, self.workspace_mib
            )
            if reason:
                raise ValueError(reason)
        if self.dla_core is not None and self.profiles:
            raise ValueError("dla_core: the DLA runs fixed shapes only; remove profiles")
        if self.weight_stripped and self.dla_core is not None:
            raise ValueError("weight_stripped: the DLA's loadables hold their weights; remove one of the two")
        if self.weight_stripped and self.host is not None:
            raise ValueError("weight_stripped: the weights stay here, but a host runs the engine; remove one")
        if self.memory == "pycuda" and self.cuda_graph:
            raise ValueError("memory: pycuda cannot capture CUDA graphs; set cuda_graph: false, or memory: cuda-python")
        return self

    @property
    def wanted_capability(self) -> str | None:
        """The compute capability to build for, such as ``8.7``; None: that of the GPU of this machine."""
        if self.compute_capability is not None or self.device is None:
            return self.compute_capability
        return devices.get(self.device).compute_capability


def open(path: Path, config: Config) -> TrtEngine:
    """The engine in ``path``; its facts are checked against this machine when it is entered."""
    from edgekit.engine.trt.runner import TrtEngine

    return TrtEngine(path, config)


def quantization_profile(config: Config) -> str:
    """The Q/DQ placement that TensorRT fuses: a name of :mod:`edgekit.qdq.profiles`."""
    return "tensorrt"


def require(config: Config) -> None:
    """Raise unless an engine of this target can be built here; with ``host`` the board is asked later.

    Raises:
        MissingRequirement: TensorRT is not here.
        EnvironmentFault: it cannot build for the device or with the options; the message says what can.
    """
    if config.host is None:
        api = bindings.load()
        builder.refuse(api, guard.this_machine(api), config)


def runs_elsewhere(config: Config) -> str:
    """Why the engines cannot run on this machine; empty: they can."""
    if config.host is not None:
        return f"the engine is built and runs on {config.host}"
    here = guard.this_machine(bindings.load())
    wanted = config.wanted_capability or here.compute_capability
    if here.compute_capability is None:
        return f"there is no NVIDIA GPU on this machine to run an engine for compute capability {wanted}"
    if here.compute_capability != wanted and not config.hardware_compatible:
        return (
            f"the engine is for compute capability {wanted}, and the GPU of this machine has {here.compute_capability}"
        )
    return ""


def same_fact(key: str, built: Any, here: Any, config: Config) -> bool:
    """Whether an engine whose :func:`fingerprint` has ``built`` may run where it is ``here``."""
    if key == "tensorrt" and isinstance(built, str) and isinstance(here, str):
        return guard.same_version(built, here, config.version_compatible)
    return bool(built == here)


def fingerprint(config: Config) -> dict[str, Any]:
    """What an engine file depends on; the engine's own facts say more, see :mod:`edgekit.engine.trt.guard`."""
    api = bindings.load()
    here = guard.this_machine(api)
    return {
        "engine": "trt",
        "flavour": api.flavour,
        "tensorrt": api.version,
        "compute_capability": config.wanted_capability or here.compute_capability,
    }


def build(source: Path, target: Path, config: Config, progress: Progress = SILENT) -> None:
    """Write the engine of the typed ONNX file ``source``, and its facts beside it (``<target>.json``).

    A weight-stripped engine has a copy of ``source`` beside it too; a bundle has it among its models.

    Raises:
        ModelError: TensorRT does not take the model.
        EnvironmentFault: it cannot build for the device, or ran out of memory.
        OutputError: the files cannot be written.
    """
    api = bindings.load()
    machine = guard.this_machine(api)
    built = builder.build(api, machine, source, config, progress)
    native = machine.compute_capability == built.capability
    facts = guard.Facts(
        engine_sha256=hashlib.sha256(built.plan).hexdigest(),
        onnx_sha256=built.onnx_sha256,
        flavour=api.flavour,
        tensorrt=api.version,
        compute_capability=built.capability,
        cuda=machine.cuda if native else None,
        device=machine.device if native else None,
        driver=machine.driver if native else None,
        options=built.options,
        timing_cache_sha256=built.timing_cache_sha256,
    )
    # The facts come first: an engine without them is refused, facts without their engine are nothing.
    guard.write(target, facts)
    if config.weight_stripped:
        write_bytes(guard.weights_beside(target), source.read_bytes())
    write_bytes(target, built.plan)


def achieved(path: Path, source: Path, precision: str, config: Config) -> Achieved | None:
    """What became of the request, by the layer list beside the engine ``path``; None: there is no detailed one.

    Args:
        path: the engine.
        source: the typed model that it was built from.
        precision: of both.
        config: the target.
    """
    listed = layers_path(path)
    if not config.detailed_profiling or not listed.is_file():
        return None
    document = listed.read_text(encoding="utf-8")
    return inspector.inspect(document, precision, read_graph(source), config.dla_core is not None)


def probe() -> list[Probe]:
    """Build a one-node model, for the GPU of this machine or for the newest that the library knows."""
    try:
        api = bindings.load()
    except MissingRequirement as missing:
        return [Probe("trt", False, "not importable", missing.install)]
    here = guard.this_machine(api)
    about = f"{api.flavour} {api.version}"
    capability = here.compute_capability or next(reversed(api.capabilities()), None)
    if capability is None:
        return [Probe("trt", False, f"{about}: it builds on an NVIDIA GPU only, and none answers", errors.DRIVER)]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "probe.onnx"
        source.write_bytes(PROBE_MODEL)
        config = Config(engine="trt", compute_capability=capability)
        try:
            build(source, source.with_suffix(SUFFIX), config)
        except EdgekitError as error:
            return [Probe("trt", False, f"{about}: a build fails: {error}", errors.install_line())]
    found = [Probe("trt/build", True, f"{about}; built an engine for compute capability {capability}")]
    if here.device is None:
        found.append(Probe("trt/run", False, "no NVIDIA GPU answers, so engines are built but not run", errors.DRIVER))
    return found
