"""ResizeLinearU8 and ResizeLinearU8ToFloat, against ONNX Runtime's DequantizeLinear, Resize and QuantizeLinear."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

pytest.importorskip("edgekit_ops", reason="edgekit-ops is not installed: make cpp-ops builds and tests it")

import onnxruntime
from tests.support.rounded import RESIZES

import edgekit_ops
from edgekit.engine import ort
from edgekit.engine.ort import extension

LEVELS = ("scalar", "avx2", "avx512-vnni", "neon")
MODES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
OFF = ort.Backend(ort.Config(engine="ort", operators=False))
ON = ort.Backend(ort.Config(engine="ort"))
ONE_ROUNDING = platform.machine().lower() in ("aarch64", "arm64")
"""Whether ONNX Runtime's compiler joins products and sums, so that only the last bits agree."""


def both(x: np.ndarray, to_bytes: bool, layout: str, at: dict[str, Any], threads: int = 1) -> tuple[np.ndarray, ...]:
    """What the operator and ONNX Runtime's own make of ``x``.  ``layout``: of input and output, "nn", "ln" or "ll"."""
    zero = np.array(int(x.dtype == np.int8) * -128 + 117, x.dtype)
    made = (np.float32(0.031), np.array(int(x.dtype == np.int8) * -128 + 60, x.dtype))
    numbers = (0.02347, float(zero), *((float(made[0]), float(made[1])) if to_bytes else ()))
    weights = {"s": np.float32(0.02347), "z": zero, "sy": made[0], "zy": made[1], "roi": np.zeros(0, np.float32)}
    weights |= {"grids": np.array(numbers, np.float32), "none": np.zeros(0, np.float32)}
    sizes = at["height"] > 0
    channels = x.shape[3 if layout[0] == "l" else 1]
    weights["factors"] = np.array([1, 1, at["factor_h"], at["factor_w"]], np.float32)
    weights["sizes"] = np.array([x.shape[0], channels, at["height"], at["width"]], np.int64)
    op = "ResizeLinearU8" if to_bytes else "ResizeLinearU8ToFloat"
    attributes = at | {"channels_last": int(layout[0] == "l"), "made_last": int(layout[1] == "l")}
    turned = ["Transpose", "Identity"][layout[0] == "n"], ["Transpose", "Identity"][layout[1] == "n"]
    nodes = [
        helper.make_node(op, ["x", "grids"], ["y"], domain=extension.DOMAIN, **attributes),
        helper.make_node(turned[0], ["x"], ["xt"], **({"perm": [0, 3, 1, 2]} if turned[0] == "Transpose" else {})),
        helper.make_node("DequantizeLinear", ["xt", "s", "z"], ["f"]),
        helper.make_node(
            "Resize", ["f", "roi", *(["none", "sizes"] if sizes else ["factors"])], ["r"], mode="linear",
            coordinate_transformation_mode=MODES[at["coordinates"] % 4],
        ),
        helper.make_node("QuantizeLinear", ["r", "sy", "zy"], ["q"]) if to_bytes else
        helper.make_node("Identity", ["r"], ["q"]),
        helper.make_node(turned[1], ["q"], ["w"], **({"perm": [0, 2, 3, 1]} if turned[1] == "Transpose" else {})),
    ]  # fmt: skip
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    outputs = [helper.make_tensor_value_info(name, kind if to_bytes else 1, None) for name in ("y", "w")]
    graph = helper.make_graph(nodes, "both", [helper.make_tensor_value_info("x", kind, x.shape)], outputs,
                              [numpy_helper.from_array(array, name) for name, array in weights.items()])  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(extension.DOMAIN, edgekit_ops.version())]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.register_custom_ops_library(str(edgekit_ops.library()))
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    session = onnxruntime.InferenceSession(model, options)
    found = session.run(None, {"x": x})
    assert session.get_outputs()[0].shape == list(found[0].shape)
    return tuple(found)


def check(x: np.ndarray, to_bytes: bool, layout: str, at: dict[str, Any], threads: int = 1) -> None:
    made, wanted = both(x, to_bytes, layout, at, threads)
    assert made.dtype == wanted.dtype
    if not ONE_ROUNDING:
        np.testing.assert_array_equal(made, wanted)
    elif to_bytes:
        assert np.abs(made.astype(int) - wanted.astype(int)).max(initial=0) <= 1
    else:
        np.testing.assert_allclose(made, wanted, rtol=0, atol=float(np.spacing(np.float32(6.1))) * 2)


def noise(seed: int, *shape: int, dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8).view(dtype)


