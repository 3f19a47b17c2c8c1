"""TensorRT for RTX as a judge of typed ONNX files: it parses and builds without a GPU.

    pip install tensorrt-rtx-cu13-libs tensorrt-rtx-cu13-bindings

Its networks are strongly typed, as TensorRT 11's are.  Tests that need it skip where it is not installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest


def parse(model: bytes) -> list[str]:
    """What NVIDIA's ONNX parser says against ``model``; empty when it takes it."""
    with _parsed(model) as (_, _, errors):
        return errors


def build(model: bytes) -> bytes:
    """The engine for compute capability 8.9 (GeForce RTX 40); dynamic sizes are built for 1.

    Raises:
        AssertionError: TensorRT refuses the model; the message is TensorRT's.
    """
    trt = _bindings()
    with _parsed(model) as (builder, network, errors):
        assert not errors, errors
        settings = builder.create_builder_config()
        settings.num_compute_capabilities = 1
        settings.set_compute_capability(trt.ComputeCapability.SM89, 0)
        inputs = [network.get_input(index) for index in range(network.num_inputs)]
        if any(-1 in value.shape for value in inputs):
            profile = builder.create_optimization_profile()
            for value in inputs:
                shape = tuple(max(size, 1) for size in value.shape)
                profile.set_shape(value.name, shape, shape, shape)
            settings.add_optimization_profile(profile)
        engine = builder.build_serialized_network(network, settings)
        assert engine is not None, _logger().problems[-3:]
        return bytes(engine)


def layers(model: bytes) -> list[tuple[str, str]]:
    """(kind, type of the first output) of every layer of the network that the parser makes, such as (CAST, HALF)."""
    with _parsed(model) as (_, network, errors):
        assert not errors, errors
        made = [network.get_layer(index) for index in range(network.num_layers)]
        return [(layer.type.name, layer.get_output(0).dtype.name) for layer in made]


@contextmanager
def _parsed(model: bytes) -> Iterator[tuple[Any, Any, list[str]]]:
    trt = _bindings()
    builder = trt.Builder(_logger())
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, _logger())
    parser.parse(model)
    yield builder, network, [parser.get_error(index).desc() for index in range(parser.num_errors)]
    # The network's weights are the parser's memory.
    del parser


def _bindings() -> Any:
    return pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")


@cache
def _logger() -> Any:
    """The one logger that the library keeps for the whole process."""
    trt = _bindings()

    class Logger(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.problems: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.problems.append(message)

    return Logger()
