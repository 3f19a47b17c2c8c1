"""The graph that really runs, as OpenVINO tells it after a model was compiled, and what it says of precision.

Keys: ``openvino/runtime/exec_model_info.hpp``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.core.errors import InputError
from edgekit.core.layers import LayerTensor
from edgekit.core.reports.achieved import BYTES, Achieved, LayerPrecision
from edgekit.engine._requested import COMPUTE, requested
from edgekit.onnxfile.graph import Graph

ROUNDING = frozenset({"QuantizeLinear", "DequantizeLinear"})
REORDER = "Reorder"
_PRECISIONS = {"f32": "fp32", "f16": "fp16", "bf16": "bf16", "u8": "int8", "i8": "int8"}
_DTYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "f64": "float64", "boolean": "bool"}
_DTYPES |= {
    f"{kind}{bits}": f"{name}{bits}" for kind, name in (("u", "uint"), ("i", "int")) for bits in (8, 16, 32, 64)
}


@dataclass(frozen=True)
class Layer:
    """A layer of a compiled model.

    Args:
        name: OpenVINO's, unique in the model.
        op: its operator, such as ``Convolution``.
        precision: what it computes in: ``f32``, ``bf16``, ``f16``, ``u8``, ``i8``, or another of OpenVINO's words.
        kernel: such as ``brgconv_avx2_f32``.
        sources: names that it was made from, as OpenVINO tells them.
        before: names of the layers that it reads.
        inputs: what it reads, weights too.
        outputs: what it gives.
    """

    name: str
    op: str
    precision: str
    kernel: str
    sources: tuple[str, ...]
    before: tuple[str, ...]
    inputs: tuple[LayerTensor, ...]
    outputs: tuple[LayerTensor, ...]


def layers_of(model: Any) -> tuple[Layer, ...]:
    """The layers of a compiled model but its constants, in the order in which they run."""
    return tuple(_layer(op) for op in model.get_runtime_model().get_ordered_ops() if _fact(op, "layerType") != "Const")


def document(layers: Sequence[Layer], version: str) -> str:
    """The layer list that is kept beside an engine."""
    told = [
        {"name": x.name, "op": x.op, "precision": x.precision, "kernel": x.kernel, "sources": list(x.sources)}
        for x in layers
    ]
    return json.dumps({"openvino": version, "layers": told}, indent=1)


def achieved(text: str, precision: str, source: Graph) -> Achieved:
    """What the layers of an engine compute in, against what its typed model asked for.

    Args:
        text: from :func:`document`.
        precision: of the engine.
        source: the typed model.

    Raises:
        InputError: not such a document.
    """
    wanted, sources = requested(source), Sources(source)
    read = [_precision(layer, wanted, sources) for layer in _told(text)]
    ops = {sources.name(at): node.op for at, node in enumerate(source.nodes)}
    missed = tuple(layer.name for layer in read if layer.missed)
    unfused = tuple(x.name for x in read if x.nodes and all(ops[node] in ROUNDING for node in x.nodes))
    reorders = sum(layer.kind == REORDER for layer in read)
    named = {node for layer in read for node in layer.nodes}
    unknown = sum(bool(layer.wanted) and not layer.achieved for layer in read) + len(wanted.keys() - named)
    return Achieved(
        precision=precision,
        layers=tuple(read),
        missed=missed,
        unfused=unfused,
        reformats=reorders,
        dla_subgraphs=0,
        fallbacks=(),
        unknown=unknown,
        verdict="fail" if missed else "undecided" if unknown else "pass",
        numbers={
            "layers": float(len(read)),
            "missed_layers": float(len(missed)),
            "unfused_qdq": float(len(unfused)),
            "reformat_layers": float(reorders),
        },
    )


class Sources:
    """Finds the nodes of a typed model that a layer was made from."""

    def __init__(self, source: Graph) -> None:
        self._at = source.producers()
        self._at |= {node.name: at for at, node in enumerate(source.nodes) if node.name}
        self._nodes = source.nodes

    def of(self, names: Sequence[str]) -> tuple[int, ...]:
        """Positions of the nodes, the one that computes most first; those that only round, where there are no others.

        Args:
            names: what OpenVINO tells: of nodes, or of the tensors that they make, with what transformations put
                behind them.
        """
        found = dict.fromkeys(at for name in names for at in self._find(name))
        kept = sorted(at for at in found if self._nodes[at].op not in ROUNDING) or sorted(found)
        return tuple(sorted(kept, key=lambda at: self._nodes[at].op not in COMPUTE))

    def name(self, at: int) -> str:
        """The node's name, or that of its first result."""
        return self._nodes[at].name or self._nodes[at].outputs[0]

    def _find(self, name: str) -> Iterator[int]:
        for stem in _stems(name):
            if stem in self._at:
                yield self._at[stem]
                return


def _stems(name: str) -> Iterator[str]:
    while name:
        yield name
        yield name.removesuffix("_original")
        name = name.rpartition("/")[0]


def _precision(told: Mapping[str, Any], wanted: Mapping[str, str], sources: Sources) -> LayerPrecision:
    nodes = tuple(sources.name(at) for at in sources.of(told["sources"]))
    types = [wanted[node] for node in nodes if node in wanted]
    asked = max(types, key=BYTES.__getitem__) if types else ""
    return LayerPrecision(told["name"], told["op"], _PRECISIONS.get(told["precision"], ""), asked, nodes)


def _told(text: str) -> list[Mapping[str, Any]]:
    try:
        layers: list[Mapping[str, Any]] = json.loads(text)["layers"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError("not a layer list of OpenVINO; build the engine again") from error
    return layers


def _layer(op: Any) -> Layer:
    return Layer(
        name=op.get_friendly_name(),
        op=_fact(op, "layerType"),
        precision=_fact(op, "runtimePrecision"),
        kernel=_fact(op, "primitiveType"),
        sources=tuple(filter(None, map(str.strip, _fact(op, "originalLayersNames").split(",")))),
        before=tuple(port.get_source_output().get_node().get_friendly_name() for port in op.inputs()),
        inputs=tuple(_tensor(port) for port in op.inputs()),
        outputs=tuple(_tensor(port) for port in op.outputs()),
    )


def _fact(op: Any, key: str) -> str:
    value = op.get_rt_info()[key]
    return str(value.astype(str) if hasattr(value, "astype") else value)


def _tensor(port: Any) -> LayerTensor:
    word = port.get_element_type().get_type_name()
    sizes = [size.get_length() if size.is_static else 0 for size in port.get_partial_shape()]
    return LayerTensor(_DTYPES.get(word, word), tuple(sizes))
