"""Bundles of every task, built here and now: the C++ pipeline is held to the golden frames in them.

The networks are small and random; what is compared is pre- and postprocessing around one engine. ``make cpp-golden``
does the same with the reference networks of examples/.
"""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

HEIGHT, WIDTH = 48, 64
_TASKS = {
    "segmentation": (
        "{mode: letterbox, resize: [48, 64], color: bgr, scale: 0.00392156863, mean: [0.4, 0.5, 0.6]}",
        "{kind: segmentation, output: dense, classes: [a, b, c, d, e]}",
    ),
    "int8": (
        "{resize: [48, 64], scale: 0.00392156863}",
        "{kind: segmentation, output: dense, classes: [a, b, c, d, e]}",
    ),
    "openvino": (
        "{resize: [48, 64], scale: 0.00392156863}",
        "{kind: segmentation, output: dense, classes: [a, b, c, d, e]}",
    ),
    "detection": (
        "{mode: letterbox-topleft, resize: [48, 64], color: bgr}",
        "{kind: detection, family: yolox, output: head, classes: [a, b, c], strides: [8]}",
    ),
    "classification": (
        "{mode: crop, before_crop: 72, resize: [48, 64], interpolation: bicubic, antialias: true}",
        "{kind: classification, output: vector, classes: [a, b, c, d, e, f]}",
    ),
    "embedding": ("{resize: [48, 64], interpolation: area}", "{kind: embedding, output: vector}"),
    "regression": (
        "{resize: [48, 64], interpolation: nearest}",
        "{kind: regression, output: vector, points: [p, q, r], coordinates: input-share}",
    ),
    "outputs": ("{resize: [48, 64], color: grey}", "{kind: outputs, output: [dense, vector]}"),
    "multitask": (
        "{resize: [48, 64]}",
        (
            "{kind: multitask, tasks: {area: {kind: segmentation, output: dense, classes: [a, b, c, d, e]}, "
            "what: {kind: classification, output: vector, classes: [a, b, c, d, e, f]}, "
            "who: {kind: embedding, output: vector}}}"
        ),
    ),
}
_SPEC = """\
name: {name}
model:
  onnx: {model}.onnx
  inputs: {{image: {{shape: [1, {channels}, 48, 64]}}}}
  outputs: [{outputs}]
preprocess: {{image: {preprocess}}}
task: {task}
data: {{calibration: {{format: images, root: images}}}}
{compress}targets: {{cpu: {{engine: {engine}, threads: 1}}}}
"""


def write(folder: Path) -> None:
    """``<task>/`` is a bundle with two golden frames, ``<task>.json`` what Python's chain makes of them."""
    from benchmarks.cpp_golden import write_predictions

    import edgekit

    project = folder / "project"
    (project / "images").mkdir(parents=True)
    _frames(project / "images")
    for name, (preprocess, task) in _TASKS.items():
        if name == "openvino" and not find_spec("openvino"):
            continue
        channels, outputs = 1 if "grey" in preprocess else 3, [o for o in ("dense", "head", "vector") if o in task]
        _network(project / f"{name}.onnx", channels, outputs)
        spec = _SPEC.format(
            name=name,
            model=name,
            channels=channels,
            outputs=", ".join(outputs),
            preprocess=preprocess,
            task=task,
            engine="ov" if name == "openvino" else "ort",
            compress="compress: [quantize: {method: ptq}]\n" if name in ("int8", "openvino") else "",
        )
        (project / "edgekit.yaml").write_text(spec)
        edgekit.build(project / "edgekit.yaml", "cpu", project / "built").path.rename(folder / name)
        write_predictions(folder / name, folder / f"{name}.json")
    shutil.rmtree(project)


def _frames(folder: Path) -> None:
    import cv2

    rng = np.random.default_rng(0)
    for number in range(6):
        small = rng.integers(0, 256, (9, 13, 3), np.uint8)
        size = (157, 101) if number % 2 else (120, 90)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.resize(small, size, interpolation=cv2.INTER_CUBIC))


def _network(path: Path, channels: int, outputs: list[str]) -> None:
    """Two convolutions, and a head for each output: a map, a YOLOX head of stride 8, a vector."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(1)
    weights: list[Any] = []

    def convolution(source: str, target: str, taken: int, made: int, size: int, stride: int, gain: float) -> Any:
        values = rng.normal(0, gain / np.sqrt(taken * size * size), (made, taken, size, size)).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"{target}.weight"))
        pads = [(size - stride) // 2 if size > stride else 0] * 4 if stride > 1 else [size // 2] * 4
        inputs = [source, f"{target}.weight"]
        return helper.make_node(
            "Conv", inputs, [target], target, strides=[stride] * 2, pads=pads, kernel_shape=[size] * 2
        )

    nodes = [
        convolution("image", "stem", channels, 8, 3, 1, 1.4),
        helper.make_node("Relu", ["stem"], ["stem.active"]),
        convolution("stem.active", "body", 8, 8, 3, 1, 1.4),
        helper.make_node("Relu", ["body"], ["body.active"]),
    ]
    shapes: dict[str, list[int]] = {}
    if "dense" in outputs:
        nodes.append(convolution("body.active", "dense", 8, 5, 3, 1, 1.0))
        shapes["dense"] = [1, 5, HEIGHT, WIDTH]
    if "head" in outputs:  # of 48 cells: place, size, objectness, three classes
        weights.append(numpy_helper.from_array(np.array([1, 8, -1], np.int64), "flat"))
        nodes += [
            convolution("body.active", "cells", 8, 8, 8, 8, 0.02),
            helper.make_node("Reshape", ["cells", "flat"], ["rows"]),
            helper.make_node("Transpose", ["rows"], ["turned"], perm=[0, 2, 1]),
            helper.make_node("Sigmoid", ["turned"], ["head"]),
        ]
        shapes["head"] = [1, HEIGHT // 8 * (WIDTH // 8), 8]
    if "vector" in outputs:
        values = rng.normal(0, 0.4, (8, 6)).astype(np.float32)
        weights.append(numpy_helper.from_array(values, "vector.weight"))
        nodes += [
            helper.make_node("GlobalAveragePool", ["body.active"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flattened"]),
            helper.make_node("MatMul", ["flattened", "vector.weight"], ["vector"]),
        ]
        shapes["vector"] = [1, 6]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, channels, HEIGHT, WIDTH])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in outputs],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
