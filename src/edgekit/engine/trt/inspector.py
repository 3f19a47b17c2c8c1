"""The precision that an engine really got, layer by layer, held against what its typed ONNX model asked for.

Reads the JSON of TensorRT's engine inspector, from the library or from ``trtexec --exportLayerInfo``
(https://docs.nvidia.com/deeplearning/tensorrt/latest/performance/best-practices.html).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from edgekit.core.errors import InputError
from edgekit.core.reports.achieved import BYTES, Achieved, LayerPrecision
from edgekit.engine._requested import requested
from edgekit.onnxfile.graph import Graph

# Widest first; an engine's word for a type, by what its text holds.
_TYPES = (
    ("int8", re.compile(r"\bint8\b", re.I)),
    ("fp8", re.compile(r"\bfp8\b|\bfloat8", re.I)),
    ("bf16", re.compile(r"\bbf16\b|\bbfloat16\b", re.I)),
    ("fp16", re.compile(r"\bfp16\b|\bhalf\b|\bfloat16\b", re.I)),
    ("fp32", re.compile(r"\bfp32\b|\bfloat\b|\bfloat32\b", re.I)),
)
_ONNX = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
_REFORMAT = re.compile(r"reformat", re.I)
_ROUNDING = re.compile(r"^(quantize|dequantize|scale)", re.I)
# Kernels that take 2:4 sparse weights: sm80_xmma_fprop_sparse_conv_..., ..._sptensor..., ..._avdt_sparse_int8int8_...
_SPARSE = re.compile(r"_sparse_|sptensor|_spgemm|_spconv", re.I)
_DLA = re.compile(r"\bdla\b", re.I)


def inspect(
    document: str | Mapping[str, Any], precision: str, source: Graph | None = None, dla: bool = False
) -> Achieved:
    """Compare an inspector's layer list with the request.

    Args:
        document: the inspector's JSON text, or what it parses to: ``{"Layers": [...]}``.
        precision: what the engine was asked for.
        source: the typed model; without it every compute layer is held against ``precision``.
        dla: the engine was built for a DLA.

    Raises:
        InputError: not such a document, or the list holds names only, because the engine was built without detailed
            profiling.
    """
    layers = _layers(document)
    wanted = {} if source is None else requested(source)
    read = tuple(_layer(layer, wanted, precision if source is None else "") for layer in layers)
    missed = tuple(layer.name for layer in read if layer.missed)
    fallbacks = tuple(layer.name for layer in read if dla and not layer.dla and not _REFORMAT.search(layer.kind))
    named = {node for layer in read for node in layer.nodes}
    unknown = sum(bool(layer.wanted) and not layer.achieved for layer in read) + len(wanted.keys() - named)
    subgraphs = sum(layer.dla for layer in read)
    fails = bool(missed) or (dla and subgraphs == 0)
    unfused = tuple(layer.name for layer in read if _ROUNDING.search(layer.kind) and not layer.wanted)
    reformats = sum(bool(_REFORMAT.search(layer.kind)) for layer in read)
    return Achieved(
        precision=precision,
        layers=read,
        missed=missed,
        unfused=unfused,
        reformats=reformats,
        dla_subgraphs=subgraphs,
        fallbacks=fallbacks,
        unknown=unknown,
        verdict="fail" if fails else "undecided" if unknown else "pass",
        numbers={
            "layers": float(len(read)),
            "missed_layers": float(len(missed)),
            "unfused_qdq": float(len(unfused)),
            "reformat_layers": float(reformats),
            "dla_subgraphs": float(subgraphs),
            "dla_fallbacks": float(len(fallbacks)),
            "sparse_layers": float(sum(bool(_SPARSE.search(str(layer.get("TacticName", "")))) for layer in layers)),
        },
    )


def _layers(document: str | Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    try:
        parsed = json.loads(document) if isinstance(document, str) else document
    except json.JSONDecodeError as error:
        raise InputError(f"not an engine inspector's document: {error}; build the engine again") from error
    layers = parsed.get("Layers") if isinstance(parsed, Mapping) else None
    if not isinstance(layers, list):
        raise InputError("not an engine inspector's document: expected a JSON object with the key Layers")
    if any(not isinstance(layer, Mapping) for layer in layers):
        raise InputError("the engine names its layers only; build it with detailed_profiling: true")
    return layers


def onnx_nodes(name: str, metadata: str) -> tuple[str, ...]:
    """The ONNX nodes that an engine layer was made of: the metadata separates them by control characters; without
    it the name joins them with " + "."""
    return tuple(_ONNX.findall(metadata)) or tuple(re.split(r" \+ | \|\| ", name))


def _layer(layer: Mapping[str, Any], wanted: Mapping[str, str], default: str) -> LayerPrecision:
    name, kind = str(layer.get("Name", "")), str(layer.get("LayerType", ""))
    nodes = onnx_nodes(name, str(layer.get("Metadata", "")))
    types = [wanted[node] for node in nodes if node in wanted]
    asked = max(types, key=BYTES.__getitem__) if types else ""
    if default in BYTES and _computes(layer, kind):
        asked = default
    return LayerPrecision(name, kind, _type(layer), asked, nodes, bool(_DLA.search(kind)))


def _computes(layer: Mapping[str, Any], kind: str) -> bool:
    return "Weights" in layer or bool(re.search(r"conv|gemm|matrixmultiply|matmul", kind, re.I))


def _type(layer: Mapping[str, Any]) -> str:
    """The type of the weights or, without them, of the first input: what the kernel multiplies."""
    weights = layer.get("Weights")
    texts = [str(weights["Type"])] if isinstance(weights, Mapping) and "Type" in weights else []
    texts += [str(tensor.get("Format/Datatype", tensor.get("Datatype", ""))) for tensor in layer.get("Inputs", ())[:1]]
    for text in texts:
        for name, pattern in _TYPES:
            if pattern.search(text):
                return name
    return ""
