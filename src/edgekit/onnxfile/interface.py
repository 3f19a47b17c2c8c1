"""Inputs and outputs of an ONNX file, read without the onnx package.

Field numbers are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

from pathlib import Path

from edgekit.core.errors import ModelError
from edgekit.core.tensors import TensorSpec
from edgekit.onnxfile.fields import fields_of
from edgekit.onnxfile.graph import DTYPES, integer, read_graph, text_at

_GRAPH, _INPUT, _OUTPUT = 7, 11, 12
_NAME, _TYPE, _TENSOR, _ELEMENT, _SHAPE, _DIM, _SIZE = 1, 2, 1, 1, 2, 1, 1


def read_interface(path: Path) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """The (inputs, outputs) of the model, in the order of the file; constants are no inputs.

    Raises:
        ModelError: the file is not a whole ONNX model, or a tensor has a type that NumPy does not know.
    """
    constants = read_graph(path).constants
    graph = next(body for number, _, body in fields_of(path.read_bytes()) if number == _GRAPH)
    found: dict[int, list[TensorSpec]] = {_INPUT: [], _OUTPUT: []}
    for number, _, body in fields_of(graph):
        if number in found:
            found[number].append(_value(body, path))
    return tuple(spec for spec in found[_INPUT] if spec.name not in constants), tuple(found[_OUTPUT])


def _value(message: bytes, path: Path) -> TensorSpec:
    name = text_at(list(fields_of(message)), _NAME)
    tensor = _inside(_inside(message, _TYPE), _TENSOR)
    element = next((integer(raw) for number, raw, _ in fields_of(tensor) if number == _ELEMENT), 0)
    dtype = DTYPES.get(element, "unknown")
    sizes = [_size(body) for number, _, body in fields_of(_inside(tensor, _SHAPE)) if number == _DIM]
    try:
        return TensorSpec(name, tuple(sizes), dtype)
    except TypeError as error:
        raise ModelError(f"{path}: {name!r} has type {element} of ONNX, which cannot be fed from NumPy") from error


def _size(dimension: bytes) -> int | None:
    return next((integer(raw) for number, raw, _ in fields_of(dimension) if number == _SIZE), None)


def _inside(message: bytes, wanted: int) -> bytes:
    return next((body for number, _, body in fields_of(message) if number == wanted), b"")
