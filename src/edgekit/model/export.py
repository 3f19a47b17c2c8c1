"""FP32 ONNX from a loaded model, and the golden inputs and outputs that every later stage is compared with.

The exporter is ``torch.onnx.export(dynamo=True)``: torch.export traces the model once, with
the fixed shapes of the spec. https://docs.pytorch.org/docs/stable/onnx_export.html
"""

from __future__ import annotations

import ast
import copy
import importlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.core.artifacts import write_bytes
from edgekit.core.errors import EdgekitError, MissingRequirement, ModelError
from edgekit.core.golden import FP32, Golden
from edgekit.core.tensors import Array, Arrays, TensorSpec
from edgekit.model import onnxsource, stem, usercode
from edgekit.model.denormals import Denormals, without_denormals
from edgekit.model.opset import graphs
from edgekit.onnxfile.graph import MODULE_KEY

if TYPE_CHECKING:
    from torch import nn

    from edgekit.model.load import LoadedModel

_WRAPPER = "network"  # the attribute of the loaded module that holds the user's network
_MAX_BYTES = 2**31 - 1  # of one protobuf message
_INSTALL = 'pip install "edgekit[compress]"'


def export(model: LoadedModel, path: Path, opset: int = 20) -> Denormals:
    """Write ``model`` as one ONNX file with fixed shapes, the names of the spec, and every shape inferred.

    The same model gives the same bytes: no paths, no stack traces.  Initializers
    keep the names of the state_dict, nodes carry their module under :data:`MODULE_KEY`.
    A model that is an ONNX file is given on as it is (``opset`` then has no effect).
    Denormal weights are zero in either, and counted: :mod:`edgekit.model.denormals`.

    Raises :class:`ModelError` that names the operator and the line of the user's code
    when the model cannot be exported, or changes its output from run to run.
    """
    if model.module is None:
        assert model.onnx is not None
        return _write(path, onnxsource.content(model.onnx, model.inputs, model.outputs))
    both = [spec.name for spec in model.inputs if spec.name in model.outputs]
    if both:
        raise ModelError(f"model.inputs and model.outputs share the name {both[0]!r}; ONNX needs distinct names")
    for package in ("torch", "onnx", "onnxscript"):
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            if error.name != package:
                raise
            raise MissingRequirement(f"the package {package}", _INSTALL) from error
    with usercode.translated("the network's state_dict() fails"):
        size = sum(t.numel() * t.element_size() for t in model.module.state_dict().values() if hasattr(t, "numel"))
    if size > _MAX_BYTES:
        raise ModelError(f"the weights take {size / 2**20:.0f} MiB; one ONNX file holds at most 2048 MiB")
    _check_repeatable(model)
    return _write(path, _finish(_convert(model, model.module, opset), model))


def _write(path: Path, content: bytes) -> Denormals:
    content, found = without_denormals(stem.merged(content))
    write_bytes(path, content)
    return found


def golden(model: LoadedModel, feeds: Sequence[Arrays]) -> Golden:
    """Inputs and outputs of the model as it was loaded.

    Contiguous arrays; every floating-point output is float32, inputs and other outputs keep their dtype.
    Raises :class:`ModelError` when there is nothing to run, or an output has NaN or Inf.
    """
    if not feeds:
        raise ModelError("golden outputs need at least one set of inputs; found none")
    inputs = [{spec.name: np.array(feed[spec.name], order="C") for spec in model.inputs} for feed in feeds]
    outputs: list[dict[str, Array]] = []
    for index, feed in enumerate(feeds):
        outputs.append({})
        for name, value in model.run(feed).items():
            if not np.isfinite(value).all():
                count = int((~np.isfinite(value)).sum())
                raise ModelError(
                    f"output {name!r} has {count} NaN or Inf of {value.size} values on golden input {index}; "
                    "check the preprocessing and the weights"
                )
            wide = value.astype(np.float32) if np.issubdtype(value.dtype, np.floating) else value
            outputs[-1][name] = np.ascontiguousarray(wide).reshape(value.shape)
    return Golden(tuple(inputs)).with_reference(FP32, outputs)


def _check_repeatable(model: LoadedModel) -> None:
    """A trace freezes Python state and randomness at their value of that moment: refuse what depends on them."""
    rng = np.random.default_rng(0)
    feed = {
        spec.name: (
            rng.random(_sizes(spec), np.float32).astype(spec.dtype)
            if np.issubdtype(spec.dtype, np.floating)
            else np.zeros(_sizes(spec), spec.dtype)  # indices may have any limit; 0 is always one
        )
        for spec in model.inputs
    }
    first, second = model.run(feed), model.run(feed)
    for name, value in first.items():
        other = second[name]
        scale = float(np.abs(value[np.isfinite(value)]).max(initial=0.0)) if value.dtype.kind == "f" else 0.0
        if value.shape != other.shape or not np.allclose(value, other, 1e-3, 1e-3 * scale, equal_nan=True):
            raise ModelError(
                f"output {name!r} differs between two runs on the same input: forward keeps state between calls "
                "or draws random numbers, which an exported model cannot; make it depend on its inputs only"
            )


def _sizes(spec: TensorSpec) -> tuple[int, ...]:
    return tuple(size or 1 for size in spec.shape)


