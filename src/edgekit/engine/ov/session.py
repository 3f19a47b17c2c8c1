"""OpenVINO: how it is imported, what its models are set to, how they are compiled and opened, and what its errors say.

Properties: https://docs.openvino.ai/2026/openvino-workflow/running-inference/inference-devices-and-modes/cpu-device.html
"""

from __future__ import annotations

import contextlib
import functools
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from edgekit.core.errors import BundleError, MissingRequirement, ModelError, TensorError
from edgekit.engine.ov import names, sums
from edgekit.runtime.denormals import flushed

DEVICE = "CPU"
INSTALL = 'pip install "edgekit[ov]"'
_TELEMETRY = "openvino_telemetry"
_NOISE = re.compile(r"^(Exception from |Check '.*' failed at |\[ CORE \] )")


class Settings(Protocol):
    """The part of a target that its models need."""

    @property
    def threads(self) -> int: ...


@functools.cache
def runtime() -> Any:
    """OpenVINO; importing it through here reports nothing to anybody.

    Raises:
        MissingRequirement: it is not installed.
    """
    before = sys.modules.get(_TELEMETRY, ...)
    if "openvino" not in sys.modules:
        # With this the package reports its import to its maker, and keeps an identifier in the home folder.
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        import openvino
    except ImportError as error:
        raise MissingRequirement("OpenVINO", INSTALL) from error
    finally:
        if before is ...:
            sys.modules.pop(_TELEMETRY, None)
        else:
            sys.modules[_TELEMETRY] = before
    return openvino


def version() -> str:
    """Of OpenVINO, with its build: another build may make other kernels."""
    return str(runtime().__version__)


@functools.cache
def core() -> Any:
    """The one ``openvino.Core`` of the process."""
    return runtime().Core()


def settings_of(config: Settings, hint: str) -> dict[str, Any]:
    """Properties of a compiled model: all that decides how fast or how exactly it computes.

    Args:
        config: the target.
        hint: what float layers compute in: ``f32``, ``bf16`` or ``f16``.  OpenVINO's own choice is bf16 where the
            processor has it, and an FP32 control would be none.
    """
    return {
        "INFERENCE_NUM_THREADS": config.threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": hint,
        # A query may compute on a thread of the process-wide pool, which the caller's switch does not reach; what this
        # leaves on the calling thread goes with the block of `flushed` around every query.
        "CPU_DENORMALS_OPTIMIZATION": True,
        # The target's own ``pin`` says where threads run.
        "ENABLE_CPU_PINNING": False,
    }


def exported(source: Path, config: Settings, hint: str, known: frozenset[str]) -> bytes:
    """A compiled model as a file holds it: equal for equal arguments.

    Args:
        source: an ONNX file.
        config: the target.
        hint: see :func:`settings_of`.
        known: names of the source, which stay.

    Raises:
        ModelError: OpenVINO refuses the model.
        EnvironmentFault: see :func:`edgekit.engine.ov.sums.require_exact`.
    """

    def stable(layers: bytes) -> bytes:
        return names.stable(layers, known)

    # Meant to encrypt the list of layers: the one place where the file can be given names that say nothing of how
    # many models this process has compiled before.
    hooks = {"CACHE_ENCRYPTION_CALLBACKS": [stable, bytes]}
    with translated(f"{source}: OpenVINO refuses the model", ModelError), flushed():
        model = core().read_model(str(source))
        sums.require_exact(model, source)
        made = core().compile_model(model, DEVICE, settings_of(config, hint) | hooks)
        return bytes(made.export_model().getvalue())


def opened(blob: bytes, config: Settings, hint: str, name: str, profiling: bool = False) -> Any:
    """A compiled model from what :func:`exported` gave.

    Raises:
        BundleError: OpenVINO refuses it.
    """
    hooks = {"CACHE_ENCRYPTION_CALLBACKS": [bytes, bytes], "PERF_COUNT": profiling}
    with translated(f"{name}: OpenVINO refuses the engine", BundleError), flushed():
        return core().import_model(io.BytesIO(blob), DEVICE, settings_of(config, hint) | hooks)


@contextlib.contextmanager
def translated(what: str, error: type[ModelError] | type[TensorError] | type[BundleError]) -> Iterator[None]:
    """Turn what OpenVINO raises into ``error``; ``what`` starts the message."""
    vendor = runtime().frontend
    failures = (vendor.GeneralFailure, vendor.InitializationFailure, vendor.NotImplementedFailure)
    try:
        yield
    except (*failures, vendor.OpConversionFailure, vendor.OpValidationFailure, RuntimeError, ValueError) as problem:
        raise error(f"{what}: {said(str(problem))}") from problem


def said(message: str) -> str:
    """What an OpenVINO error says, without the lines that name places in its own source."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return " ".join(line for line in lines if not _NOISE.match(line)) or " ".join(lines)
