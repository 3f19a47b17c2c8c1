"""The operators of edgekit-ops in ONNX Runtime, against NumPy, and engines that are built with them."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import psutil
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

pytest.importorskip("edgekit_ops", reason="edgekit-ops is not installed: make cpp-ops builds and tests it")

import onnxruntime
from tests.support.reference_models import MODELS, reference
from tests.support.rounded import CASES, DEPTHWISE, SILU, STEMS, Rounded

import edgekit_ops
from edgekit.core.errors import ModelError
from edgekit.core.golden import Golden
from edgekit.engine import ort
from edgekit.engine.ort import extension
from edgekit.quantize import ptq
from edgekit.technique import Job
from edgekit.verification.layers import check_layers
from edgekit.verification.limits import limits_of

TABLES = {"yolox", "segmenter", "signal"}  # networks with functions that become tables
LEVELS = ("scalar", "avx2", "avx-vnni", "avx512-vnni", "avx512-vbmi", "neon", "neon-dot")
OFF = ort.Backend(ort.Config(engine="ort", operators=False))
ON = ort.Backend(ort.Config(engine="ort"))


def session_of(
    op: str, inputs: dict[str, np.ndarray], weights: dict[str, np.ndarray], threads: int, **more: Any
) -> Any:
    """A session of one operator: ``inputs`` say dtype and shape, ``weights`` are constants behind them."""

    def info(name: str, array: np.ndarray) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)

    dtype = helper.np_dtype_to_tensor_dtype(next(iter(inputs.values())).dtype)  # of the output too
    node = helper.make_node(op, [*inputs, *weights], ["y"], name="it", domain=extension.DOMAIN, **more)
    graph = helper.make_graph(
        [node],
        "one",
        [info(name, array) for name, array in inputs.items()],
        [helper.make_tensor_value_info("y", dtype, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(extension.DOMAIN, edgekit_ops.version())]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    options.register_custom_ops_library(str(edgekit_ops.library()))
    return onnxruntime.InferenceSession(
        helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString(), options
    )


def lut(x: np.ndarray, table: np.ndarray, channels_last: int = 0, threads: int = 1) -> np.ndarray:
    session = session_of("LutU8", {"x": x}, {"table": table}, threads, channels_last=channels_last)
    (made,) = session.run(None, {"x": x})
    assert made.dtype == x.dtype
    return np.asarray(made).view(np.uint8)


def noise(seed: int, *shape: int, dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8).view(dtype)


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The highest that kernels use; one that the processor has not is none, which is tested all the same."""
    monkeypatch.setenv("EDGEKIT_OPS_LEVEL", request.param)
    return str(request.param)


