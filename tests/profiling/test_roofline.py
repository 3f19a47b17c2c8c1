"""Operations against a count of every multiplication; limits and verdicts on made-up machines."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.core.errors import InputError
from edgekit.core.reports import LayerTime
from edgekit.engine import LayerEvent, LayerTensor, ort
from edgekit.profiling import roofline
from edgekit.profiling.roofline import Peaks
from tests.support.graphs import convnet, node, normal, write

SMALL = st.integers(1, 4)
PEAKS = Peaks({"float32": 100e9, "int8": 400e9}, ((10**6, 100e9), (10**8, 10e9)))


def event(op: str, inputs: list[tuple[int, ...]], output: tuple[int, ...], **more: object) -> LayerEvent:
    tensors = tuple(LayerTensor("float32", shape) for shape in inputs)
    return LayerEvent(op, op, 0, 0.0, 1.0, tensors, (LayerTensor("float32", output),), **more)  # type: ignore[arg-type]


def timed(flops: int | None, size: int | None, ms: float, dtype: str = "float32") -> LayerTime:
    return LayerTime("n", "Conv", "m", dtype, ms, 0.1, flops, size)


class TestOperations:
    @given(SMALL, SMALL, SMALL, SMALL, SMALL, SMALL, SMALL)
    def test_convolution(self, n: int, groups: int, c: int, m: int, k: int, h: int, w: int) -> None:
        products = sum(1 for _ in range(n * groups * m) for _ in range(h * w) for _ in range(c * k * k))
        weight = LayerTensor("int8", (groups * m, c, k, k))
        ins, outs = (n, groups * c, h + k - 1, w + k - 1), (n, groups * m, h, w)
        assert roofline.flops(event("Conv", [ins], outs, weight=weight)) == 2 * products
        blocked = (n, -(-groups * m // 16) * 16, h, w)  # channels padded to full vectors
        assert roofline.flops(event("Conv", [ins], blocked, weight=weight)) == 2 * products
        last = event("QLinearConv", [ins], (n, h, w, groups * m), weight=weight, attributes={"channels_last": 1})
        assert roofline.flops(last) == 2 * products
        turned = LayerTensor("float32", (groups * c, m, k, k))
        transposed = event(
            "ConvTranspose", [(n, groups * c, h, w)], (n, groups * m, h + k - 1, w + k - 1), weight=turned
        )
        assert roofline.flops(transposed) == 2 * n * groups * c * h * w * m * k * k

    @given(st.lists(SMALL, max_size=2), SMALL, SMALL, SMALL)
    def test_products(self, batch: list[int], m: int, k: int, n: int) -> None:
        expected = 2 * math.prod(batch) * m * k * n
        left, right, out = (*batch, m, k), (k, n), (*batch, m, n)
        for op in ("MatMul", "MatMulInteger", "QLinearMatMul", "FusedMatMul"):
            assert roofline.flops(event(op, [left, right], out)) == expected
        gemm = event("Gemm", [(k, m), (k, n)], (m, n), attributes={"transA": 1})
        assert roofline.flops(gemm) == 2 * m * k * n
        assert roofline.flops(event("MatMul", [(k,), (k, n)], (n,))) == 2 * k * n

    def test_others(self) -> None:
        assert roofline.flops(event("Relu", [(2, 3)], (2, 3))) == 6
        assert roofline.flops(event("GlobalAveragePool", [(1, 2, 4, 4)], (1, 2, 1, 1))) == 32
        assert roofline.flops(event("Transpose", [(2, 3)], (3, 2))) == 0
        assert roofline.flops(event("Resize", [(1, 1, 2, 2)], (1, 1, 4, 4))) is None
        assert roofline.flops(event("Conv", [(1, 1, 2, 2)], (1, 1, 2, 2))) is None  # its filter is not known
        assert roofline.flops(LayerEvent("r", "Relu", 0, 0, 0, (), ())) is None

    def test_bytes(self) -> None:
        mixed = event("QuantizeLinear", [(2, 3)], (1,))
        mixed = dataclasses.replace(mixed, outputs=(LayerTensor("uint8", (2, 3)),))
        assert roofline.traffic(mixed) == 24 + 6
        assert roofline.traffic(dataclasses.replace(mixed, outputs=(LayerTensor("string", (2,)),))) is None

    def test_live_grouped_and_transposed(self, tmp_path: Path) -> None:
        weights = {"w": normal(1, 8, 2, 3, 3), "t": normal(2, 8, 5, 2, 2)}
        nodes = [node("Conv", "x w", "c", group=2, strides=[2, 2]), node("ConvTranspose", "c t", "y", strides=[2, 2])]
        inputs, outputs = [("x", (1, 4, 9, 11), "float32")], [("y", (1, 5, 8, 10), "float32")]
        path = write(tmp_path / "m.onnx", nodes, inputs, outputs, weights)
        with ort.reference(path) as engine:
            found = engine.profile_layers({"x": normal(0, 1, 4, 9, 11)}, 1, path)
        assert [roofline.flops(e) for e in found] == [2 * (4 * 5) * 8 * 2 * 9, 2 * (4 * 5) * 8 * 5 * 4]
        sizes = [4 * (4 * 99 + 8 * 18 + 8 * 20), 4 * (8 * 20 + 8 * 20 + 5 * 80)]
        assert [roofline.traffic(e) for e in found] == sizes


class TestLimits:
    @pytest.mark.parametrize(
        ("layer", "bound"),
        [
            (timed(10**8, 10**5, 1.5), "compute"),  # 1 ms of arithmetic
            (timed(10**8, 10**5, 6.0), "overhead"),
            (timed(10**6, 10**7, 1.5), "memory"),  # 1 ms from memory
            (timed(10**6, 10**5, 0.0011, "uint8"), "compute"),  # 2.5 us against 1 us
            (timed(None, 10**7, 2.0), "memory"),
            (timed(None, 10**7, 20.0), None),  # what it computes is not known
            (timed(10**8, 10**5, 1.0, "float16"), None),  # nor how fast float16 can be
            (timed(0, 10**5, 1.0), "overhead"),
            (timed(None, None, 1.0), None),
            (timed(10**8, 10**5, 0.0), "compute"),
        ],
    )
    def test_bound(self, layer: LayerTime, bound: str | None) -> None:
        assert roofline.bound(layer, PEAKS) == bound
        assert roofline.annotate([layer], PEAKS)[0].bound == bound

    def test_a_small_layer_has_the_bandwidth_of_a_cache(self) -> None:
        assert PEAKS.memory_ms(10**6) == pytest.approx(0.01)
        assert PEAKS.memory_ms(10**6 + 1) == pytest.approx(0.1, rel=1e-3)
        assert PEAKS.memory_ms(10**9) == pytest.approx(100)  # larger than all that was measured

    @given(st.integers(0, 10**12), st.integers(1, 10**10), st.floats(1e-6, 1e4))
    def test_attained_is_a_share(self, flops: int, size: int, ms: float) -> None:
        share = roofline.attained(timed(flops, size, ms), PEAKS)
        assert share is not None
        assert 0 <= share <= 1

    @pytest.mark.parametrize(
        ("layer", "words"),
        [
            (timed(10**8, 10**5, 2.0), "compute-bound: 50% of the peak; .* int8"),
            (timed(8 * 10**6, 10**7, 2.0), r"memory-bound: 0\.8 FLOP/B, 50% of the bandwidth; fuse it or shrink"),
            (timed(10**6, 10**5, 1.0), "overhead: compute and memory explain 1% of the time"),
            (timed(None, 10**7, 20.0), "memory explains 5% of the time; the operations of Conv are not known"),
            (timed(10**8, 10**7, 20.0, "float16"), "the peak of float16 is not known"),
        ],
    )
    def test_hints(self, layer: LayerTime, words: str) -> None:
        assert re.search(words, roofline.hint(layer, PEAKS))
        assert "int8" not in roofline.hint(timed(10**9, 10**5, 4.0, "uint8"), PEAKS)
        assert roofline.hint(timed(None, None, 1.0), PEAKS) == ""

    @pytest.mark.parametrize(
        ("operations", "bandwidth"),
        [({}, ()), ({"float32": 0.0}, ((1, 1.0),)), ({}, ((2, 1.0), (1, 1.0))), ({}, ((1, float("nan")),))],
    )
    def test_impossible_peaks(self, operations: dict[str, float], bandwidth: tuple[tuple[int, float], ...]) -> None:
        with pytest.raises(InputError, match="peaks need rates > 0"):
            Peaks(operations, bandwidth)


def test_peaks_of_this_machine(tmp_path: Path) -> None:
    with ort.reference(convnet(tmp_path / "m.onnx"), ort.Config(engine="ort", threads=2)) as engine:
        peaks = roofline.measure_peaks(engine, seconds=0.01)
    assert peaks.threads == 2
    assert [size for size, _ in peaks.bandwidth] == list(roofline.WORKING_SETS)
    assert set(peaks.report().bandwidth_gb_s) == {"0.25", "2", "16", "128"}
    found = roofline.chart([timed(10**8, 10**5, 2.0), timed(None, 1, 1.0), timed(0, 1, 1.0)], peaks)
    assert [(p["flop_per_byte"], p["gflops"]) for p in found["points"]] == [(1000.0, 50.0)]
