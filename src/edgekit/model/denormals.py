"""Weights too small to count are zero in what is exported.

Weight decay drives the weights of dead channels below 1.2e-38, where a processor computes many times slower than with
zero and the result does not show it: times an activation of 1e6 such a weight is still below 1e-31.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgekit.core.tensors import Array

# An ONNX element type, the unsigned integer of its width, and the bits of its exponent.
_KINDS = {1: (np.uint32, 0x7F80_0000), 11: (np.uint64, 0x7FF0_0000_0000_0000)}
_SIGNLESS = {1: 0x7FFF_FFFF, 11: 0x7FFF_FFFF_FFFF_FFFF}


@dataclass(frozen=True)
class Denormals:
    """What was found: ``zeroed`` weights in ``tensors``, and the names of single numbers, which are left as they are.

    A single number is an epsilon that the network's author wrote; a processor that flushes denormals takes it for
    zero, which shows in the comparison with the model.  Half precision has none: its small numbers cost nothing.
    """

    zeroed: int
    tensors: int
    constants: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def without_denormals(content: bytes) -> tuple[bytes, Denormals]:
    """An ONNX model, serialised, whose float32 and float64 weights are zero where they were denormal.

    The same bytes when there are none.
    """
    import onnx

    model = onnx.load_from_string(content)
    zeroed = tensors = 0
    constants: list[str] = []
    for name, tensor in _tensors(model):
        if tensor.data_type not in _KINDS:
            continue
        values = onnx.numpy_helper.to_array(tensor)
        found = _denormal(values, tensor.data_type)
        count = int(found.sum())
        if count and values.size == 1:
            constants.append(name)
        elif count:
            zeroed, tensors = zeroed + count, tensors + 1
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.where(found, values.dtype.type(0), values), tensor.name))
    counted = Denormals(zeroed, tensors, tuple(constants))
    return (model.SerializeToString(deterministic=True) if zeroed else content), counted


def _denormal(values: Array, kind: int) -> Array:
    """Where they are, from the bits: in a thread that flushes denormals, comparing them finds none."""
    unsigned, exponent = _KINDS[kind]
    bits = np.ascontiguousarray(values).reshape(values.shape).view(unsigned)
    magnitude = bits & unsigned(_SIGNLESS[kind])
    found: Array = (magnitude != 0) & ((bits & unsigned(exponent)) == 0)
    return found


def _tensors(model: Any) -> Iterator[tuple[str, Any]]:
    """Initializers and constants of the graph, of those inside its nodes, and of local functions; with names."""
    pending = [(model.graph.initializer, model.graph.node), *(((), function.node) for function in model.functions)]
    while pending:
        held, nodes = pending.pop()
        yield from ((tensor.name, tensor) for tensor in held)
        for node in nodes:
            for attribute in node.attribute:
                if node.op_type == "Constant" and attribute.name == "value":
                    yield node.output[0], attribute.t
                inner = [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
                pending += [(graph.initializer, graph.node) for graph in inner]
