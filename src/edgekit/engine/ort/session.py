"""ONNX Runtime sessions: what they are set to, how they are opened and asked, and what they depend on here.

An engine and its control differ in their model file and in nothing else: all that decides how fast or how exactly a
session computes is set here, from the target alone.  Test: ``tests/engine/ort/test_session.py``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from edgekit.core.errors import MissingRequirement, ModelError, TensorError
from edgekit.engine.ort import extension
from edgekit.runtime import sessions
from edgekit.runtime.denormals import flushed

INSTALL = "pip install edgekit"
INSTALL_CUDA = "pip install onnxruntime-gpu (and an NVIDIA driver with CUDA and cuDNN)"


class Settings(Protocol):
    """The part of a target that its sessions need."""

    @property
    def threads(self) -> int: ...
    @property
    def provider(self) -> str: ...
    @property
    def pin(self) -> tuple[int, ...]: ...
    @property
    def spinning(self) -> bool: ...


def runtime() -> Any:
    """ONNX Runtime.

    Raises:
        MissingRequirement: it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingRequirement("ONNX Runtime", INSTALL) from error
    return onnxruntime


def options_of(config: Settings) -> Any:
    """The session options of a target, for each of its engines; only the optimisation level is the caller's."""
    options = runtime().SessionOptions()
    sessions.configure(options)
    options.intra_op_num_threads = config.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # A pattern learnt in the first query takes all activations again, in one block, beside what that query left.
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if config.spinning else "0")
    if config.pin[1:]:
        # The calling thread is the first worker; the runtime counts processors from 1.
        options.add_session_config_entry(
            "session.intra_op_thread_affinities", ";".join(str(cpu + 1) for cpu in config.pin[1:])
        )
    return options


def provider_of(config: Settings) -> str:
    """ONNX Runtime's name of the provider.

    Raises:
        MissingRequirement: this build of ONNX Runtime has it not.
    """
    wanted = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}[config.provider]
    if wanted not in runtime().get_available_providers():
        raise MissingRequirement(f"ONNX Runtime's {wanted}", INSTALL_CUDA)
    return wanted


def open_session(model: Path | bytes, options: Any, config: Settings, name: str = "a model in memory") -> Any:
    """A session of a file, or of a model in memory, which messages call ``name``.

    Raises:
        ModelError: the model is refused.
        MissingRequirement: the provider does not run here, or the model uses operators that are not here.
    """
    wanted = provider_of(config)
    if (version := extension.needed(model)) is not None:
        extension.register(options, version)
    given, name = (model, name) if isinstance(model, bytes) else (str(model), str(model))
    make, without = runtime().InferenceSession, sessions.unwanted()
    # The first session of a process changes the thread that opens it; the block puts that back.
    with translated(f"{name}: ONNX Runtime refuses the model", ModelError), flushed():
        session = make(given, options, providers=[wanted], disabled_optimizers=without)
    # A session falls back to the CPU without a word when the driver is missing.
    if session.get_providers()[0] != wanted:
        raise MissingRequirement(f"{wanted} (the session fell back to {session.get_providers()[0]})", INSTALL_CUDA)
    return session


@contextlib.contextmanager
def translated(what: str, error: type[ModelError] | type[TensorError]) -> Iterator[None]:
    """Turn what ONNX Runtime raises into ``error``; ``what`` starts the message."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    failures = (state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NoSuchFile)
    try:
        yield
    # A failing node of a bound run raises a bare RuntimeError.
    except (*failures, state.NotImplemented, state.RuntimeException, RuntimeError) as problem:
        raise error(f"{what}: {problem}") from problem
