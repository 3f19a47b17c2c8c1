"""Which nodes of the typed ONNX model a node of an optimised graph stands for.

A runtime fuses nodes, renames them and changes the layout of tensors.  What it keeps is the name of a
node or of the tensor it makes, sometimes with a suffix; the nodes between two that are known so
belong to one of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from edgekit.core.layers import LayerTensor
from edgekit.onnxfile.graph import Graph, Node

LAYOUT = frozenset({"Transpose", "ReorderInput", "ReorderOutput"})
ROUNDING = frozenset({"QuantizeLinear", "DequantizeLinear"})
_CONVOLUTIONS = {"Conv": 1, "ConvTranspose": 1, "FusedConv": 1, "NhwcFusedConv": 1, "ConvInteger": 1, "QLinearConv": 3}
COMPUTE = frozenset(
    {
        *_CONVOLUTIONS,
        "Gemm",
        "MatMul",
        "MatMulInteger",
        "QLinearMatMul",
        "QGemm",
        "FusedGemm",
        "FusedMatMul",
        "MatMulIntegerToFloat",
        "Einsum",
        "LSTM",
        "GRU",
    }
)
# What a kernel applies to its result before it writes it.
_TAILS = frozenset({"Add", "BatchNormalization", "Clip", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mul"})
_TAILS |= {"PRelu", "QuantizeLinear", "Relu", "Sigmoid", "Softplus", "Tanh"}
# ONNX Runtime: blocked layout, and the counter that makes a name unique.
_SUFFIX = re.compile(r"(_nchwc|_token_\d+)+$")


@dataclass(frozen=True)
class Origin:
    """Source nodes of an engine node, the one that computes most first; empty: the runtime added it.

    ``weight`` is the filter of a convolution as the model has it.
    """

    nodes: tuple[str, ...] = ()
    module: str = ""
    weight: LayerTensor | None = None


def members(engine: Graph, source: Graph) -> tuple[tuple[int, ...], ...]:
    """Positions of the source nodes that each node of ``engine`` stands for, with those that only round, in order."""
    return tuple(tuple(sorted(group)) for group in _owned(engine, source))


def origins(engine: Graph, source: Graph | None) -> tuple[Origin, ...]:
    """The origin of every node of ``engine``, in its order; without a source, what the names alone say."""
    source = source or engine
    groups = _groups(engine, source)
    own = [next((source.nodes[at].module for at in group if source.nodes[at].module), "") for group in groups]
    modules = _with_neighbours(engine, own)
    found = []
    for node, group, module in zip(engine.nodes, groups, modules, strict=True):
        weight = next((w for w in (_weight(source, source.nodes[at]) for at in group) if w is not None), None)
        found.append(Origin(tuple(source.nodes[at].name for at in group), module, weight or _weight(engine, node)))
    return tuple(found)


def _groups(engine: Graph, source: Graph) -> list[list[int]]:
    return [_ordered(source, group) for group in _owned(engine, source)]


def _owned(engine: Graph, source: Graph) -> list[set[int]]:
    producers = source.producers()
    claims, open_ended = _claims(engine, source, producers)
    owner: dict[int, int] = {}
    for at, claimed in enumerate(claims):
        for node in claimed:
            owner.setdefault(node, at)
    _follow(source, producers, owner, open_ended)
    for at, claimed in enumerate(claims):
        _precede(source, producers, owner, at, list(claimed))
    groups = [set(claimed) for claimed in claims]
    for node, at in owner.items():
        groups[at].add(node)
    return groups


def _claims(engine: Graph, source: Graph, producers: dict[str, int]) -> tuple[list[set[int]], set[int]]:
    """Source nodes found by name, and the engine nodes whose result has no name in the source."""
    named = {node.name: at for at, node in enumerate(source.nodes) if node.name}
    claims, open_ended = [], set()
    for at, node in enumerate(engine.nodes):
        exact = {producers[tensor] for tensor in node.outputs if tensor in producers}
        known = next((found[key] for key in _stems(node.name) for found in (named, producers) if key in found), None)
        claimed = exact if known is None else exact | {known}
        if node.op in LAYOUT:  # it carries the name of a tensor that another node made
            claimed = {other for other in claimed if source.nodes[other].op == node.op}
        if not exact and node.op not in LAYOUT:
            open_ended.add(at)
        claims.append(claimed)
    return claims, open_ended


def _stems(name: str) -> Iterator[str]:
    """What a name may come from: without the layout's suffix, then without the parts that fusions add after a slash."""
    stem = _SUFFIX.sub("", name)
    while stem:
        yield stem
        stem = stem.rpartition("/")[0]


def _follow(source: Graph, producers: dict[str, int], owner: dict[int, int], open_ended: set[int]) -> None:
    """Give what is applied to a result to the node that makes the result; of two, to the later one."""
    for at, node in enumerate(source.nodes):
        if at in owner or node.op not in _TAILS:
            continue
        before = [producers[tensor] for tensor in node.inputs if producers.get(tensor) in owner]
        if before and owner[max(before)] in open_ended:
            owner[at] = owner[max(before)]


def _precede(source: Graph, producers: dict[str, int], owner: dict[int, int], at: int, pending: list[int]) -> None:
    """Give the nodes before ``pending`` that nobody owns to the engine node ``at``."""
    while pending:
        for tensor in source.nodes[pending.pop()].inputs:
            before = producers.get(tensor)
            if before is not None and before not in owner:
                owner[before] = at
                pending.append(before)


def _ordered(source: Graph, group: set[int]) -> list[int]:
    kept = [at for at in sorted(group) if source.nodes[at].op not in ROUNDING] or sorted(group)
    return sorted(kept, key=lambda at: source.nodes[at].op not in COMPUTE)


def _with_neighbours(engine: Graph, own: list[str]) -> list[str]:
    """Count rounding and layout to the module that made the tensor, or to the one that reads the model's input."""
    producers = engine.producers()
    extra = [node.op in LAYOUT | ROUNDING and not module for node, module in zip(engine.nodes, own, strict=True)]
    found: list[str | None] = [None if added else module for added, module in zip(extra, own, strict=True)]
    for at, node in enumerate(engine.nodes):
        makers = [producers[tensor] for tensor in node.inputs if tensor in producers]
        if found[at] is None and makers:
            found[at] = found[makers[0]]
    for at in reversed(range(len(engine.nodes))):
        module = found[at]
        for tensor in engine.nodes[at].inputs:
            maker = producers.get(tensor)
            if module is not None and maker is not None and found[maker] is None:
                found[maker] = module
    return [module or "" for module in found]


def _weight(graph: Graph, node: Node) -> LayerTensor | None:
    place = _CONVOLUTIONS.get(node.op)
    if place is None or len(node.inputs) <= place:
        return None
    name = node.inputs[place]
    if name not in graph.constants:  # rounded: DequantizeLinear of the stored integers
        name = next((n.inputs[0] for n in graph.nodes if name in n.outputs and n.op in ROUNDING), "")
    return graph.constants.get(name)