def to(height: int = 0, width: int = 0, factors: tuple[float, float] = (0.0, 0.0), mode: int = 0) -> dict[str, Any]:
    return {"coordinates": mode, "height": height, "width": width, "factor_h": factors[0], "factor_w": factors[1]}


@settings(max_examples=150, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 20), st.integers(1, 12), st.integers(1, 40)),
    target=st.one_of(
        st.builds(to, st.integers(1, 50), st.integers(1, 90)),
        st.builds(to, factors=st.tuples(*[st.sampled_from([1.0, 2.0, 4.0, 8.0, 1.5, 2.3, 0.7, 3.0])] * 2)),
    ),
    mode=st.integers(0, 3),
    to_bytes=st.booleans(),
    layout=st.sampled_from(["nn", "ln", "ll"]),
    dtype=st.sampled_from(["uint8", "int8"]),
    seed=st.integers(0, 2**31),
)
def test_equals_onnxruntime(
    shape: Any, target: dict[str, Any], mode: int, to_bytes: bool, layout: str, dtype: str, seed: int
) -> None:
    x = noise(seed, *shape, dtype=dtype)
    x = x if layout[0] == "n" else np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    check(x, to_bytes, layout, target | {"coordinates": mode})


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("level", LEVELS)
def test_every_level_and_thread(level: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_OPS_LEVEL", level)
    for layout, to_bytes in (("nn", False), ("ln", False), ("ln", True), ("ll", True), ("ll", False)):
        check(noise(1, 2, 33, 40, 11), to_bytes, layout, to(factors=(4.0, 4.0)), threads)
        check(noise(2, 1, 7, 130, 21), to_bytes, layout, to(200, 333, mode=2), threads)


def test_an_image_of_one_pixel_and_of_none() -> None:
    for mode in range(4):
        check(noise(3, 1, 5, 1, 1), False, "nn", to(factors=(8.0, 2.0), mode=mode))
        check(noise(3, 1, 1, 1, 5), True, "ll", to(1, 1, mode=mode))
    made, _ = both(noise(3, 0, 5, 4, 4), False, "nn", to(factors=(8.0, 2.0)))
    assert made.shape == (0, 5, 32, 8)
    assert both(noise(3, 1, 5, 0, 4), False, "nn", to(factors=(2.0, 2.0)))[0].shape == (1, 5, 0, 8)


@pytest.mark.parametrize(
    ("change", "layout", "message"),
    [
        ({"coordinates": 4}, "nn", "coordinates is 4"),
        ({"height": -1}, "nn", "height or width is -1"),
        ({"factor_h": 0.0}, "nn", "neither a size nor a factor"),
        ({}, "nl", "channels become last"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], layout: str, message: str) -> None:
    with pytest.raises(Exception, match=message):
        both(noise(1, 1, 2, 3, 4), True, layout, to(factors=(2.0, 2.0)) | change)


@pytest.mark.parametrize("case", RESIZES)
class TestEngines:
    def test_equals_the_engine_without(self, case: str, tmp_path: Path) -> None:
        source, found = RESIZES[case].write(tmp_path / "m.onnx"), list[dict[str, np.ndarray]]()
        for backend in (OFF, ON):
            backend.build(source, tmp_path / f"t{ON.suffix}")
            with backend.engine(tmp_path / f"t{ON.suffix}") as engine:
                found.append({name: array.copy() for name, array in engine.infer(RESIZES[case].feed(1)).items()})
        assert {node.op_type for node in onnx.load(tmp_path / f"t{ON.suffix}").graph.node} & {
            "ResizeLinearU8",
            "ResizeLinearU8ToFloat",
        }
        for name, array in found[0].items():
            assert np.mean(array != found[1][name]) < 0.03  # tables: ONNX Runtime's own kernels round a tie otherwise
            assert np.abs(array - found[1][name]).max() <= 0.1 * 1.0001

    def test_parity_holds_it(self, case: str, tmp_path: Path) -> None:
        source, target = RESIZES[case].write(tmp_path / "m.onnx"), tmp_path / f"t{ON.suffix}"
        ON.build(source, target)
        seen = 0
        for part in ON.parts(target, source, [RESIZES[case].feed(seed) for seed in range(3)]):
            if part.op == "ResizeLinearU8" and part.exact is not None:
                assert np.abs(part.found.astype(np.float64) - part.exact).max() < 0.5001
                seen += 1
            elif part.op == "ResizeLinearU8ToFloat":
                np.testing.assert_allclose(part.found, part.expected, rtol=0, atol=2e-6)
                seen += 1
        assert seen == 3
