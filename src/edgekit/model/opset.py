"""The lowest ONNX opset and IR version that hold a model, so that older runtimes take it.

An exporter writes the newest opset it knows, and a board's runtime may know an older one: ONNX Runtime 1.23, the last
for Python 3.10, ends at opset 23 and IR version 11.  Most new versions of an operator only take more types.  A node
that uses none of them means the same in the older opset, so only the number in the file changes, never a result.
https://onnx.ai/onnx/operators and docs/Versioning.md of github.com/onnx/onnx.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

LOWEST = 17
"""Never below: the first opset with LayerNormalization, and what the quantization works on."""

_KNOWN = 26
"""The newest opset whose changes were read; what comes later is left as it is."""
# Versions that mean something else with the same attributes and inputs, or whose attributes got new values.
_OTHER_MEANING = frozenset(
    {
        ("AveragePool", 19), ("GroupNormalization", 21), ("LpPool", 18), ("OptionalGetElement", 18),
        ("OptionalHasElement", 18), ("Pad", 19), ("Resize", 18), ("Resize", 19), ("ScatterElements", 18),
        ("ScatterND", 18), ("Split", 18),
    }
)  # fmt: skip
# With ceil_mode these give another size from opset 22 on.
_POOLS = frozenset({"AveragePool", "LpPool", "MaxPool"})
# The first IR version that has a type; a model may hold it without an operator of its opset.
_IR_OF_TYPE = {
    "FLOAT8E4M3FN": 9, "FLOAT8E4M3FNUZ": 9, "FLOAT8E5M2": 9, "FLOAT8E5M2FNUZ": 9, "UINT4": 10, "INT4": 10,
    "FLOAT4E2M1": 11, "FLOAT8E8M0": 12, "UINT2": 13, "INT2": 13,
}  # fmt: skip
_IR_OF_LOWEST, _IR_OF_DEVICES = 8, 11


def lowered(content: bytes) -> bytes:
    """The model with the lowest opset in which every node means what it did, and the IR version of that opset.

    Names, nodes and weights stay; attributes that an older operator lacks are dropped where they have their default.
    Opset imports that nothing uses are dropped too.  A model with functions, or below :data:`LOWEST`, keeps its opset.
    """
    import onnx

    model = onnx.load_from_string(content)
    used = {node.domain for graph in graphs(model.graph) for node in graph.node}
    used |= {node.domain for function in model.functions for node in function.node}
    for entry in [e for e in model.opset_import if e.domain not in ("", "ai.onnx") and e.domain not in used]:
        model.opset_import.remove(entry)
    main = next((entry for entry in model.opset_import if entry.domain in ("", "ai.onnx")), None)
    if main is not None and main.version > LOWEST and not model.functions:
        found = [
            (node, types) for graph, types in _typed(model) for node in graph.node if node.domain in ("", "ai.onnx")
        ]
        main.version = max([LOWEST, *(_needed(node, main.version, types) for node, types in found)])
        for node, _ in found:
            _drop_unknown(node, main.version)
    model.ir_version = min(model.ir_version, max(_IR_OF_LOWEST, _ir_version(model)))
    result: bytes = model.SerializeToString(deterministic=True)
    return result


def graphs(graph: Any) -> Iterator[Any]:
    """``graph`` and those inside its If, Loop and Scan nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from graphs(inner)


def _typed(model: Any) -> Iterator[tuple[Any, dict[str, str]]]:
    """Each graph with the types of the values that its nodes see, such as ``tensor(float)``."""
    from onnx import shape_inference

    try:
        inferred = shape_inference.infer_shapes(model)
    except shape_inference.InferenceError:  # a runtime may take it all the same; what it declares itself is known
        inferred = model
    outer: dict[str, str] = {}
    for graph, known in zip(graphs(model.graph), graphs(inferred.graph), strict=True):
        for tensor in known.initializer:
            outer[tensor.name] = _type_string(tensor.data_type)
        for value in (*known.input, *known.value_info, *known.output):
            if value.type.HasField("tensor_type"):
                outer[value.name] = _type_string(value.type.tensor_type.elem_type)
        yield graph, dict(outer)


def _type_string(number: int) -> str:
    import onnx

    return f"tensor({onnx.TensorProto.DataType.Name(number).lower()})"


def _needed(node: Any, opset: int, types: Mapping[str, str]) -> int:
    """The lowest opset in which ``node``, written for ``opset``, means the same."""
    from onnx import defs

    try:
        schema = defs.get_schema(node.op_type, opset, "")
        given = {attribute.name for attribute in node.attribute if not _is_default(attribute, schema)}
        while schema.since_version > LOWEST:
            older = defs.get_schema(node.op_type, schema.since_version - 1, "")
            if not _same(node, given, schema, older, types):
                break
            schema = older
    except defs.SchemaError:  # there is no older one, or onnx does not know the operator
        return opset if not defs.has(node.op_type) else schema.since_version
    return int(schema.since_version)


def _same(node: Any, given: set[str], newer: Any, older: Any, types: Mapping[str, str]) -> bool:
    """Whether ``node``, with the attributes ``given`` (the others have their default), means the same in both."""
    version = newer.since_version
    if (
        version > _KNOWN
        or (node.op_type, version) in _OTHER_MEANING
        or not set(older.attributes) <= set(newer.attributes)
    ):
        return False
    if not given <= set(older.attributes) or (node.op_type in _POOLS and version == 22 and "ceil_mode" in given):
        return False
    defaults = [(newer.attributes[n].default_value, a.default_value) for n, a in older.attributes.items()]
    if any(one != other for one, other in defaults):
        return False
    return _fits(node.input, older.inputs, types) and _fits(node.output, older.outputs, types)


def _is_default(attribute: Any, schema: Any) -> bool:
    from onnx import helper

    known = schema.attributes.get(attribute.name)
    if known is None or not known.default_value.name:
        return False
    return bool(helper.get_attribute_value(attribute) == helper.get_attribute_value(known.default_value))


def _fits(names: Any, formals: Any, types: Mapping[str, str]) -> bool:
    """Whether the values are of types that the operator takes; one whose type is unknown is not."""
    if not formals:
        return not names
    bound: dict[str, str] = {}
    for index, name in enumerate(names):
        if index >= len(formals) and formals[-1].option.name != "Variadic":
            return False
        formal = formals[min(index, len(formals) - 1)]
        if not name:
            continue
        found = types.get(name)
        if found is None or found not in formal.types:
            return False
        if formal.is_homogeneous and bound.setdefault(formal.type_str, found) != found:
            return False
    return True


def _drop_unknown(node: Any, opset: int) -> None:
    from onnx import defs

    if defs.has(node.op_type):
        known = defs.get_schema(node.op_type, opset, "").attributes
        for attribute in [each for each in node.attribute if each.name not in known]:
            node.attribute.remove(attribute)


def _ir_version(model: Any) -> int:
    """The IR version that came with the model's opsets, or has what it holds."""
    import onnx

    wanted = [int(onnx.helper.find_min_ir_version_for(model.opset_import, ignore_unknown=True))]
    for graph in graphs(model.graph):
        values = [v.type.tensor_type.elem_type for v in (*graph.input, *graph.value_info, *graph.output)]
        held = {onnx.TensorProto.DataType.Name(n) for n in (*values, *(t.data_type for t in graph.initializer))}
        wanted += [_IR_OF_TYPE.get(name, 0) for name in held]
        wanted += [_IR_OF_DEVICES for node in graph.node if node.device_configurations]
    return max(wanted)