def _convert(model: LoadedModel, module: nn.Module, opset: int) -> Any:
    import torch

    arguments = tuple(torch.zeros(_sizes(s), dtype=getattr(torch, s.dtype)) for s in model.inputs)
    try:
        with usercode.quiet(), torch.no_grad():
            program = torch.export.export(twin(module), arguments, strict=False)
    except EdgekitError:
        raise
    except Exception as error:  # the user's forward runs inside, on tensors without values: anything may come out
        raise ModelError(f"cannot export the model: {_tracing_problem(error)}") from error
    try:
        with usercode.quiet(), torch.no_grad():
            converted = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=opset,
                external_data=False,
                # _rename() gives the real names: the exporter itself lets them clash with those of its own values.
                input_names=[f"edgekit.input.{index}" for index, _ in enumerate(model.inputs)],
                output_names=[f"edgekit.output.{index}" for index, _ in enumerate(model.outputs)],
                verbose=False,
            )
    except Exception as error:  # the exporter wraps the errors of its many converters in more than one class
        raise ModelError(f"cannot export the model: {_conversion_problem(error)}") from error
    assert converted is not None
    assert converted.exported_program is not None
    for entry in converted.exported_program.graph_signature.output_specs:
        if entry.kind == torch.export.graph_signature.OutputKind.BUFFER_MUTATION:
            raise ModelError(
                f"cannot export the model: forward changes its buffer {_unwrapped(str(entry.target))!r}, and an "
                "exported model keeps no state between calls; make it depend on its inputs only"
            )
    return converted.model_proto


def twin(module: nn.Module) -> nn.Module:
    """The same weights in a copied object: tracing leaves fake tensors in what a forward caches (grids, masks)."""
    weights = [*module.parameters(), *module.buffers()]
    try:
        return copy.deepcopy(module, {id(tensor): tensor for tensor in weights})
    except Exception:  # noqa: BLE001 - it holds what cannot be copied, such as a lock, or refuses: trace it itself
        return module


def _tracing_problem(error: Exception) -> str:
    from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

    where = usercode.blame(error)
    if isinstance(error, GuardOnDataDependentSymNode):
        return (
            f"{where}Python needs the value of a tensor here (an if, int(), .item() or a size), and a trace has none; "
            "use torch.where or other tensor operations"
        )
    return f"{where}{usercode.describe(error)}; torch.export cannot trace this"


def _conversion_problem(error: BaseException) -> str:
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    operator = next((found[1] for e in chain if (found := re.search(r"OpOverload\(op='([\w.]+)'", str(e)))), None)
    node = next((node for e in chain if (node := _failing_node(e)) is not None), None)
    where = usercode.blame_stack(str(getattr(node, "stack_trace", None) or ""))
    operator = operator or (str(node.target) if node is not None else None)
    if operator is None:
        return usercode.describe(chain[-1])
    reason = "has no ONNX counterpart" if "DispatchError" in str(error) else f"failed: {usercode.describe(chain[-1])}"
    return f"{where}the operator {operator} {reason}; replace it with operations that ONNX has"


def _failing_node(error: BaseException) -> Any:
    # The exporter's errors name the node but not its source line, which only the node itself knows.
    from torch import fx

    trace, found = error.__traceback__, None
    while trace is not None:
        node = trace.tb_frame.f_locals.get("node")
        found = node if isinstance(node, fx.Node) else found
        trace = trace.tb_next
    return found


def _finish(proto: Any, model: LoadedModel) -> bytes:
    import onnx

    _rename(proto, model)
    for graph in (*graphs(proto.graph), *proto.functions):
        for item in (graph, *graph.value_info):
            del item.metadata_props[:]
            item.doc_string = ""
        for node in graph.node:
            module = _module_of(node)
            del node.metadata_props[:]
            node.doc_string = ""
            if module:
                node.metadata_props.add(key=MODULE_KEY, value=module)
    for graph in graphs(proto.graph):
        for item in (*graph.input, *graph.output, *graph.initializer):
            del item.metadata_props[:]
            item.doc_string = ""
    del proto.metadata_props[:]
    proto.doc_string = ""
    try:
        proto = onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
        onnx.checker.check_model(proto, full_check=True)
    except Exception as error:  # shape inference and the checker share no error class
        raise ModelError(f"the exported ONNX model is not valid: {usercode.describe(error)}") from error
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def _rename(proto: Any, model: LoadedModel) -> None:
    """Give inputs and outputs the names of the spec, and initializers those of the user's own state_dict.

    Whatever else the exporter gave one of these names gets another one.
    """
    inputs = {value.name: spec.name for value, spec in zip(proto.graph.input, model.inputs, strict=True)}
    outputs = {value.name: name for value, name in zip(proto.graph.output, model.outputs, strict=True)}
    new = {**inputs, **outputs}
    taken = set(new.values())
    weights = [tensor.name for tensor in proto.graph.initializer if tensor.name not in new]
    inner = [name for graph in graphs(proto.graph) for node in graph.node for name in node.output if name]
    for name in (*weights, *(name for name in inner if name not in new)):
        wanted = plain = _unwrapped(name)
        count = 0
        while wanted in taken:
            count += 1
            wanted = f"{plain}_{count}"
        new[name] = wanted
        taken.add(wanted)
    for graph in graphs(proto.graph):
        for named in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
            named.name = new.get(named.name, named.name)
        for node in graph.node:
            node.input[:] = [new.get(name, name) for name in node.input]
            node.output[:] = [new.get(name, name) for name in node.output]


def _module_of(node: Any) -> str:
    # A weight names its module best: after BatchNorm is folded, a Conv's scope is that of the BatchNorm.
    for name in node.input[1:]:
        owner, _, leaf = name.rpartition(".")
        if leaf == "weight" and owner:
            return str(owner)
    scopes = next((p.value for p in node.metadata_props if p.key == "pkg.torch.onnx.name_scopes"), "[]")
    path = ast.literal_eval(scopes)[:-1]  # the last scope is the operator itself
    return _unwrapped(path[-1]) if path and path[-1] != _WRAPPER else ""


def _unwrapped(name: str) -> str:
    return name.removeprefix(f"{_WRAPPER}.")
