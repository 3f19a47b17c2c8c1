"""ONNX files as other tools write them: taken as ONNX Runtime runs them, or refused by operator with the way out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.core.errors import ModelError
from edgekit.core.spec import ModelConfig
from edgekit.model import onnxops
from edgekit.model.export import export
from edgekit.model.load import load_model

FEED = {"image": np.linspace(-1, 1, 192, dtype=np.float32).reshape(1, 3, 8, 8)}
FLOAT = TensorProto.FLOAT


def proto(*more: Any, size: Any = 1, opset: int = 17, outputs: tuple[str, ...] = ("out",), **extra: Any) -> Any:
    """Conv, Relu and what follows; every output has four dimensions."""
    weights = np.random.default_rng(0).standard_normal((4, 3, 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["c"], name="conv"),
        helper.make_node("Relu", ["c"], ["out"], name="relu"),
        *more,
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", FLOAT, [size, 3, 8, 8])],
        [helper.make_tensor_value_info(name, FLOAT, [size, 4, 8, 8]) for name in outputs],
        [numpy_helper.from_array(weights, "w"), *extra.pop("constants", [])],
    )
    imports = [helper.make_opsetid("", opset)] + [helper.make_opsetid(d, 1) for d in extra.pop("domains", ())]
    return helper.make_model(graph, opset_imports=imports, ir_version=8, **extra)


def loaded(folder: Path, model: Any, **keys: Any) -> Any:
    onnx.save(model, folder / "m.onnx")
    given = {"onnx": folder / "m.onnx", "inputs": {"image": {"shape": [1, 3, 8, 8]}}, "outputs": ("out",)}
    return load_model(ModelConfig(**{**given, **keys}))


def session(file: Path) -> Any:
    """Runs a file as it is written, as the model itself is run: a fused Conv and Relu rounds otherwise."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


# --- more outputs than named -------------------------------------------------------


def branching() -> Any:
    """An auxiliary head with weights of its own, and an If whose branch reads a tensor from outside."""
    inner = helper.make_graph(
        [helper.make_node("Add", ["scaled", "out"], ["then"])],
        "then",
        [],
        [helper.make_tensor_value_info("then", FLOAT, None)],
    )
    other = helper.make_graph(
        [helper.make_node("Identity", ["out"], ["else"])],
        "else",
        [],
        [helper.make_tensor_value_info("else", FLOAT, None)],
    )
    nodes = [
        helper.make_node("Mul", ["out", "two"], ["scaled"], name="scale"),
        helper.make_node("If", ["yes"], ["chosen"], name="if", then_branch=inner, else_branch=other),
        helper.make_node("Mul", ["c", "three"], ["aux"], name="aux"),
    ]
    constants = [numpy_helper.from_array(np.float32(v), n) for n, v in (("two", 2), ("three", 3))]
    constants.append(numpy_helper.from_array(np.array(True), "yes"))
    return proto(*nodes, outputs=("aux", "chosen", "out"), constants=constants)


@pytest.mark.parametrize(
    ("outputs", "nodes"),
    [
        (("out",), {"conv", "relu"}),
        (("chosen",), {"conv", "relu", "scale", "if"}),
        (("out", "aux"), {"conv", "relu", "aux"}),
        (("out", "chosen", "aux"), {"conv", "relu", "scale", "if", "aux"}),
    ],
)
def test_outputs_that_are_not_named_are_cut_off(tmp_path: Path, outputs: tuple[str, ...], nodes: set[str]) -> None:
    model = loaded(tmp_path, branching(), outputs=outputs)
    export(model, tmp_path / "given.onnx")
    given = onnx.load(tmp_path / "given.onnx")
    assert {value.name for value in given.graph.output} == set(outputs)
    assert {node.name for node in given.graph.node} == nodes
    for name, expected in model.run(FEED).items():
        np.testing.assert_array_equal(session(tmp_path / "given.onnx").run([name], FEED)[0], expected)
    whole = len(outputs) == 3
    assert ((tmp_path / "given.onnx").read_bytes() == (tmp_path / "m.onnx").read_bytes()) is whole


# --- sizes below zero ----------------------------------------------------------------


def negative_inside() -> Any:
    model = proto()
    model.graph.value_info.append(helper.make_tensor_value_info("c", FLOAT, [-1, 4, 8, 8]))
    return model


OPEN: dict[str, Callable[[], Any]] = {
    "-1": lambda: proto(size=-1),
    "a name": lambda: proto(size="batch"),
    "none": lambda: proto(size=None),
    "-1 inside only": negative_inside,
}


@pytest.mark.parametrize("kind", OPEN)
def test_open_sizes_get_those_of_the_spec(tmp_path: Path, kind: str) -> None:
    model = loaded(tmp_path, OPEN[kind]())
    export(model, tmp_path / "given.onnx")
    opened = session(tmp_path / "given.onnx")
    assert opened.get_inputs()[0].shape == [1, 3, 8, 8]
    assert opened.get_outputs()[0].shape == [1, 4, 8, 8]
    np.testing.assert_array_equal(opened.run(None, FEED)[0], model.run(FEED)["out"])
    given = onnx.load(tmp_path / "given.onnx").graph
    values = (*given.input, *given.output, *given.value_info)
    assert all(size.dim_value > 0 for value in values for size in value.type.tensor_type.shape.dim)


def test_an_input_without_a_shape(tmp_path: Path) -> None:
    model = proto()
    model.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(ModelError, match=r"the input 'image' has no shape; .* --override-input-shapes image:"):
        loaded(tmp_path, model)


