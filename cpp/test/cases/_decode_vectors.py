"""Cases of tasks whose outputs are vectors, and of several tasks on one network."""

from __future__ import annotations

from typing import Any

import numpy as np
from decode import Cases, Noise, letterboxed, stretched

from edgekit.core.predictions import Geometry
from edgekit.core.tensors import Array

_PLACE = stretched((480, 640), (112, 112))


def _names(count: int) -> list[str]:
    return [f"c{i}" for i in range(count)]


def fill(cases: Cases) -> None:
    _scores(cases)
    _embeddings(cases)
    _values(cases)
    _tensors(cases)
    _several(cases)


def _float(values: Any) -> Array:
    return np.array(values, np.float32)


def _scores(cases: Cases) -> None:
    rng = np.random.default_rng(2)
    inputs: dict[str, list[Array]] = {
        "softmax": [rng.normal(0, s, (1, n)).astype(np.float32) for s in (0.1, 5, 1e4, 5e37) for n in (2, 10, 1000)],
        "sigmoid": [_float([[v]]) for v in (-1e30, -100, -3, -1e-8, 0, 0.5, 20, 90, 3e38)],
        "none": [],
    }
    for n in (2, 5, 300):
        shares = rng.random((1, n), np.float32)
        inputs["none"].append(shares / shares.sum())
    inputs["none"] += [
        _float(v)
        for v in ([[-0.0009, 1]], [[1.0009, 0]], [[0.3, 0.2]], [[0.2, 0.2]], [[1, 0.6]], [[-0.01, 1]], [[3, -2]])
    ]
    inputs["softmax"] += [_float([[1, 1, 1]]), _float([[np.nan, 1]]), _float([[np.inf, 1]]), _float([[-np.inf, 1]])]
    inputs["sigmoid"] += [_float([[np.nan]]), _float([[-np.inf]])]
    for activation, arrays in inputs.items():
        for i, values in enumerate(arrays):
            count = 2 if activation == "sigmoid" else values.shape[1]
            section = {"kind": "classification", "output": "y", "classes": _names(count), "activation": activation}
            cases.add(f"classification {activation} {i}", section, {"y": values}, _PLACE)
    section = {"kind": "classification", "output": "y", "classes": _names(3)}
    for shape in [(1, 4), (2, 3), (3,), (1, 3, 1)]:
        cases.add(f"classification {shape}", section, {"y": np.zeros(shape, np.float32)}, _PLACE, {"y": (None, None)})
    for dtype in (None, "float32"):
        cases.add(f"classification float64 {dtype}", section, {"y": np.zeros((1, 3))}, _PLACE, dtype=dtype)
    cases.add("classification sigmoid of 3", {**section, "activation": "sigmoid"}, {"y": _float([[1]])}, _PLACE)
    cases.add("classification top_k", {**section, "top_k": 2}, {"y": _float([[1, 2, 3]])}, _PLACE)
    for activation in ("softmax", "none"):
        for outputs in (["a"], ["a", "b"], ["a", "b", "c"]):
            section = {
                "kind": "antispoofing", "output": outputs, "classes": _names(3), "live_class": 1, "threshold": 0.5,
                "attacks": ["print"], "activation": activation,
            }  # fmt: skip
            shares = {name: rng.dirichlet(np.ones(3), 1).astype(np.float32) for name in outputs}
            cases.add(f"antispoofing {activation} {outputs}", section, shares, _PLACE)
    cases.add("antispoofing NaN", section, {**shares, "b": _float([[np.nan, 0, 0]])}, _PLACE)


def _embeddings(cases: Cases) -> None:
    rng = np.random.default_rng(3)
    for normalise in (True, False):
        section = {"kind": "embedding", "output": "y", "normalise": normalise, "far": [0.01]}
        for size in (2, 128, 513):
            for scale in (1e-42, 1e-20, 1, 1e30):
                values = (rng.normal(0, 1, (1, size)) * scale).astype(np.float32)
                cases.add(f"embedding {size} {scale} {normalise}", section, {"y": values}, _PLACE)
        for values in ([[0, 0]], [[0, -0.0]], [[np.nan, 1]], [[np.inf, 1]], [[0, 1e-45]]):
            cases.add(f"embedding {values} {normalise}", section, {"y": _float(values)}, _PLACE)
    cases.add("embedding (1, 1)", section, {"y": _float([[1]])}, _PLACE, {"y": (1, None)})
    cases.add("embedding (2, 3)", section, {"y": np.ones((2, 3), np.float32)}, _PLACE, {"y": (None, None)})


