"""The exported ONNX computes what the model computes, is reproducible, and failures name operator and line."""

from __future__ import annotations

import logging
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from edgekit.core.errors import ModelError, OutputError
from edgekit.core.spec import ModelConfig
from edgekit.model import export as export_module
from edgekit.model.export import export, golden
from edgekit.model.load import LoadedModel, load_model
from edgekit.onnxfile.graph import MODULE_KEY

IMAGE = {"image": {"shape": [1, 3, 8, 8]}}
NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.bn.running_mean += 0.5
        self.head = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU())
        self.fc = nn.Linear(4, 2)
        self.seen = []
        self.register_buffer("count", torch.zeros(1))

    def forward(self, image):
%s


def build():
    torch.manual_seed(0)
    return Net()
"""


def load(folder: Path, body: str, outputs: tuple[str, ...] = ("out",), inputs: Any = IMAGE) -> LoadedModel:
    (folder / "model.py").write_text(NET % textwrap.indent(textwrap.dedent(body), " " * 8))
    return load_model(ModelConfig(factory="model.py:build", inputs=inputs, outputs=outputs, base=folder))


def feed_of(model: LoadedModel) -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(1)
    return {spec.name: (rng.random(spec.shape) * 9).astype(spec.dtype) for spec in model.inputs}


def run_onnx(path: Path, feed: Any) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return dict(zip([value.name for value in session.get_outputs()], session.run(None, feed), strict=True))


PLAIN = "return self.fc(self.head(self.bn(self.conv(image))).mean((2, 3)))"
WORKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "convolutions": (PLAIN, ("out",)),
    "several outputs": ("x = self.conv(image)\nreturn {'seg': x, 'aux': [x * 2, x.argmax(1)]}", ("aux.1", "seg")),
    "names of the exporter's own values": ("x = self.head(self.conv(image))\nreturn x - 1, x", ("relu", "conv2d")),
    "the name of a weight": ("return self.conv(image) * 2", ("conv.weight",)),
    "one tensor twice": ("x = self.conv(image)\nreturn x, x", ("a", "b")),
    "an input as output": ("return image, image.flatten()", ("a", "b")),
    "constants": ("return image + 1, torch.arange(5), self.count", ("a", "b", "c")),
    "changes its input in place": ("image -= 1\nreturn self.conv(image), image", ("a", "b")),
    "caches a grid": (
        "if not self.seen:\n    self.seen.append(torch.arange(8.0))\nreturn self.conv(image) + self.seen[0]",
        ("out",),
    ),
    "keeps its last tensor": ("self.last = self.conv(image)\nreturn self.last", ("out",)),
    "torch.cond": (
        "return torch.cond(image.mean() > 2, lambda x: self.conv(x), lambda x: self.conv(x) * 9, (image,))",
        ("out",),
    ),
}


@pytest.mark.parametrize("name", WORKS)
def test_onnx_computes_what_the_model_computes(tmp_path: Path, name: str) -> None:
    body, outputs = WORKS[name]
    model = load(tmp_path, body, outputs)
    feed = feed_of(model)
    before = model.run(feed)
    export(model, tmp_path / "out" / "m.onnx")
    found = run_onnx(tmp_path / "out" / "m.onnx", feed)
    assert tuple(found) == outputs
    for key, value in model.run(feed).items():
        np.testing.assert_array_equal(value, before[key], err_msg="export changed the model")
        assert found[key].dtype == value.dtype
        np.testing.assert_allclose(found[key], value, rtol=1e-4, atol=1e-4)


def test_several_inputs_of_several_dtypes(tmp_path: Path) -> None:
    inputs = {"image": {"shape": [1, 3, 8, 8], "dtype": "uint8"}, "unused": {"shape": [2], "dtype": "int64"}}
    (tmp_path / "net.py").write_text(
        textwrap.dedent("""
        import torch
        class Net(torch.nn.Module):
            def forward(self, unused, image):
                return image.float() / 2
    """)
    )
    config = ModelConfig(factory="net.py:Net", inputs=inputs, outputs=("out",), base=tmp_path)
    model = load_model(config)
    export(model, tmp_path / "m.onnx")
    feed = feed_of(model)
    assert feed["image"].any()
    np.testing.assert_array_equal(run_onnx(tmp_path / "m.onnx", feed)["out"], feed["image"].astype(np.float32) / 2)
    proto = onnx.load(tmp_path / "m.onnx")
    assert [value.name for value in proto.graph.input] == ["image", "unused"]


def test_the_file_is_reproducible_and_knows_no_paths(tmp_path: Path) -> None:
    files = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        export(load(tmp_path / name, PLAIN), tmp_path / f"{name}.onnx")
        files.append((tmp_path / f"{name}.onnx").read_bytes())
    assert files[0] == files[1]
    for word in (b"model.py", b"/tmp", b"site-packages", b"0x", b"stack_trace", b"network"):
        assert word not in files[0]


def test_the_file_is_complete(tmp_path: Path) -> None:
    model = load(tmp_path, PLAIN)
    export(model, tmp_path / "m.onnx", opset=19)
    proto = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(proto, full_check=True)
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 19)]
    known = {value.name: value for value in (*proto.graph.value_info, *proto.graph.output)}
    for node in proto.graph.node:
        for name in node.output:
            assert all(size.dim_value > 0 for size in known[name].type.tensor_type.shape.dim), name
    assert [size.dim_value for size in proto.graph.input[0].type.tensor_type.shape.dim] == [1, 3, 8, 8]
    weights = {tensor.name for tensor in proto.graph.initializer}
    assert {"conv.weight", "conv.bias", "head.0.weight", "fc.weight", "fc.bias"} <= weights


def test_nodes_name_their_module(tmp_path: Path) -> None:
    export(load(tmp_path, PLAIN), tmp_path / "m.onnx")
    nodes = onnx.load(tmp_path / "m.onnx").graph.node
    modules = [(n.op_type, [p.value for p in n.metadata_props if p.key == MODULE_KEY]) for n in nodes]
    expected = [("Conv", ["conv"]), ("Conv", ["head.0"]), ("Relu", ["head.1"]), ("ReduceMean", []), ("Gemm", ["fc"])]
    assert modules == expected


def test_export_is_quiet(tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder) -> None:
    export(load(tmp_path, PLAIN), tmp_path / "m.onnx")
    with pytest.raises(ModelError):
        export(load(tmp_path, "return image if image.sum() > 0 else -image"), tmp_path / "m.onnx")
    assert capfd.readouterr() == ("", "")
    assert not [warning for warning in recwarn if "torch" in str(warning.filename)]
    assert logging.root.manager.disable == logging.NOTSET


FAILS = {
    "if on a tensor": (
        "x = self.conv(image)\nif x.sum() > 0:\n    return x\nreturn -x",
        "if x.sum() > 0:",
        "Python needs the value of a tensor here",
    ),
    "item as a size": (
        "n = int(image.max().item())\nreturn image[:, : n + 1]",
        "n = int(image.max().item())",
        "Python needs the value of a tensor here (an if, int(), .item() or a size)",
    ),
    "no ONNX counterpart": (
        "x = self.conv(image)\nreturn torch.linalg.eigvals(x).real",
        "return torch.linalg.eigvals(x).real",
        "the operator aten.linalg_eig has no ONNX counterpart",
    ),
    "a special function": (
        "x = self.conv(image)\nx = torch.special.bessel_j0(x)\nreturn x",
        "x = torch.special.bessel_j0(x)",
        "the operator prims.bessel_j0 has no ONNX counterpart",
    ),
    "NumPy": (
        "x = image.numpy() * 2\nreturn torch.from_numpy(x)",
        "x = image.numpy() * 2",
        "RuntimeError: .numpy() is not supported for tensor subclasses",
    ),
}


@pytest.mark.parametrize("name", FAILS)
def test_a_model_that_cannot_be_exported(tmp_path: Path, name: str) -> None:
    body, code, problem = FAILS[name]
    model = load(tmp_path, body)
    source = (tmp_path / "model.py").read_text().splitlines()
    (line,) = [number for number, text in enumerate(source, 1) if text.strip() == code]
    with pytest.raises(ModelError) as caught:
        export(model, tmp_path / "m.onnx")
    message = str(caught.value)
    assert message.startswith(f"cannot export the model: {tmp_path}/model.py:{line} ({code}): {problem}")
    assert "\n" not in message
    assert caught.value.__cause__ is not None
    assert not (tmp_path / "m.onnx").exists()


STATEFUL = {
    "counts its calls": "self.seen.append(1)\nreturn self.conv(image) * len(self.seen)",
    "random": "return image + torch.rand(1)",
    "dropout that ignores eval": "return nn.functional.dropout(image)",
}


@pytest.mark.parametrize("name", STATEFUL)
def test_a_model_that_depends_on_more_than_its_inputs(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match="output 'out' differs between two runs on the same input"):
        export(load(tmp_path, STATEFUL[name]), tmp_path / "m.onnx")


def test_a_model_that_changes_a_buffer(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="forward changes its buffer 'count'"):
        export(load(tmp_path, "self.count += 1\nreturn self.conv(image)"), tmp_path / "m.onnx")


def test_a_name_for_an_input_and_an_output(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="share the name 'image'"):
        export(load(tmp_path, PLAIN, ("image",)), tmp_path / "m.onnx")


def test_too_large_for_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_module, "_MAX_BYTES", 100)
    with pytest.raises(ModelError, match="the weights take 0 MiB; one ONNX file holds at most 2048 MiB"):
        export(load(tmp_path, PLAIN), tmp_path / "m.onnx")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        export(load(tmp_path, PLAIN), tmp_path / "file" / "m.onnx")


# --- an ONNX file as the source ----------------------------------------------------


def onnx_source(folder: Path, batch: int | str, external: bool = False) -> LoadedModel:
    weight = helper.make_tensor("w", TensorProto.FLOAT, [300], np.arange(300, dtype=np.float32).tobytes(), raw=True)
    nodes = [helper.make_node("Mul", ["x", "w"], ["m"]), helper.make_node("Neg", ["m"], ["y"])]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 300]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], [weight])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(proto, folder / "s.onnx", save_as_external_data=external, location="s.data")
    inputs = {"x": {"shape": [2, 300]}}
    return load_model(ModelConfig(onnx=folder / "s.onnx", inputs=inputs, outputs=("y",), base=folder))


def test_an_onnx_source_with_fixed_shapes_is_copied(tmp_path: Path) -> None:
    export(onnx_source(tmp_path, 2), tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").read_bytes() == (tmp_path / "s.onnx").read_bytes()


@pytest.mark.parametrize(("batch", "external"), [("n", False), (2, True), ("n", True)])
def test_an_onnx_source_becomes_one_file_with_fixed_shapes(tmp_path: Path, batch: int | str, external: bool) -> None:
    model = onnx_source(tmp_path, batch, external)
    assert (tmp_path / "s.data").exists() == external
    (tmp_path / "out").mkdir()
    export(model, tmp_path / "out" / "m.onnx")
    proto = onnx.load(tmp_path / "out" / "m.onnx")
    values = (*proto.graph.input, *proto.graph.output)
    shapes = {value.name: [size.dim_value for size in value.type.tensor_type.shape.dim] for value in values}
    assert shapes == {"x": [2, 300], "y": [2, 300]}
    feed = feed_of(model)
    np.testing.assert_array_equal(
        run_onnx(tmp_path / "out" / "m.onnx", feed)["y"], -feed["x"] * np.arange(300, dtype=np.float32)
    )


def test_an_onnx_source_that_needs_other_sizes(tmp_path: Path) -> None:
    model = onnx_source(tmp_path, "n")
    proto = onnx.load(tmp_path / "s.onnx")
    proto.graph.initializer[0].CopyFrom(helper.make_tensor("w", TensorProto.FLOAT, [3, 300], [0.0] * 900))
    onnx.save(proto, tmp_path / "s.onnx")
    with pytest.raises(ModelError, match=r"does not work with x: float32\[2, 300\]"):
        export(model, tmp_path / "m.onnx")


# --- golden ------------------------------------------------------------------------


def test_golden(tmp_path: Path) -> None:
    model = load(tmp_path, "return image.half(), image.argmax(), image.transpose(2, 3)", ("half", "best", "turned"))
    feeds = [feed_of(model), {"image": np.full((1, 3, 8, 8), 2, np.float32)}]
    found = golden(model, feeds)
    assert (found.frames, set(found.references)) == (2, {"fp32"})
    assert found.output(1, "half").dtype == np.float32
    assert found.output(0, "best").shape == ()
    assert found.output(0, "best") == feeds[0]["image"].argmax()
    for index, feed in enumerate(feeds):
        assert set(found.outputs(index)) == {"half", "best", "turned"}
        assert all(array.flags.c_contiguous for array in (found.feeds(index) | found.outputs(index)).values())
        np.testing.assert_array_equal(found.feeds(index)["image"], feed["image"])
        np.testing.assert_array_equal(found.output(index, "turned"), feed["image"].transpose(0, 1, 3, 2))


def test_golden_outputs_are_finite(tmp_path: Path) -> None:
    model = load(tmp_path, "return image + 1, torch.log(image)", ("good", "bad"))
    feeds = [{"image": np.ones((1, 3, 8, 8), np.float32)}, {"image": np.ones((1, 3, 8, 8), np.float32)}]
    feeds[1]["image"][0, 0, 0, :2] = -1, 0
    golden(model, feeds[:1])
    with pytest.raises(ModelError, match="output 'bad' has 2 NaN or Inf of 192 values on golden input 1"):
        golden(model, feeds)
    with pytest.raises(ModelError, match="at least one set of inputs"):
        golden(model, [])


def test_gradients_are_off(tmp_path: Path) -> None:
    model = load(tmp_path, "assert torch.is_inference_mode_enabled()\nreturn self.conv(image)")
    assert model.run(feed_of(model))["out"].shape == (1, 4, 8, 8)
    assert torch.is_grad_enabled()
