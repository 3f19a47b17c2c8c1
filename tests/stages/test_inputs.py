"""Networks whose input is no float32 RGB image, from the spec to a bundle that evaluates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgekit
from edgekit.bundle import open_bundle
from edgekit.core.errors import DataError
from edgekit.core.golden import Golden
from edgekit.data import Sample

SPEC = """\
name: odd
model: {onnx: net.onnx, inputs: INPUTS, outputs: [logits]}
preprocess: PREPROCESS
task: {kind: segmentation, output: logits, classes: [wall, person]}
data:
  calibration: CALIBRATION
  evaluation: {format: image_mask, images: frames, masks: masks}
targets:
  cpu: {engine: ort, threads: 1}
"""
FRAMES = "{format: images, root: frames}"
THRESHOLD = 7075


def project(folder: Path, inputs: str, preprocess: str, calibration: str = FRAMES, quantize: str = "") -> Path:
    text = SPEC.replace("INPUTS", inputs).replace("PREPROCESS", preprocess).replace("CALIBRATION", calibration)
    (folder / "edgekit.yaml").write_text(text + quantize)
    return folder


def network(folder: Path, inputs: dict[str, tuple[int, list[int]]], before: list[Any], weight: float) -> None:
    """Two classes: 0, and ``weight`` times the values of ``x`` ``[1, C, 8, 12]`` summed over the channels, less one."""
    nodes = [
        *before,
        helper.make_node("ReduceSum", ["x", "axis"], ["sum"], keepdims=1),
        helper.make_node("Conv", ["sum", "w", "b"], ["logits"]),
    ]
    constants = {
        "axis": np.array([1], np.int64),
        "w": np.array([0, weight], np.float32).reshape(2, 1, 1, 1),
        "b": np.array([0, -1], np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2, 8, 12])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "net.onnx")


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Four frames of 8 x 12 with a brighter square, and the masks of it."""
    for name in ("frames", "masks"):
        (tmp_path / name).mkdir()
    for i in range(4):
        mask = np.zeros((8, 12), np.uint8)
        mask[2:6, 2 + i : 6 + i] = 1
        cv2.imwrite(str(tmp_path / "frames" / f"{i}.png"), np.dstack([60 + 100 * mask] * 3))
        cv2.imwrite(str(tmp_path / "masks" / f"{i}.png"), mask)
    return tmp_path


def golden(folder: Path) -> Golden:
    return Golden.read(folder / "artifacts" / "odd-cpu" / "golden.npz")


def test_pixels_of_eight_bits(frames: Path) -> None:
    cast = helper.make_node("Cast", ["image"], ["f"], to=TensorProto.FLOAT)
    planes = helper.make_node("Transpose", ["f"], ["x"], perm=[0, 3, 1, 2])
    network(frames, {"image": (TensorProto.UINT8, [1, 8, 12, 3])}, [cast, planes], 1 / 300)
    spec = project(frames, "{image: {shape: [1, 8, 12, 3], dtype: uint8}}", "{image: {resize: [8, 12], layout: nhwc}}")
    bundle = edgekit.build(spec, "cpu")
    assert edgekit.evaluate(bundle).metrics["miou"] == 1
    np.testing.assert_array_equal(golden(frames).feeds(0)["image"][0], cv2.imread(str(frames / "frames" / "0.png")))
    assert bundle.contents.preprocess["image"].dtype == "uint8"


def test_quantization_with_an_input_of_eight_bits_and_a_constant(frames: Path) -> None:
    before = [
        helper.make_node("Cast", ["image"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["gain"], ["g"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "g"], ["x"]),
    ]
    inputs = {"image": (TensorProto.UINT8, [1, 1, 8, 12]), "gain": (TensorProto.INT64, [1])}
    network(frames, inputs, before, 1 / 300)
    spec = project(
        frames,
        "{image: {shape: [1, 1, 8, 12], dtype: uint8}, gain: {shape: [1], dtype: int64}}",
        "{image: {resize: [8, 12]}, gain: {kind: constant, value: 3}}",
        quantize="compress:\n  - quantize: {method: ptq}\n",
    )
    made = edgekit.compress(spec)
    found = Golden.read(made.golden)
    assert found.feeds(0)["gain"].tolist() == [3]
    expected = found.feeds(0)["image"].astype(float) * 3 / 300 - 1
    np.testing.assert_allclose(found.output(0, "logits")[:, 1:], expected, atol=1e-5)
    np.testing.assert_allclose(found.output(0, "logits", "int8")[:, 1:], expected, atol=0.05)


def test_counts_of_sixteen_bits_by_their_values(frames: Path) -> None:
    network(frames, {"image": (TensorProto.FLOAT, [1, 1, 8, 12])}, [helper.make_node("Identity", ["image"], ["x"])], 1)
    for i in range(4):
        mask = cv2.imread(str(frames / "masks" / f"{i}.png"), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(frames / "frames" / f"{i}.png"), 7000 + 150 * mask.astype(np.uint16))
    inputs = "{image: {shape: [1, 1, 8, 12]}}"
    said = r"frame '0': the image 'image' has uint16 pixels of 7000 to 7150, .* set pixels: uint16"
    with pytest.raises(DataError, match=said):
        edgekit.build(project(frames, inputs, "{image: {resize: [8, 12], scale: 0.0039}}"), "cpu")
    taken = f"{{image: {{resize: [8, 12], pixels: uint16, scale: {1 / THRESHOLD}}}}}"
    bundle = edgekit.build(project(frames, inputs, taken), "cpu")
    assert edgekit.evaluate(bundle).metrics["miou"] == 1
    assert len(np.unique(golden(frames).feeds(0)["image"])) == 2
    written = edgekit.run(bundle, bundle.dataset(), frames / "overlays")
    assert cv2.imread(str(written[0].picture)) is not None


def test_two_images_and_an_array_a_frame(frames: Path) -> None:
    (frames / "right").mkdir()
    (frames / "gain").mkdir()
    for i in range(4):
        cv2.imwrite(str(frames / "right" / f"{i}.png"), np.full((8, 12, 3), i, np.uint8))
        np.save(frames / "gain" / f"{i}.npy", np.float64(i).reshape(1))
    before = [helper.make_node("Mul", ["pair", "gain"], ["x"])]
    inputs = {"pair": (TensorProto.FLOAT, [1, 2, 8, 12]), "gain": (TensorProto.FLOAT, [1, 1])}
    network(frames, inputs, before, 1)
    spec = project(
        frames,
        "{pair: {shape: [1, 2, 8, 12]}, gain: {shape: [1, 1]}}",
        "{pair: {resize: [8, 12], source: [image, right]}, gain: {kind: array, source: gain}}",
        f"{{format: joined, frames: {FRAMES}, beside: {{right: {{files: right}}, gain: {{files: gain}}}}}}",
    )
    bundle = edgekit.build(spec, "cpu")
    found = golden(frames)  # two golden frames, evenly spread: 0 and 2
    assert found.feeds(1)["gain"].tolist() == [[2]]
    assert (found.feeds(1)["pair"][0, 1] == 2).all()
    np.testing.assert_allclose(found.output(1, "logits")[0, 1], found.feeds(1)["pair"][0].sum(axis=0) * 2 - 1)
    with pytest.raises(
        DataError, match=r"the sample has no image 'right', .* or bring more with data of format: joined"
    ):
        edgekit.evaluate(bundle)
    assert isinstance(open_bundle(bundle.path).dataset()[0], Sample)
