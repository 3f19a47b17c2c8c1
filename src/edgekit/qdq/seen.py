"""What the next operators see of a tensor: the function of one variable that all its readers compute together.

A SiLU is ``x * sigmoid(x)`` in ONNX: two operators read ``x``, and what they give together hardly tells values below -5
apart.  A grid that reaches down to the lowest ``x`` that was seen spends its steps there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from edgekit.core.tensors import Array
from edgekit.qdq.graph import Graph, run, runtime, session

# Operators that work on single elements.
_ELEMENTWISE = frozenset(
    {"Add", "Clip", "Div", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "Mul", "Relu", "Sigmoid", "Softplus"}
    | {"Sub", "Tanh"}
)
_MOST = 12  # operators of one function


class Function:
    """A function of one variable, of float arrays of any shape.

    Args:
        graph: holds ``nodes``.
        given: the tensor that is its variable.
        nodes: what computes it, in order; the last gives it.
    """

    def __init__(self, graph: Graph, given: str, nodes: list[Any]) -> None:
        self._graph, self._given, self.nodes = graph, given, nodes

    def __call__(self, values: Array) -> Array:
        end = self.nodes[-1].output[0]
        flat = np.asarray(values, np.float32).reshape(-1)
        return run(session(self._model(end), _options()), [end], {self._given: flat})[0].reshape(np.shape(values))

    def _model(self, end: str) -> Any:
        import onnx

        held = {name for node in self.nodes for name in node.input} & self._graph.constants.keys()
        scalars = [onnx.numpy_helper.from_array(self._graph.array(name).reshape(()), name) for name in sorted(held)]
        ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None]) for name in (self._given, end)]
        made = onnx.helper.make_graph(self.nodes, "seen", ends[:1], ends[1:], scalars)
        model = onnx.helper.make_model(made, opset_imports=self._graph.model.opset_import)
        model.ir_version = self._graph.model.ir_version
        return model


def function_of(graph: Graph, name: str) -> Function | None:
    """The function that the readers of ``name`` compute; None: they are no such operators, or give several tensors."""
    nodes: list[Any] = []
    made = [name]
    while len(nodes) < _MOST:
        found = next(_next(graph, made, nodes), None)
        if found is None:
            return None
        nodes.append(found)
        made.append(found.output[0])
        if _left(graph, made, nodes) == [made[-1]]:
            order = {node.name: at for at, node in enumerate(graph.nodes)}
            return Function(graph, name, sorted(nodes, key=lambda node: order[node.name]))
    return None


def _next(graph: Graph, made: list[str], nodes: list[Any]) -> Iterator[Any]:
    """Readers of ``made`` that read nothing else but constants of one value."""
    taken = {node.name for node in nodes}
    for name in made:
        for user in graph.consumers.get(name, []):
            if user.name in taken or user.op_type not in _ELEMENTWISE or user.domain not in ("", "ai.onnx"):
                continue
            if all(not given or given in made or _is_scalar(graph, given) for given in user.input):
                yield user


def _is_scalar(graph: Graph, name: str) -> bool:
    return name in graph.constants and graph.is_float(name) and int(np.prod(graph.constants[name].dims)) == 1


def _left(graph: Graph, made: list[str], nodes: list[Any]) -> list[str]:
    """Those of ``made`` that others read too, or nobody."""
    taken = {node.name for node in nodes}
    found = []
    for name in made:
        users = graph.consumers.get(name, [])
        inside = bool(users) and all(user.name in taken for user in users)
        if not inside or name in graph.outputs or name in graph.captured:
            found.append(name)
    return found


def _options() -> Any:
    options = runtime().SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return options
