"""The benchmark against the peers: verdicts, metrics, shares of operators, the page.  No peer is needed."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from benchmarks.peers import common, contenders, measure, metrics, models, page
from benchmarks.peers.verdict import Standing, Tolerances, dominated, dominates

from edgekit.core.predictions import Geometry

TOLERANCES = Tolerances(latency_ratio=0.02, accuracy=0.0005)
WHOLE = Geometry((416, 416), (416, 416), (0, 0, 416, 416))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((0.001, 10.0), (0.003, 12.0), True),  # better in both
        ((0.001, 10.0), (0.001, 12.0), True),  # as accurate, faster
        ((0.001, 10.0), (0.003, 10.0), True),  # as fast, more accurate
        ((0.001, 10.0), (0.001, 10.0), False),  # equal
        ((0.001, 10.1), (0.0014, 10.0), False),  # equal within both tolerances
        ((0.001, 10.1), (0.003, 10.0), True),  # 1 % slower is as fast
        ((0.001, 10.3), (0.003, 10.0), False),  # 3 % slower is not
        ((0.0014, 8.0), (0.001, 10.0), True),  # a loss of 0.0004 more is as accurate
        ((0.0016, 8.0), (0.001, 10.0), False),  # one of 0.0006 is not
        ((-0.001, 10.0), (0.0, 10.0), True),  # more accurate than FP32 counts
    ],
)
def test_domination(one: tuple[float, float], other: tuple[float, float], expected: bool) -> None:
    assert dominates(Standing(*one), Standing(*other), TOLERANCES) is expected


def test_no_two_dominate_each_other() -> None:
    rng = np.random.default_rng(0)
    standings = [Standing(*pair) for pair in rng.uniform((0, 10), (0.003, 11), (40, 2)).tolist()]
    for one in standings:
        assert not any(dominates(one, b, TOLERANCES) and dominates(b, one, TOLERANCES) for b in standings)


def test_dominated_names_the_rivals_in_order() -> None:
    standings = {"a": Standing(0.0, 20.0), "b": Standing(0.001, 10.0), "c": Standing(0.002, 30.0)}
    assert dominated(standings, TOLERANCES) == {"a": [], "b": [], "c": ["a", "b"]}


def test_sqnr_is_in_decibels() -> None:
    sqnr = metrics.Sqnr()
    sqnr.update(np.array([1.1, 0.9], np.float32), np.ones(2, np.float32))
    assert sqnr.compute() == pytest.approx(20, abs=1e-3)
    assert metrics.Sqnr().compute() is None


def test_agreement_counts_the_same_class() -> None:
    score = metrics.score("agreement")
    reference = np.array([[0.0, 2.0, 1.0]], np.float32)
    for output in ([[0.0, 3.0, 1.0]], [[0.0, 1.0, 3.0]]):
        score.update(np.array(output, np.float32), reference, WHOLE, np.zeros(0))
    assert score.compute()["top1_agreement"] == 0.5


def test_miou_of_the_truth_is_one() -> None:
    score = metrics.score("segmentation")
    truth = np.arange(12, dtype=np.uint8).repeat(4).reshape(12, 4)  # row 11 is void
    logits = (np.arange(11)[:, None, None] == truth).astype(np.float32)[None]
    score.update(logits, None, Geometry((12, 4), (12, 4), (0, 0, 12, 4)), truth)
    assert score.compute()["miou"] == 1.0


def head(*boxes: tuple[int, float, float, int]) -> np.ndarray:
    """A YOLOX head for 416x416 with boxes at cells: (cell, logarithm of the size, score, class)."""
    output = np.zeros((1, 3549, 85), np.float32)
    for cell, size, score, kind in boxes:
        output[0, cell, 2:5] = (size, size, score)
        output[0, cell, 5 + kind] = 1.0
    return output


def test_a_box_of_the_head_is_in_pixels() -> None:
    # Cell 54 of stride 8 (52 a row): column 2, row 1; 8 * e^1 wide.
    (row,) = metrics.detections(head((54, 1.0, 0.9, 7)), (416, 416))
    half = 4 * math.e
    np.testing.assert_allclose(row, [16 - half, 8 - half, 16 + half, 8 + half, 0.9, 7], rtol=1e-6)
    # The last cell is the last of stride 32: column and row 12.
    (row,) = metrics.detections(head((3548, 0.0, 0.9, 0)), (416, 416))
    np.testing.assert_allclose(row[:4], [368, 368, 400, 400])


def test_nms_and_confidence() -> None:
    # Neighbouring cells, 80 pixels wide: the IoU is 0.82.  Another class stays, a weak box goes.
    size = math.log(10)
    rows = metrics.detections(
        head((54, size, 0.8, 3), (55, size, 0.9, 3), (56, size, 0.7, 4), (57, size, 0.2, 5)), (416, 416)
    )
    assert rows[:, 5].tolist() == [3, 4]
    assert rows[:, 4].tolist() == pytest.approx([0.9, 0.7])


def test_f1_counts_missing_and_wrong_boxes() -> None:
    score = metrics.score("detection")
    reference = head((54, 1.5, 0.9, 3), (400, 1.5, 0.8, 3), (900, 1.5, 0.8, 3))
    found = head((54, 1.5, 0.9, 3), (400, 1.5, 0.8, 4))  # one right, one of another class, one missing
    score.update(found, reference, WHOLE, np.zeros(0))
    result = score.compute()
    assert result["f1"] == pytest.approx(2 * 1 / (2 + 3))
    assert (result["detections"], result["reference_detections"]) == (2, 3)


def test_one_box_matches_once() -> None:
    box = [0.0, 0.0, 10.0, 10.0, 0.9, 1.0]
    assert metrics.matches(np.array([box, box]), np.array([box])) == 1
    assert metrics.matches(np.array([box]), np.zeros((0, 6))) == 0


def test_operators_from_a_profile() -> None:
    def event(kind: str, duration: int, name: str = "x_kernel_time") -> dict[str, Any]:
        return {"cat": "Node", "name": name, "dur": duration, "args": {"op_name": kind}}

    events = [
        *(event("QLinearConv", 30), event("QLinearConv", 20), event("MatMulIntegerToFloat", 10)),
        *(event("QLinearAdd", 5), event("QLinearMatMul", 5), event("DequantizeLinear", 10), event("Conv", 20)),
        event("Conv", 1000, "x_fence_before"),
        {"cat": "Session", "name": "model_run", "dur": 5000},
    ]
    found = measure.operators(events)
    shares = {key: found[key] for key in ("conv", "matmul", "other", "quantize_dequantize")}
    assert shares == pytest.approx({"conv": 0.5, "matmul": 0.15, "other": 0.05, "quantize_dequantize": 0.1})
    assert found["top"][0] == {"operator": "QLinearConv", "share": 0.5}


def test_models_take_turns() -> None:
    called: list[str] = []
    infers = {name: lambda _, name=name: called.append(name) or {} for name in "abc"}
    times = measure.interleaved(infers, [{}], queries=2, warmup=1)
    assert "".join(called) == "abccbaabc"
    assert {name: len(values) for name, values in times.items()} == {"a": 2, "b": 2, "c": 2}


def test_speed_up_is_of_medians_and_of_pairs() -> None:
    times = {"fp32": np.array([20.0, 20.0, 40.0]), "int8": np.array([10.0, 10.0, 10.0])}
    found = measure.latency(times, {"fp32": "fp32", "int8": "fp32"})["int8"]
    assert found["speedup_p50"] == 2.0
    assert found["speedup_of_pairs_p5_p95"] == pytest.approx([2.0, 3.8])


def test_crops_reach_from_edge_to_edge() -> None:
    image = np.arange(360 * 480, dtype=np.uint32).reshape(360, 480)
    left, right = models.square_crops(image, 2)
    assert left.shape == right.shape == (360, 360)
    assert left[0, 0] == image[0, 0]
    assert right[-1, -1] == image[-1, -1]


def test_frames_come_again_from_the_first(tmp_path: Any) -> None:
    common.Frames.write(tmp_path, ({"x": np.full(2, index, np.float32)} for index in range(3)))
    frames = common.Frames(tmp_path)
    assert len(frames) == 3
    assert [[feed["x"][0] for feed in frames] for _ in range(2)] == [[0, 1, 2], [0, 1, 2]]


@pytest.mark.parametrize(("frames", "expected"), [(64, 8), (12, 6), (7, 7), (13, 1), (4, 4)])
def test_stride_divides_the_frames(frames: int, expected: int) -> None:
    assert contenders.stride(frames) == expected


def test_every_choice_has_its_fp32() -> None:
    assert list(contenders.chosen(["nncf-openvino"])) == ["fp32-openvino", "nncf-openvino"]
    assert "fp32" in contenders.chosen(None)
    with pytest.raises(SystemExit, match="unknown contender 'tensorrt'"):
        contenders.chosen(["tensorrt"])


def document() -> dict[str, Any]:
    """What run.py writes, by hand: two contenders that work and one that failed."""

    def row(title: str, miou: float, p50: float, share: float) -> dict[str, Any]:
        return {
            "title": title,
            "runtime": "ort",
            "status": "ok",
            "quantization": {
                "quantize_s": None if share == 0 else 3.0,
                "fp32_inference_s": 1.5,
                "peak_rss_mib": 512.3,
                "size_bytes": 2**21,
            },
            "accuracy": {"val": {"miou": miou + 0.1}, "test": {"miou": miou}},
            "drop": {"val": 0.7 - miou, "test": 0.7 - miou},
            "latency": {
                "p50_ms": p50,
                "p99_ms": p50 + 1,
                "speedup_p50": 20 / p50,
                "speedup_of_pairs_p5_p95": [1.5, 2.5],
            },
            "operators": {"conv": share, "matmul": 0.0, "other": 0.0, "top": []},
        }

    rows = {
        "fp32": row("FP32", 0.7, 20.0, 0.0),
        "edgekit": row("edgekit ptq", 0.698, 10.0, 0.75),
        "broken": {
            "title": "Broken",
            "runtime": "ort",
            "status": "failed",
            "error": "quantization: no such | operator",
        },
    }
    model = {
        "title": "A network",
        "metric": {"name": "miou", "text": "mIoU", "split": "test"},
        "contenders": rows,
        "dominated_by": {"fp32": [], "edgekit": ["fp32", "edgekit"]},
    }
    machine = {"cpu": "CPU", "cpus": 2, "system": "Linux", "python": "3.11", "load_average_1min": 0.1}
    return {
        "date": "2026-01-02",
        "machine": machine,
        "versions": {"onnx": "1.21.0"},
        "frames": 64,
        "queries": 200,
        "tolerances": {"latency_ratio": 0.02, "accuracy": 0.0005},
        "models": {"net": model},
    }


def test_table_of_a_model() -> None:
    text = page.tables(document())
    lines = text.splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert table[2].startswith(
        "| fp32 | 0.8000 | 0.7000 | 0.0000 | 20.00 | 21.00 | 1.00x (1.50–2.50) | 0% + 0% | – | – | 2.00"
    )
    assert table[3].endswith("| 75% + 0% | 3.0 (2.0x) | 512 | 2.00 | fp32, edgekit |")
    assert table[4].startswith("| broken | failed |")
    assert "- broken failed: quantization: no such | operator" in lines


def test_page_says_how_and_with_what() -> None:
    text = page.render(document())
    for part in (
        "2026-01-02",
        "onnx 1.21.0",
        "64 calibration frames",
        "200 queries each",
        "within 2%",
        "within 0.0005",
    ):
        assert part in text.replace("\n  ", " ").replace("\n", " ")
    assert "{" not in text


def test_published_page_is_the_one_made_from_the_results() -> None:
    if not common.RESULTS.is_file():
        pytest.skip("no results are published")
    assert page.render(json.loads(common.RESULTS.read_text())) == common.PAGE.read_text()