class TestLut:
    @settings(max_examples=100, deadline=None)
    @given(
        shape=st.lists(st.integers(0, 40), min_size=1, max_size=4),
        dtype=st.sampled_from(["uint8", "int8"]),
        seed=st.integers(0, 2**32 - 1),
    )
    def test_equals_numpy(self, shape: list[int], dtype: str, seed: int) -> None:
        x, table = noise(seed, *shape, dtype=dtype), noise(seed + 1, 256)
        np.testing.assert_array_equal(lut(x, table), table[x.view(np.uint8)])

    @pytest.mark.parametrize("threads", [1, 2])
    @pytest.mark.parametrize("shape", [(1,), (3, 65), (1, 3, 200, 211)])
    def test_every_level_and_thread(self, level: str, shape: tuple[int, ...], threads: int) -> None:
        x, table = noise(1, *shape), noise(2, 256)
        np.testing.assert_array_equal(lut(x, table, threads=threads), table[x])

    @pytest.mark.parametrize("threads", [1, 2])
    @pytest.mark.parametrize("channels_last", [0, 1])
    def test_a_table_for_each_channel(self, level: str, channels_last: int, threads: int) -> None:
        shape = (2, 150, 90, 7) if channels_last else (2, 7, 150, 90)
        x, tables = noise(3, *shape), noise(4, 7, 256)
        channel = np.arange(7) if channels_last else np.arange(7)[:, None, None]
        np.testing.assert_array_equal(lut(x, tables, channels_last, threads), tables[channel, x])

    @pytest.mark.parametrize(
        ("x", "table", "message"),
        [
            (noise(0, 3), noise(0, 255), "not .256. or .channels, 256. bytes"),
            (noise(0, 1, 3, 4, 4), noise(0, 4, 256), "x has not the 4 channels"),
            (noise(0, 1, 4, 4), noise(0, 4, 256), "x has not the 4 channels"),
            (np.zeros(3, np.int32), noise(0, 256), "neither uint8 nor int8"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, x: np.ndarray, table: np.ndarray, message: str) -> None:
        with pytest.raises(Exception, match=message):
            lut(x, table)


def conv_inputs(seed: int, planes: int, outputs: int, kernel: tuple[int, int]) -> dict[str, np.ndarray]:
    source = np.random.default_rng(seed)
    return {
        "weights": source.integers(-127, 128, (outputs, planes, *kernel)).astype(np.int8),
        "bias": source.integers(-5000, 5000, outputs).astype(np.int32),
        "multipliers": source.uniform(1e-4, 5e-3, outputs).astype(np.float32),
        "table": source.integers(0, 256, 256 if seed % 2 else 1).astype(np.uint8),
    }


def conv_by_definition(x: np.ndarray, given: dict[str, np.ndarray], at: dict[str, int]) -> np.ndarray:
    """Sums in integers, one multiplication in float32, halves to even."""
    sides = ((0, 0), (0, 0), (at["top"], at["bottom"]), (at["left"], at["right"]))
    padded = np.pad(x.astype(np.int64) - at["zero_in"], sides)
    windows = np.lib.stride_tricks.sliding_window_view(padded, given["weights"].shape[2:], axis=(2, 3))
    windows = windows[:, :, :: at["stride_h"], :: at["stride_w"]]
    sums = np.einsum("nchwij,ocij->nhwo", windows, given["weights"].astype(np.int64)) + given["bias"]
    scaled = np.rint(sums.astype(np.float32) * given["multipliers"]) + at["zero_out"]
    limits = np.iinfo(x.dtype)
    made = np.clip(scaled, limits.min, limits.max).astype(x.dtype).view(np.uint8)
    return given["table"][made] if given["table"].size > 1 else made


def depthwise_inputs(seed: int, channels: int, kernel: tuple[int, int], dtype: str) -> dict[str, np.ndarray]:
    source, low = np.random.default_rng(seed), np.iinfo(dtype).min
    size = (1, 256, 256 * channels)[seed % 3]
    return {
        "weights": source.integers(-127, 128, (channels, 1, *kernel)).astype(np.int8),
        "bias": source.integers(-5000, 5000, channels).astype(np.int32),
        "multipliers": source.uniform(1e-4, 5e-3, channels).astype(np.float32),
        "zero_in": source.integers(low, low + 256, channels).astype(np.int32),
        "zero_out": source.integers(low, low + 256, channels).astype(np.int32),
        "table": source.integers(0, 256, size).astype(np.uint8),
    }


def depthwise_by_definition(x: np.ndarray, given: dict[str, np.ndarray], at: dict[str, int]) -> np.ndarray:
    """Sums in integers, one multiplication in float32, halves to even."""
    sides = ((0, 0), (at["top"], at["bottom"]), (at["left"], at["right"]), (0, 0))
    padded = np.pad(x.astype(np.int64) - given["zero_in"], sides)
    windows = np.lib.stride_tricks.sliding_window_view(padded, given["weights"].shape[2:], axis=(1, 2))
    windows = windows[:, :: at["stride_h"], :: at["stride_w"]]
    sums = np.einsum("nhwcij,cij->nhwc", windows, given["weights"][:, 0].astype(np.int64)) + given["bias"]
    scaled = np.rint(sums.astype(np.float32) * given["multipliers"]) + given["zero_out"]
    limits = np.iinfo(x.dtype)
    made = np.clip(scaled, limits.min, limits.max).astype(x.dtype).view(np.uint8)
    table = given["table"].reshape(-1, 256) if given["table"].size > 1 else np.arange(256, dtype=np.uint8)[None]
    return table[np.arange(x.shape[3]) % len(table), made]


class TestConv:
    @settings(max_examples=60, deadline=None)
    @given(
        shape=st.tuples(st.integers(1, 2), st.integers(1, 4), st.integers(1, 12), st.integers(1, 20)),
        kernel=st.tuples(st.integers(1, 6), st.integers(1, 7)),
        numbers=st.tuples(st.integers(1, 3), st.integers(1, 3), *[st.integers(0, 3)] * 4),
        outputs=st.integers(1, 35),
        dtype=st.sampled_from(["uint8", "int8"]),
        seed=st.integers(0, 2**31),
    )
    def test_equals_the_definition(
        self, shape: Any, kernel: Any, numbers: Any, outputs: int, dtype: str, seed: int
    ) -> None:
        at = dict(zip(("stride_h", "stride_w", "top", "left", "bottom", "right"), numbers, strict=True))
        assume(shape[2] + at["top"] + at["bottom"] >= kernel[0] and shape[3] + at["left"] + at["right"] >= kernel[1])
        low = np.iinfo(dtype).min
        at |= {"zero_in": low + seed % 256, "zero_out": low + seed // 256 % 256}
        x, given_ = noise(seed, *shape, dtype=dtype), conv_inputs(seed, shape[1], outputs, kernel)
        session = session_of("ConvU8", {"x": x}, given_, 1, **at)
        (made,) = session.run(None, {"x": x})
        assert session.get_outputs()[0].shape == list(made.shape)
        np.testing.assert_array_equal(made.view(np.uint8), conv_by_definition(x, given_, at))

    @pytest.mark.parametrize("threads", [1, 2])
    def test_every_level_and_thread(self, level: str, threads: int) -> None:
        at = {"stride_h": 2, "stride_w": 2, "top": 2, "left": 2, "bottom": 2, "right": 2, "zero_in": 0, "zero_out": 129}
        x, given_ = noise(7, 2, 3, 90, 101), conv_inputs(7, 3, 16, (6, 6))
        (made,) = session_of("ConvU8", {"x": x}, given_, threads, **at).run(None, {"x": x})
        np.testing.assert_array_equal(made, conv_by_definition(x, given_, at))

    def test_what_does_not_fit_is_refused(self) -> None:
        at = dict.fromkeys(("stride_h", "stride_w", "top", "left", "bottom", "right", "zero_in", "zero_out"), 1)
        x, given_ = noise(7, 1, 3, 9, 9), conv_inputs(7, 3, 4, (3, 3))
        for change, message in [
            ({"bias": np.zeros(3, np.int32)}, "not one for each output"),
            ({"weights": given_["weights"][:, :2]}, "no image of 2 planes"),
            ({"weights": given_["weights"][0]}, "not of rank 4"),
        ]:
            with pytest.raises(Exception, match=message):
                session_of("ConvU8", {"x": x}, given_ | change, 1, **at).run(None, {"x": x})
        with pytest.raises(Exception, match="stride_h is 0"):
            session_of("ConvU8", {"x": x}, given_, 1, **(at | {"stride_h": 0}))


class TestDepthwise:
    @settings(max_examples=60, deadline=None)
    @given(
        shape=st.tuples(st.integers(1, 2), st.integers(1, 9), st.integers(1, 12), st.integers(2, 80)),
        kernel=st.sampled_from([(3, 3), (5, 5), (2, 4)]),
        numbers=st.tuples(st.integers(1, 3), st.integers(1, 3), *[st.integers(0, 3)] * 4),
        dtype=st.sampled_from(["uint8", "int8"]),
        seed=st.integers(0, 2**31),
    )
    def test_equals_the_definition(self, shape: Any, kernel: Any, numbers: Any, dtype: str, seed: int) -> None:
        at = dict(zip(("stride_h", "stride_w", "top", "left", "bottom", "right"), numbers, strict=True))
        assume(shape[1] + at["top"] + at["bottom"] >= kernel[0] and shape[2] + at["left"] + at["right"] >= kernel[1])
        x, given_ = noise(seed, *shape, dtype=dtype), depthwise_inputs(seed, shape[3], kernel, dtype)
        session = session_of("DepthwiseU8", {"x": x}, given_, 1, **at)
        (made,) = session.run(None, {"x": x})
        assert session.get_outputs()[0].shape == list(made.shape)
        np.testing.assert_array_equal(made.view(np.uint8), depthwise_by_definition(x, given_, at))

    @pytest.mark.parametrize("threads", [1, 2])
    @pytest.mark.parametrize("channels", [16, 40, 64, 130])
    def test_every_level_and_thread(self, level: str, threads: int, channels: int) -> None:
        at = {"stride_h": 1, "stride_w": 2, "top": 1, "left": 1, "bottom": 1, "right": 1}
        x, given_ = noise(7, 2, 30, 31, channels), depthwise_inputs(7, channels, (3, 3), "uint8")
        (made,) = session_of("DepthwiseU8", {"x": x}, given_, threads, **at).run(None, {"x": x})
        np.testing.assert_array_equal(made, depthwise_by_definition(x, given_, at))

    def test_what_does_not_fit_is_refused(self) -> None:
        at = dict.fromkeys(("stride_h", "stride_w", "top", "left", "bottom", "right"), 1)
        x, given_ = noise(7, 1, 9, 9, 4), depthwise_inputs(7, 4, (3, 3), "uint8")
        for change, message in [
            ({"bias": np.zeros(3, np.int32)}, "not one number for each channel"),
            ({"table": np.zeros(255, np.uint8)}, "the table is not"),
            ({"weights": np.zeros((4, 2, 3, 3), np.int8)}, "weights are not"),
        ]:
            with pytest.raises(Exception, match=message):
                session_of("DepthwiseU8", {"x": x}, given_ | change, 1, **at).run(None, {"x": x})
        with pytest.raises(Exception, match="x has not the 4 channels"):
            session_of("DepthwiseU8", {"x": x[..., :3]}, given_, 1, **at).run(None, {"x": x[..., :3]})


@pytest.mark.parametrize("case", DEPTHWISE)
def test_depthwise_layers_compute_what_the_typed_model_says(case: str, tmp_path: Path) -> None:
    source, target = DEPTHWISE[case].write(tmp_path / "m.onnx"), tmp_path / f"t{ON.suffix}"
    ON.build(source, target)
    assert [node.op_type for node in onnx.load(target).graph.node].count("DepthwiseU8") == 1
    with ON.engine(target) as engine, ort.reference(source) as typed:
        difference = engine.infer(DEPTHWISE[case].feed(1))["y"] - typed.infer(DEPTHWISE[case].feed(1))["y"]
    assert np.abs(difference).max() <= 0.1 * 1.0001  # a step
    assert np.mean(difference != 0) < 0.03


@pytest.mark.parametrize("case", STEMS)
def test_the_first_layer_equals_that_of_an_engine_without(case: str, tmp_path: Path) -> None:
    source, found = STEMS[case].write(tmp_path / "m.onnx"), []
    for number, backend in enumerate((OFF, ON)):
        target = tmp_path / f"{number}{ON.suffix}"
        backend.build(source, target)
        with backend.engine(target) as engine:
            found.append(engine.infer(STEMS[case].feed(1))["y"])
    assert "ConvU8" in [node.op_type for node in onnx.load(target).graph.node]
    assert np.mean(found[0] != found[1]) < 0.03  # where ONNX Runtime's own functions round a tie the other way
    assert np.abs(found[0] - found[1]).max() <= 0.1 * 1.0001


@pytest.mark.parametrize("case", CASES)
class TestEngines:
    def test_computes_what_the_typed_model_says(self, case: str, tmp_path: Path) -> None:
        """In steps of the grid: the operator gives the nearest to what was rounded, for every value of its input."""
        source, target = CASES[case].write(tmp_path / "m.onnx"), tmp_path / f"t{ON.suffix}"
        ON.build(source, target)
        (part,) = [one for one in ON.parts(target, source, [CASES[case].feed()]) if one.op == "LutU8"]
        assert {one.name for one in CASES[case].middle if "Linear" not in one.op_type} <= set(part.nodes)
        if part.exact is not None and part.found.dtype.kind in "iu":
            assert np.abs(part.found.astype(float) - part.exact).max() <= 0.5001
        assert np.abs(part.found.astype(int) - part.expected.astype(int)).max() <= 1
        assert np.mean(part.found != part.expected) < 1e-3

    def test_equals_the_engine_without(self, case: str, tmp_path: Path) -> None:
        source, found = CASES[case].write(tmp_path / "m.onnx"), []
        for backend in (OFF, ON):
            backend.build(source, tmp_path / f"t{ON.suffix}")
            with backend.engine(tmp_path / f"t{ON.suffix}") as engine:
                found.append(engine.infer(CASES[case].feed(1))["y"])
        assert np.mean(found[0] != found[1]) < 0.03  # where ONNX Runtime's own kernels round a tie the other way
        assert np.abs(found[0] - found[1]).max() <= 0.1 * 1.0001


@pytest.mark.parametrize("case", [*STEMS, *DEPTHWISE])
def test_parity_holds_each_rounding_by_itself(case: str, tmp_path: Path) -> None:
    """A convolution and the table behind it are two: at a tie of the first the second may be off by several steps."""
    made = (STEMS | DEPTHWISE)[case]
    source, target = made.write(tmp_path / "m.onnx"), tmp_path / f"t{ON.suffix}"
    ON.build(source, target)
    seen = {}
    for part in ON.parts(target, source, [made.feed(seed) for seed in range(4)]):
        if part.exact is not None and part.found.dtype.kind in "iu":
            steps = float(np.abs(part.found.astype(np.float64) - part.exact).max())
            seen[part.op] = max(steps, seen.get(part.op, 0.0))
    assert {"ConvU8", "DepthwiseU8"} & set(seen), seen
    assert max(seen.values()) < 0.55, seen


@pytest.mark.parametrize("profile", ["ort-x86", "ort-x86-ops"])
@pytest.mark.parametrize("network", MODELS)
def test_engines_of_every_network_are_the_typed_model(network: str, profile: str, tmp_path: Path) -> None:
    source, target = reference(network).write(tmp_path), tmp_path / f"t{ON.suffix}"
    made = ptq.apply(Job(source, reference(network).frames(), profile), ptq.Config(method="ptq")).model
    (tmp_path / "typed.onnx").write_bytes(made)
    ON.build(tmp_path / "typed.onnx", target)
    golden = Golden(tuple(reference(network).frames(2, 100)))
    report = check_layers(ON, target, tmp_path / "typed.onnx", golden, limits_of("int8"))
    assert (report.mode, report.verdict, report.departed) == ("layers", "pass", ())
    ops = [node.op_type for node in onnx.load(target).graph.node]
    assert ("LutU8" in ops) == (network in TABLES)


def test_profiles_name_the_operator(tmp_path: Path) -> None:
    source, target = Rounded(SILU).write(tmp_path / "m.onnx"), tmp_path / f"t{ON.suffix}"
    ON.build(source, target)
    with ON.engine(target) as engine:
        events = [event for event in engine.profile_layers(Rounded(SILU).feed(), 3, source) if event.op == "LutU8"]
    assert len(events) == 3
    assert set(events[0].nodes) == {"Mul_b", "Sigmoid_s"}


def test_builds_are_the_same_each_time(tmp_path: Path) -> None:
    source = Rounded(SILU).write(tmp_path / "m.onnx")
    for name in "ab":
        ON.build(source, tmp_path / f"{name}{ON.suffix}")
    assert (tmp_path / f"a{ON.suffix}").read_bytes() == (tmp_path / f"b{ON.suffix}").read_bytes()


def test_the_package_says_its_version() -> None:
    assert extension.version() == edgekit_ops.version() >= 1
    assert extension.probe().works
    assert ON.fingerprint()[extension.FACT] == edgekit_ops.version()


def test_a_damaged_engine_is_refused(tmp_path: Path) -> None:
    target = tmp_path / f"t{ON.suffix}"
    ON.build(Rounded(SILU).write(tmp_path / "m.onnx"), target)
    target.write_bytes(target.read_bytes().replace(b"LutU8", b"LutU9"))
    with pytest.raises(ModelError, match="LutU9"):
        ON.engine(target).open()


def test_sessions_leave_nothing_behind(tmp_path: Path) -> None:
    """benchmarks/operators.py opens 10,000."""
    target = tmp_path / f"t{ON.suffix}"
    ON.build(Rounded(SILU).write(tmp_path / "m.onnx"), target)
    sizes = []
    for _ in range(3):
        for _ in range(100):
            with ON.engine(target) as engine:
                engine.infer(Rounded(SILU).feed())
        gc.collect()
        sizes.append(psutil.Process().memory_info().rss)
    assert sizes[2] - sizes[1] < 2**20
