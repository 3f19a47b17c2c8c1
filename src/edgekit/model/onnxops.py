"""Operators of an ONNX file: those that no runtime here has, named with the way out, and what they compute in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

_STANDARD = frozenset({"", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training"})
# ONNX Runtime's own domains: whether it has the operator, only it can say.
_RUNTIME = frozenset({"com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc"})
_INTEGER = frozenset(
    {
        "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "QLinearConv",
        "QLinearMatMul", "QLinearAdd", "QLinearMul", "QGemm", "QAttention", "QEmbedLayerNormalization",
        "DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "MatMulIntegerToFloat", "MatMulNBits", "MatMulBnb4",
    }
)  # fmt: skip
_LISTED = 4


def graphs(graph: Any) -> Iterator[Any]:
    """``graph`` and those inside its If, Loop and Scan nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from graphs(inner)


def nodes(model: Any) -> Iterator[Any]:
    """Every node: of the graph, of those inside it, and of the file's own functions."""
    for graph in (model.graph, *model.functions):
        for inner in graphs(graph):
            yield from inner.node


def foreign(model: Any) -> str:
    """The operators that neither ONNX nor ONNX Runtime has, each kind once, with the way out; ``""``: none."""
    functions = {(function.domain, function.name) for function in model.functions}
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    found: dict[tuple[str, str], str] = {}
    for node in nodes(model):
        kind = (node.domain, node.op_type)
        if kind not in found and kind not in functions and (problem := _problem(node, opsets)):
            found[kind] = f"operator {node.op_type}{_place(node)} {problem}"
    listed = "; ".join(list(found.values())[:_LISTED])
    return listed + (f"; and {len(found) - _LISTED} further kinds" if len(found) > _LISTED else "")


def precision_of(path: Path) -> str:
    """What an ONNX file computes in, see :func:`precision`; its weights may lie outside."""
    import onnx

    return precision(onnx.load(str(path), load_external_data=False))


def precision(model: Any) -> str:
    """What the model computes in: ``int8`` when it is quantized, else ``fp16``, ``bf16`` or ``fp32`` by its weights."""
    import onnx

    if any(is_integer(node.op_type) for node in nodes(model)):
        return "int8"
    sizes: dict[int, int] = {}
    for graph in graphs(model.graph):
        constants = [
            a.t for node in graph.node if node.op_type == "Constant" for a in node.attribute if a.HasField("t")
        ]
        for tensor in (*graph.initializer, *constants):
            sizes[tensor.data_type] = sizes.get(tensor.data_type, 0) + _elements(tensor)
    kinds = {onnx.TensorProto.FLOAT: "fp32", onnx.TensorProto.FLOAT16: "fp16", onnx.TensorProto.BFLOAT16: "bf16"}
    return kinds[max(kinds, key=lambda kind: sizes.get(kind, 0))]


def is_integer(operator: str) -> bool:
    """Whether an operator is found in quantized models only."""
    return operator in _INTEGER or operator.startswith("QLinear")


def _elements(tensor: Any) -> int:
    count = 1
    for size in tensor.dims:
        count *= size
    return count


def _place(node: Any) -> str:
    domain = f" of the domain {node.domain}" if node.domain else ""
    return f"{domain} (node {node.name!r})" if node.name else domain


def _problem(node: Any, opsets: dict[str, int]) -> str:
    import onnx

    if node.domain in _RUNTIME:
        return ""
    if node.domain in _STANDARD:
        domain = "" if node.domain == "ai.onnx" else node.domain
        version = opsets.get(domain, opsets.get("ai.onnx", 1) if domain == "" else 1)
        if _known(node.op_type, domain, version):
            return ""
        if onnx.defs.has(node.op_type, domain):
            first = min(s.since_version for s in onnx.defs.get_all_schemas_with_history() if s.name == node.op_type)
            return (
                f"is not in opset {version}, which the file imports; it came with opset {first}: export the file again "
                f"with opset_version={first} or above"
            )
    return _way_out(node)


def _known(operator: str, domain: str, version: int) -> bool:
    import onnx

    try:
        onnx.defs.get_schema(operator, version, domain)
    except onnx.defs.SchemaError:
        return False
    return True


def _way_out(node: Any) -> str:
    operator, domain = node.op_type.lower(), node.domain.lower()
    if operator.endswith("_trt") or domain.startswith(("trt", "tensorrt", "nvidia", "com.nvidia")):
        what = "is a TensorRT plugin, which only TensorRT with that plugin runs"
        if "nms" in operator:
            return f"{what}; export the network without it: the task decodes raw heads and removes duplicates itself"
        return f"{what}; export the network without it, or with operators of ONNX in its place"
    if "aten" in (operator, domain) or domain.startswith("org.pytorch"):
        return (
            "is PyTorch's own, left by the exporter; export again with torch.onnx.export(dynamo=True), or use factory:"
        )
    if domain == "ai.onnx.contrib":
        return "is of onnxruntime-extensions; export the network without its pre- and postprocessing"
    if domain in {"mmdeploy", "mmcv"}:
        return "is of MMDeploy; export with its backend onnxruntime, or without this operator"
    if domain in _STANDARD:
        return "is unknown to ONNX; export the network with operators of ONNX in its place"
    return "is a custom operator, which needs a library of its own; export the network with operators of ONNX instead"