def _values(cases: Cases) -> None:
    rng = np.random.default_rng(4)
    angles = {"kind": "regression", "output": ["yaw", "pitch"], "components": ["yaw", "pitch"], "period": 360}
    for scale, offset in [(1.0, 0.0), (3.0, -99.0), ([2.0, 0.1], [0.3, 1e6])]:
        values = {name: rng.normal(0, 30, (1, 1)).astype(np.float32) for name in ("yaw", "pitch")}
        cases.add(f"angles {scale} {offset}", {**angles, "scale": scale, "offset": offset}, values, _PLACE)
    counted = {"kind": "regression", "output": "y", "components": {"param": 62}, "normalise": 2.0}
    cases.add("62 parameters", counted, {"y": rng.normal(0, 1, (1, 62)).astype(np.float32)}, _PLACE)
    for coordinates in ("original", "input-pixels", "input-share"):
        for layout in ("pairs", "planes"):
            for place in (
                _PLACE,
                letterboxed((480, 640), (112, 112)),
                Geometry((480, 640), (112, 112), (-8, -20, 128, 152)),
            ):
                section = {
                    "kind": "regression", "output": "y", "points": ["eye", "nose", "mouth"], "coordinates": coordinates,
                    "layout": layout, "scale": 2.5, "offset": 0.25, "normalise": "box",
                }  # fmt: skip
                values = (rng.random((1, 3, 2)) * 100).astype(np.float32)
                cases.add(f"points {coordinates} {layout} {place.content}", section, {"y": values}, place)
    flat = {"kind": "regression", "output": "y", "components": ["a", "b"]}
    cases.add("too many values", flat, {"y": np.zeros((1, 3), np.float32)}, _PLACE, {"y": (None, None)})
    cases.add("too few values", flat, {"y": np.zeros((1, 1), np.float32)}, _PLACE, {"y": (None, None)})
    cases.add("values of nothing", flat, {"y": np.zeros((1, 0), np.float32)}, _PLACE, {"y": (None, None)})
    for value in (np.nan, np.inf):
        cases.add(f"values with {value}", flat, {"y": _float([[value, 0]])}, _PLACE)
    for dtype in (None, "float32"):
        cases.add(f"values float64 {dtype}", flat, {"y": np.zeros((1, 2))}, _PLACE, dtype=dtype)
    cases.add("components and points", {**flat, "points": ["p"]}, {"y": np.zeros((1, 2), np.float32)}, _PLACE)
    cases.add("too many scales", {**flat, "scale": [1.0, 2.0, 3.0]}, {"y": np.zeros((1, 2), np.float32)}, _PLACE)
    cases.add(
        "points of nothing", {**flat, "components": None, "points": ["p"]}, {"y": np.zeros((1, 2), np.float32)}, _PLACE
    )
    cases.add("coordinates of none", {**flat, "coordinates": "original"}, {"y": np.zeros((1, 2), np.float32)}, _PLACE)


def _tensors(cases: Cases) -> None:
    rng = np.random.default_rng(5)
    section = {"kind": "outputs", "output": ["b", "a"]}
    for dtype in (
        "float32",
        "float64",
        "float16",
        "int8",
        "uint8",
        "int16",
        "uint16",
        "int32",
        "uint32",
        "int64",
        "bool",
    ):
        values = {n: (rng.random(s) * 2).astype(dtype) for n, s in (("a", (1, 3, 2)), ("b", (4,)))}
        cases.add(f"outputs {dtype}", section, values, _PLACE)
        if np.dtype(dtype).kind == "f":
            for wrong in (np.nan, -np.inf):
                broken = values["a"].copy()
                broken[0, 1, 1] = wrong
                cases.add(f"outputs {dtype} {wrong}", section, {**values, "a": broken}, _PLACE)
    cases.add("outputs twice", {"kind": "outputs", "output": ["a", "a"]}, {"a": _float([1])}, _PLACE)
    cases.add("outputs of nothing", {"kind": "outputs", "output": "a"}, {"a": np.zeros((1, 0), np.float32)}, _PLACE)


def _several(cases: Cases) -> None:
    """As examples/multitask: objects, drivable area and scene of one network."""
    names = ["sky", "road", "lane_marking", "pavement", "building", "vegetation", "vehicle", "person", "pole"]
    section = {
        "kind": "multitask",
        "tasks": {
            "objects": {
                "kind": "detection", "family": "fcos", "strides": [8, 16, 32],
                "output": {"boxes": ["reach8", "reach16", "reach32"], "scores": ["kind8", "kind16", "kind32"]},
                "classes": ["vehicle", "person", "cyclist", "sign", "traffic_light"],
            },
            "area": {"kind": "segmentation", "output": "area", "classes": ["background", "drivable"]},
            "scene": {"kind": "segmentation", "output": "scene", "classes": names},
        },
        "truth": {"objects": "boxes", "area": "drivable", "scene": "mask"},
        "loss_weights": {"objects": 2.0},
    }  # fmt: skip
    outputs: dict[str, Array | Noise] = {}
    for stride in (8, 16, 32):
        rows, columns = 288 // stride, 480 // stride
        outputs[f"reach{stride}"] = Noise((1, 4, rows, columns), stride, 0, 4)
        outputs[f"kind{stride}"] = Noise((1, 5, rows, columns), stride + 1, -12, 16)
    outputs |= {"area": Noise((1, 2, 72, 120), 50, -8, 16), "scene": Noise((1, 9, 72, 120), 51, -8, 16)}
    place = stretched((384, 640), (288, 480))
    cases.add("multitask", section, outputs, place)
    broken = noise_with_nan((1, 9, 72, 120))
    cases.add("multitask NaN", section, {**outputs, "scene": broken}, place)
    wrong = {**section["tasks"]["area"], "output": "nowhere"}
    cases.add("multitask output", {**section, "tasks": {"area": wrong}, "truth": {}}, outputs, place)
    nested = {"kind": "multitask", "tasks": {"all": {**section}}}
    cases.add("multitask nested", nested, outputs, place)


def noise_with_nan(shape: tuple[int, ...]) -> Array:
    values = np.zeros(shape, np.float32)
    values[0, 3, 30, 40] = np.nan
    return values