# --- operators that nobody here has -----------------------------------------------------


def custom(operator: str, domain: str, **more: Any) -> Any:
    return proto(
        helper.make_node(operator, ["out"], ["last"], domain=domain, name="odd"),
        outputs=("last",),
        domains=[domain] if domain else [],
        **more,
    )


@pytest.mark.parametrize(
    ("operator", "domain", "message"),
    [
        (
            "EfficientNMS_TRT",
            "TRT",
            r"_TRT of the domain TRT \(node 'odd'\) is a TensorRT plugin.*raw heads",
        ),
        ("BatchedNMSDynamic_TRT", "", r"BatchedNMSDynamic_TRT \(node 'odd'\) is a TensorRT plugin.*raw heads"),
        (
            "DCNv2",
            "trt.plugins",
            r"DCNv2 of the domain trt\.plugins .* TensorRT plugin.* in its place",
        ),
        ("ATen", "org.pytorch.aten", r"is PyTorch's own.*dynamo=True"),
        ("ReverseMatrix", "ai.onnx.contrib", "onnxruntime-extensions"),
        ("NMSRotated", "mmdeploy", "of MMDeploy"),
        ("Swizzle", "acme", "operator Swizzle of the domain acme .* custom operator, which needs a library of its own"),
        ("Swizzle", "", "operator Swizzle .* is unknown to ONNX"),
        ("Gelu", "", r"operator Gelu .* is not in opset 17, .* came with opset 20: .* opset_version=20 or above"),
    ],
)
def test_an_operator_of_elsewhere(tmp_path: Path, operator: str, domain: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        loaded(tmp_path, custom(operator, domain), outputs=("last",))
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "m.onnx") in str(caught.value)


def test_an_operator_of_elsewhere_inside_a_branch(tmp_path: Path) -> None:
    model = branching()
    branch = model.graph.node[3].attribute[0].g
    branch.node[0].domain, branch.node[0].op_type = "acme", "Swizzle"
    with pytest.raises(ModelError, match="operator Swizzle of the domain acme"):
        loaded(tmp_path, model)


def test_functions_of_the_file_itself_and_of_the_runtime_are_known(tmp_path: Path) -> None:
    double = helper.make_function(
        "own", "Double", ["x"], ["y"], [helper.make_node("Add", ["x", "x"], ["y"])], [helper.make_opsetid("", 17)]
    )
    model = custom("Double", "own", functions=[double])
    single = loaded(tmp_path, proto()).run(FEED)["out"]
    np.testing.assert_allclose(loaded(tmp_path, model, outputs=("last",)).run(FEED)["last"], 2 * single)
    gelu = loaded(tmp_path, custom("Gelu", "com.microsoft"), outputs=("last",)).run(FEED)["last"]
    assert gelu.shape == (1, 4, 8, 8)
    with pytest.raises(ModelError, match=r"m\.onnx: ONNX Runtime .* does not take it: .*Swizzle"):
        loaded(tmp_path, custom("Swizzle", "com.microsoft"), outputs=("last",))


def test_versions_that_are_too_new(tmp_path: Path) -> None:
    newest = onnx.defs.onnx_opset_version()
    with pytest.raises(ModelError, match=rf"is of ONNX opset 99, .* knows {newest} at most; .*={newest} or below"):
        loaded(tmp_path, proto(opset=99))
    model = proto()
    model.ir_version = 99
    with pytest.raises(ModelError, match=rf"IR version 99, .* knows {onnx.IR_VERSION} at most"):
        loaded(tmp_path, model)


# --- values that are no tensors of NumPy's ------------------------------------------------


def test_an_input_that_is_no_tensor(tmp_path: Path) -> None:
    model = proto()
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, None))
    model.graph.input.append(helper.make_value_info("list", kind))
    with pytest.raises(ModelError, match=r"takes image: .*, list: no tensor \(sequence_type\)"):
        loaded(tmp_path, model)


def test_an_output_that_is_no_tensor(tmp_path: Path) -> None:
    model = proto(helper.make_node("SequenceConstruct", ["out"], ["list"], name="list"))
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, None))
    model.graph.output.append(helper.make_value_info("list", kind))
    with pytest.raises(ModelError, match=r"output 'list' is no tensor \(sequence_type\)"):
        loaded(tmp_path, model, outputs=("list",))
    assert list(loaded(tmp_path, model).run(FEED)) == ["out"]


# --- what a file computes in ----------------------------------------------------------------


def halves() -> Any:
    model = proto()
    weights = numpy_helper.to_array(model.graph.initializer[0]).astype(np.float16)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w"))
    return model


def rounded() -> Any:
    constants = [numpy_helper.from_array(np.float32(0.1), "s"), numpy_helper.from_array(np.uint8(0), "z")]
    nodes = [
        helper.make_node("QuantizeLinear", ["out", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
    ]
    return proto(*nodes, outputs=("d",), constants=constants)


@pytest.mark.parametrize(
    ("model", "expected"),
    [(proto(), "fp32"), (halves(), "fp16"), (rounded(), "int8"), (custom("MatMulNBits", "com.microsoft"), "int8")],
)
def test_precision_of_a_file(model: Any, expected: str) -> None:
    assert onnxops.precision(model) == expected


def test_a_pointer_of_git_lfs(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    with pytest.raises(ModelError, match="a Git LFS pointer, not the file itself"):
        load_model(ModelConfig(onnx=tmp_path / "m.onnx", inputs={"image": {"shape": [1, 3, 8, 8]}}, outputs=("out",)))
