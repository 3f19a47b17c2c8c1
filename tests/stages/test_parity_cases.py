"""Networks whose parity was misjudged: suppression inside the graph; and the engine whose typed model INT8 destroys."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from typer.testing import CliRunner

import edgekit
from edgekit.bundle import open_bundle
from edgekit.cli.main import app
from edgekit.core.errors import CheckFailed
from edgekit.core.spec import Spec
from edgekit.core.specfile import read_spec
from edgekit.engine import ort
from edgekit.stages.asking import Asking
from tests.support.graphs import node, normal
from tests.support.projects import write_frames

SPEC = """\
name: det
model:
  onnx: det.onnx
  inputs: {image: {shape: [1, 3, 32, 48]}}
  outputs: [boxes, scores, labels]
preprocess:
  image: {resize: [32, 48], scale: 0.00392156863, mean: [0.4, 0.4, 0.4], std: [0.25, 0.25, 0.25]}
task: {kind: detection, family: end2end, output: {boxes: boxes, scores: scores, labels: labels}, classes: [car, person]}
data:
  calibration: {format: images, root: data/images}
compress:
  - quantize: {method: ptq}
targets:
  cpu: {engine: ort, threads: 1}
"""


def detector(path: Path) -> Path:
    """Two convolutions, boxes around the cells of a grid, NonMaxSuppression: as many rows as the frame has objects."""
    cells = 8 * 12
    grid = np.stack(np.meshgrid(np.arange(12), np.arange(8)), -1).reshape(1, cells, 2)
    weights: dict[str, np.ndarray] = {
        "w1": normal(1, 16, 3, 3, 3, scale=0.3), "w2": normal(2, 6, 16, 3, 3, scale=0.15),
        "centres": grid.astype(np.float32) * 4 + 2,
        "eight": np.float32(8), "flat": np.array([1, 6, cells]), "parts": np.array([2, 2, 2]),
        "most": np.array([50]), "iou": np.float32([0.5]), "least": np.float32([0.55]),
    } | {name: np.array([k]) for k, name in enumerate(("zero", "one", "two", "three"))}  # fmt: skip
    nodes = [
        node("Conv", "image w1", "c1", strides=[2, 2], pads=[1] * 4), node("Relu", "c1", "r1"),
        node("Conv", "r1 w2", "raw", strides=[2, 2], pads=[1] * 4), node("Reshape", "raw flat", "rows"),
        node("Transpose", "rows", "table", perm=[0, 2, 1]), node("Split", "table parts", "shift size logits", axis=2),
        node("Tanh", "shift", "near"), node("Mul", "near eight", "moved"), node("Add", "centres moved", "middle"),
        node("Sigmoid", "size", "part"), node("Mul", "part eight", "half"), node("Sub", "middle half", "low"),
        node("Add", "middle half", "high"), node("Concat", "low high", "candidates", axis=2),
        node("Sigmoid", "logits", "chances"), node("Transpose", "chances", "by_class", perm=[0, 2, 1]),
        node("NonMaxSuppression", "candidates by_class most iou least", "chosen"),
        node("Slice", "chosen two three one", "box2"), node("Slice", "chosen one two one", "class2"),
        node("Squeeze", "box2 one", "box1"), node("Squeeze", "class2 one", "class1"),
        node("Gather", "candidates box1", "boxes", axis=1), node("Concat", "class2 box2", "pair", axis=1),
        node("Squeeze", "by_class zero", "table2"), node("GatherND", "table2 pair", "scores1"),
        node("Unsqueeze", "scores1 zero", "scores"), node("Unsqueeze", "class1 zero", "labels"),
    ]  # fmt: skip
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes, "det", [value("image", 1, [1, 3, 32, 48])],
        [value("boxes", 1, [1, "n", 4]), value("scores", 1, [1, "n"]), value("labels", 7, [1, "n"])],
        [numpy_helper.from_array(np.array(array), name) for name, array in weights.items()],
    )  # fmt: skip
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("det")
    detector(root / "det.onnx")
    write_frames(root / "data", 20)
    (root / "edgekit.yaml").write_text(SPEC)
    edgekit.build(root / "edgekit.yaml", target="cpu")
    return root


def test_suppression_inside_the_graph(project: Path) -> None:
    said = json.loads((project / "artifacts" / "det-cpu" / "parity.json").read_text())[0]
    assert said["verdict"] == said["layers"]["verdict"] == "pass"
    assert {o["output"]: o["kind"] for o in said["outputs"]} == {"boxes": "set", "scores": "set", "labels": "ranking"}
    judge = said["agreement"]
    assert (judge["frames"], judge["measure"], judge["verdict"]) == (16, "boxes without partner", "pass")


def test_verify_shows_all_three(project: Path) -> None:
    bundle = project / "artifacts" / "det-cpu"
    shown = CliRunner().invoke(app, ["verify", str(bundle)])
    assert shown.exit_code == 0, shown.output
    assert "layers on the typed model's own tensors: pass" in " ".join(shown.output.split())
    assert "boxes without partner on 16 frames" in shown.output
    document = json.loads(CliRunner().invoke(app, ["verify", str(bundle), "--json"]).stdout)
    assert document["layers"]["worst"][0]["steps"] <= 0.51


def test_an_engine_that_was_changed_is_refused_by_its_layer(project: Path) -> None:
    bundle = open_bundle(project / "artifacts" / "det-cpu")
    wrong = bundle.path / bundle.contents.candidate.file
    healthy = wrong.read_bytes()
    model = onnx.load(wrong)
    conv = next(n for n in model.graph.node if n.op_type == "QLinearConv")
    zero = next(t for t in model.graph.initializer if t.name == conv.input[7])
    changed = numpy_helper.from_array(numpy_helper.to_array(zero) + np.uint8(9), "changed")
    model.graph.initializer.append(changed)
    conv.input[7] = "changed"
    try:
        wrong.write_bytes(model.SerializeToString())
        report = edgekit.verify(bundle)
    finally:
        wrong.write_bytes(healthy)
    assert report.verdict == "fail"
    assert report.layers is not None
    assert report.layers.departed[0].layer == conv.name


def test_the_ladder_asks_what_the_build_will_ask(project: Path, tmp_path: Path) -> None:
    spec: Spec = read_spec(project / "edgekit.yaml")
    compressed = project / "artifacts" / "det-compressed"
    engine = tmp_path / f"e{ort.Backend.suffix}"
    config = ort.Config(engine="ort")
    ort.Backend(config).build(compressed / "int8.onnx", engine)
    asking = Asking(spec, compressed / "fp32.onnx", spec.data.calibration.open())
    assert asking.departs(ort.Backend(config), engine, compressed / "int8.onnx", "int8") == ""
    strict = spec.model_copy(update={"parity": spec.parity.model_copy(update={"integer_steps": 0.1})})
    said = Asking(strict, compressed / "fp32.onnx", spec.data.calibration.open())
    assert "a layer does not compute" in said.departs(ort.Backend(config), engine, compressed / "int8.onnx", "int8")


def test_the_spec_sets_limits(project: Path) -> None:
    strict = project / "strict.yaml"
    strict.write_text(SPEC.replace("name: det", "name: strict") + "parity: {integer_steps: 0.1}\n")
    with pytest.raises(CheckFailed, match=r"a layer does not compute .* steps, allowed 0\.1"):
        edgekit.build(strict, target="cpu")
