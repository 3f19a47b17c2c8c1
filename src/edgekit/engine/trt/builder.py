"""One typed ONNX file to one serialized engine, on whichever TensorRT is here.

The network is strongly typed: Q/DQ, Cast and the weights' dtypes say what computes in which type.  TensorRT before
10.12 (JetPack 6 has 10.3) takes Q/DQ in weakly typed networks only; there precision flags allow the types that the
model holds, and no others.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit import devices
from edgekit.core.artifacts import write_bytes
from edgekit.core.errors import BundleError, EnvironmentFault, InputError, ModelError
from edgekit.core.locks import locked
from edgekit.core.progress import Progress
from edgekit.engine.trt import bindings, errors, tracking
from edgekit.engine.trt.bindings import Api
from edgekit.engine.trt.config import Config
from edgekit.engine.trt.guard import Machine
from edgekit.onnxfile.graph import read_graph

# Keys of the target that change nothing in the engine.
RUNTIME_KEYS = ("engine", "host", "timing_cache", "cuda_graph", "memory", "device")
_FLAGS = {"QuantizeLinear": "INT8", "float16": "FP16", "bfloat16": "BF16"}


@dataclass(frozen=True)
class Built:
    """A serialized engine and what its facts need; ``capability`` such as ``8.9``."""

    plan: bytes
    onnx_sha256: str
    capability: str
    options: Mapping[str, Any]
    timing_cache_sha256: str | None


def refuse(api: Api, machine: Machine, config: Config) -> str:
    """The compute capability to build for.

    Raises:
        EnvironmentFault: this TensorRT cannot build for the device, or cannot do what the options ask.
    """
    device = None if config.device is None else devices.get(config.device)
    if device is not None and api.flavour == "tensorrt":
        reason = device.version_objection(api.version, dla=config.dla_core is not None)
        if reason:
            raise EnvironmentFault(reason)
    wanted = config.wanted_capability or machine.compute_capability
    title = device.title if device else "the target"
    if wanted is None:
        raise EnvironmentFault(
            "there is no NVIDIA GPU here to build for; name one in the target (device or compute_capability), or "
            "build on the board with host: user@board"
        )
    known = api.capabilities() or tuple(filter(None, [machine.compute_capability]))
    if wanted not in known:
        raise EnvironmentFault(
            f"{api.flavour} {api.version} on this machine builds for compute capability {', '.join(known) or 'none'}; "
            f"{title} has {wanted}; build where it runs: host: user@board in the target, or --host user@board"
        )
    _refuse_options(api, config)
    return wanted


def _refuse_options(api: Api, config: Config) -> None:
    if api.flavour != "tensorrt-rtx":
        return
    # TensorRT for RTX takes these calls and does nothing, or warns.
    idle = {
        "timing_cache": config.timing_cache is not None,
        "hardware_compatible": config.hardware_compatible,
        "dla_core": config.dla_core is not None,
    }
    asked = [key for key, given in idle.items() if given]
    if asked:
        raise EnvironmentFault(f"TensorRT for RTX has no {', '.join(asked)}; remove the key, or build with tensorrt")


def build(api: Api, machine: Machine, source: Path, config: Config, progress: Progress) -> Built:
    """The engine of ``source``.

    Raises:
        ModelError: not an ONNX model, or not one that TensorRT takes; the message names the node.
        EnvironmentFault: see :func:`refuse`; or the device ran out of memory.
        KeyboardInterrupt: Ctrl-C; nothing is left.
    """
    trt = api.module
    capability = refuse(api, machine, config)
    model = source.read_bytes()
    log = bindings.logger(api)
    log.clear()
    builder = trt.Builder(log)
    if builder is None:
        raise errors.failed(source, log.problems, log.warnings)
    network = builder.create_network(network_flags(api))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model, str(source)):
        raise errors.unparsable(source, model, errors.refusals(parser))
    settings = builder.create_builder_config()
    options = configure(api, settings, config, source, machine, capability)
    _add_profiles(builder, network, settings, config, source)
    cache_file = cache_path(config.timing_cache, machine) if config.timing_cache else None
    cache = _attach_cache(settings, cache_file) if cache_file else None
    plan = _run(api, builder, network, settings, source, progress)
    digest = _keep_cache(settings, cache, cache_file) if cache_file else None
    return Built(plan, hashlib.sha256(model).hexdigest(), capability, options, digest)


def network_flags(api: Api) -> int:
    """The flags of ``create_network``: strongly typed where that takes Q/DQ; typed-only libraries need no flag."""
    if api.typed_only or not api.types_quantized:
        return 0
    return 1 << int(api.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def configure(
    api: Api, settings: Any, config: Config, source: Path, machine: Machine, capability: str
) -> dict[str, Any]:
    """Set every option of the builder; returns those that change the engine, as they were set."""
    trt = api.module
    options = {key: value for key, value in config.model_dump(mode="json").items() if key not in RUNTIME_KEYS}
    options["compute_capability"] = capability
    # FP32 means FP32: TF32 multiplies with 10 bits of mantissa.
    settings.clear_flag(trt.BuilderFlag.TF32)
    for name in _wanted_flags(api, config, source):
        settings.set_flag(getattr(trt.BuilderFlag, name))
    if api.builds_elsewhere:
        settings.num_compute_capabilities = 1
        settings.set_compute_capability(getattr(trt.ComputeCapability, f"SM{capability.replace('.', '')}"), 0)
    if config.workspace_mib is not None:
        limit = min(config.workspace_mib, machine.memory_mib or config.workspace_mib)
        settings.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, limit << 20)
        options["workspace_mib"] = limit
    if config.optimization_level is not None:
        settings.builder_optimization_level = config.optimization_level
    if config.max_aux_streams is not None:
        settings.max_aux_streams = config.max_aux_streams
    if config.hardware_compatible:
        settings.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if config.dla_core is not None:
        settings.default_device_type = trt.DeviceType.DLA
        settings.DLA_core = config.dla_core
    if config.detailed_profiling:
        settings.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    return options


def _wanted_flags(api: Api, config: Config, source: Path) -> list[str]:
    asked = {
        "VERSION_COMPATIBLE": config.version_compatible,
        "STRIP_PLAN": config.weight_stripped,
        # The weights that come back are those that were there: kernels may be chosen for them.
        "REFIT_IDENTICAL": config.weight_stripped,
        "SPARSE_WEIGHTS": config.sparse_weights,
        "GPU_FALLBACK": config.dla_core is not None and config.gpu_fallback,
    }
    flags = [name for name, wanted in asked.items() if wanted]
    return flags if api.types_quantized else flags + precision_flags(source)


def precision_flags(source: Path) -> list[str]:
    """The builder flags that a weakly typed network needs: the types that the model holds beside FP32."""
    graph = read_graph(source)
    found = {node.op for node in graph.nodes} | {tensor.dtype for tensor in graph.constants.values()}
    return [flag for sign, flag in _FLAGS.items() if sign in found]


def _add_profiles(builder: Any, network: Any, settings: Any, config: Config, source: Path) -> None:
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    dynamic = {value.name: tuple(value.shape) for value in inputs if -1 in tuple(value.shape)}
    if not dynamic and config.profiles:
        raise ModelError(f"{source}: profiles are for dynamic sizes, and every input has a fixed shape; remove the key")
    if not dynamic:
        return
    if config.dla_core is not None:
        raise ModelError(f"{source}: the DLA runs fixed shapes only; export {', '.join(dynamic)} with fixed sizes")
    for number, given in enumerate(config.profiles or (None,)):
        profile = builder.create_optimization_profile()
        for name, shape in dynamic.items():
            if given is not None and name not in given:
                raise InputError(f"profiles[{number}]: the dynamic input {name!r} has no shapes; give min, opt and max")
            usual = tuple(max(size, 1) for size in shape)
            low, opt, high = (usual,) * 3 if given is None else (given[name].min, given[name].opt, given[name].max)
            _check_shape(number, name, shape, low, high)
            profile.set_shape(name, low, opt, high)
        if given is not None and set(given) - set(dynamic):
            unknown = sorted(set(given) - set(dynamic))
            raise InputError(f"profiles[{number}]: no dynamic input {unknown[0]!r}; expected {', '.join(dynamic)}")
        if settings.add_optimization_profile(profile) < 0:
            raise InputError(f"profiles[{number}]: TensorRT refuses these shapes: {given}")


def _check_shape(number: int, name: str, shape: tuple[int, ...], low: tuple[int, ...], high: tuple[int, ...]) -> None:
    fits = len(low) == len(shape) and all(
        size in (-1, smallest) and (size == -1 or smallest == largest)
        for size, smallest, largest in zip(shape, low, high, strict=True)
    )
    if not fits:
        expected = ["any" if size == -1 else size for size in shape]
        raise InputError(f"profiles[{number}]: {name!r} is {expected} in the model; found min {low}, max {high}")


def _run(api: Api, builder: Any, network: Any, settings: Any, source: Path, progress: Progress) -> bytes:
    log, cancelled = bindings.logger(api), threading.Event()
    with progress.track(f"build {source.stem}", tracking.PARTS) as advance:
        settings.progress_monitor = tracking.monitor(api, tracking.Share(advance), cancelled)
        plan = tracking.interruptible(lambda: builder.build_serialized_network(network, settings), cancelled)
    if plan is None:
        raise errors.failed(source, log.problems, log.warnings)
    return bytes(plan)


def cache_path(given: Path, machine: Machine) -> Path:
    """The timing cache of this library and device: their names go into that of the file, so that a folder may be
    shared by several."""
    device = re.sub(r"[^A-Za-z0-9]+", "-", machine.device or f"sm{machine.compute_capability}").strip("-").lower()
    return given.with_name(f"{given.stem}.{machine.flavour}-{machine.tensorrt}.{device}{given.suffix}")


def _attach_cache(settings: Any, file: Path) -> Any:
    cache = settings.create_timing_cache(file.read_bytes() if file.is_file() else b"")
    if cache is None or not settings.set_timing_cache(cache, False):
        raise BundleError(f"{file}: not a timing cache of this TensorRT and device; remove the file")
    return cache


def _keep_cache(settings: Any, cache: Any, file: Path) -> str:
    """Add what was measured to what other builds wrote meanwhile; the hash of the file."""
    with locked(file):
        merged = settings.create_timing_cache(file.read_bytes() if file.is_file() else b"")
        content = bytes((merged if merged is not None and merged.combine(cache, False) else cache).serialize())
        write_bytes(file, content)
    return hashlib.sha256(content).hexdigest()
