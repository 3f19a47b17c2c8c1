"""What the charts draw: sums, order, limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.core.reports import (
    CurvePoint,
    GateReport,
    KpiLimit,
    KpiResult,
    LayerTime,
    Series,
    TrainingCurve,
    TrainingReport,
)
from edgekit.reporting import charts, timing, training
from edgekit.reporting import history as nights
from tests.support.report_content import CANDIDATE, METRICS, compress, content, evaluation, gate, history, profile

SHORT = content(500)


def _limited(ms: float) -> GateReport:
    return GateReport(
        SHORT.bundle,
        "cpu",
        "pass",
        (KpiResult("latency_p99_ms", 9.0, KpiLimit("max", ms), 1.0, "ms", "pass"),),
    )


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=300))
def test_histogram_holds_every_query_it_does_not_name(times: list[float]) -> None:
    histogram, cdf, course = timing.latency(replace(profile(100), times_ms={CANDIDATE: tuple(times)}), None)
    drawn = sum(histogram.figure["data"][0]["y"]) / 100 * len(times)
    hidden = sum(t > np.quantile(times, 0.999) * 1.02 for t in times)
    assert drawn == pytest.approx(len(times) - hidden, abs=0.01 * len(times))
    assert (f"{hidden} beyond" in histogram.note) == (hidden > 0)
    assert cdf.figure["data"][0]["x"] == sorted(cdf.figure["data"][0]["x"])
    assert course.figure["data"][0]["x"][-1] == len(times)


def test_engines_far_apart_share_no_histogram() -> None:
    histogram, cdf, _ = timing.latency(SHORT.profile or profile(), None)
    assert [trace["name"] for trace in histogram.figure["data"]] == ["candidate"]
    assert [trace["name"] for trace in cdf.figure["data"]] == ["candidate", "FP32 control"]


@pytest.mark.parametrize(
    ("file", "name"),
    [("engines/fp16.engine", "FP16 control"), ("engines/fp32.ort.onnx", "FP32 control"), ("other.engine", "control")],
)
def test_the_control_has_its_own_precision_for_a_name(file: str, name: str) -> None:
    before = SHORT.profile or profile()
    times = {CANDIDATE: before.times_ms[CANDIDATE], file: before.times_ms[CANDIDATE]}
    after = replace(before, times_ms=times, control=replace(before.control, engine=file))
    assert [series.name for series in timing.timed(after)] == ["candidate", name]
    found = charts.pareto(replace(SHORT, profile=after))
    assert found is not None
    assert name in [trace["name"] for trace in found.figure["data"]]


@pytest.mark.parametrize(("ms", "drawn"), [(12.0, 1), (400.0, 0)])
def test_limit_is_a_line_or_words(ms: float, drawn: int) -> None:
    histogram = timing.latency(profile(500), _limited(ms))[0]
    assert len(histogram.figure["layout"].get("shapes", [])) == drawn
    assert f"limit of {ms:g} ms" in histogram.note


def test_points_are_few_however_long_the_run() -> None:
    sizes = [
        max(len(trace["x"]) for chart in timing.latency(profile(n), None) for trace in chart.figure["data"])
        for n in (500, 20_000)
    ]
    assert sizes[0] == sizes[1] <= 400


def test_no_times_no_charts() -> None:
    assert timing.latency(replace(profile(100), times_ms={}), gate()) == []


def test_pareto_has_control_candidate_rungs_and_earlier_runs() -> None:
    found = charts.pareto(SHORT, nights.points(SHORT))
    assert found is not None
    named = {trace["name"]: trace for trace in found.figure["data"]}
    assert set(named) == (charts.STYLES.keys() - {"control"}) | {"FP32 control"}
    assert len(named["earlier run"]["x"]) == 39
    assert named["FP32 control"]["y"] == [0.7199]
    assert named["candidate"]["error_y"]["array"] == pytest.approx([0.7161 - 0.7078])
    assert "up is better" in found.note
    assert charts.pareto(replace(SHORT, compress=None, profile=None)) is None
    assert charts.pareto(replace(SHORT, metrics=METRICS[2:], compress=compress()), ()) is not None


def test_treemap_adds_up() -> None:
    layers = (
        LayerTime("n1", "Conv", "backbone.stem", "int8", 2.0, 0.5),
        LayerTime("n2", "Conv", "backbone.stem.0", "int8", 1.0, 0.25),
        LayerTime("n3", "Add", "", "fp32", 1.0, 0.25),
    )
    found = charts.treemap(layers)
    assert found is not None
    (trace,) = found.figure["data"]
    boxes = dict(zip(trace["ids"], trace["values"], strict=True))
    assert boxes == {"backbone": 0.0, "backbone.stem": 2.0, "backbone.stem.0": 1.0, "outside any module": 1.0}
    assert "“outside any module” holds layers that the exporter or the runtime made" in found.note
    assert "outside" not in (charts.treemap(layers[:2]) or found).note
    assert dict(zip(trace["ids"], trace["parents"], strict=True))["backbone.stem.0"] == "backbone.stem"
    assert trace["labels"][2] == "stem.0"
    assert trace["text"][0] == "3 ms, 75%"
    assert charts.treemap(layers[2:]) is None


def test_control_chart() -> None:
    flat, risen = nights.charts(SHORT)
    assert flat.note == "No change beyond the noise of the runs."
    assert "It rose from 7.900 to 8.250 ms" in risen.note
    assert "The newest run, " in risen.note
    assert "lies outside the limits, 7.810 to 7.990 ms" in risen.note
    assert len(risen.figure["layout"]["shapes"]) == 1
    assert [trace["name"] for trace in risen.figure["data"] if "name" in trace][-1] == "outside"
    assert nights.worse(SHORT)[0].startswith("latency_p50_ms: It rose")


@pytest.mark.parametrize(
    ("outside", "start"),
    [
        ((3, 39), "No lasting change; the newest run, "),
        ((3,), "No lasting change; 1 earlier run lies outside the limits, "),
        ((3, 5), "No lasting change; 2 earlier runs lie outside the limits, "),
        ((), "No change beyond the noise of the runs. 2 runs on other data"),
    ],
)
def test_a_value_outside_the_limits_is_told_without_a_change(outside: tuple[int, ...], start: str) -> None:
    flat = history()[0]
    found = replace(flat, outside=outside, series=replace(flat.series, excluded=0 if outside else 2))
    assert nights.charts(replace(SHORT, history=(found,)))[0].note.startswith(start)


@pytest.mark.parametrize(("value", "ends"), [(0.66, [0.627, 0.693]), (-2.0, [-2.1, -1.9]), (0.0, [-1.0, 1.0])])
def test_axis_of_a_constant_series_is_around_its_value(value: float, ends: list[float]) -> None:
    flat = history()[0]
    series = replace(flat.series, values=(value,) * 40, low=(None,) * 40, high=(None,) * 40)
    found = replace(flat, series=series, centre=value, lower=value, upper=value, sigma=0.0)
    (chart,) = nights.charts(replace(SHORT, history=(found,)))
    assert chart.figure["layout"]["yaxis"]["range"] == pytest.approx(ends)


def test_axis_holds_values_limits_and_intervals() -> None:
    flat = history()[0]
    low, high = nights.charts(SHORT)[0].figure["layout"]["yaxis"]["range"]
    drawn = (*flat.series.values, *flat.series.low, *flat.series.high, flat.lower, flat.upper)
    assert low < min(end for end in drawn if end is not None)
    assert high > max(end for end in drawn if end is not None)


def test_history_of_nothing() -> None:
    empty = Series("miou", "cpu", (), (), (), (), (), ())
    bare = replace(history()[0], series=empty, start=0)
    assert nights.charts(content(100, history=(bare,))) == []
    assert nights.points(content(100, history=(bare,))) == []


def test_labels_are_no_markup() -> None:
    assert charts.plain("<b>&") == "&lt;b&gt;&amp;"
    layers = (LayerTime("n", "Conv", "<script>", "int8", 1.0, 1.0),)
    found = charts.treemap(layers)
    assert found is not None
    assert found.figure["data"][0]["labels"] == ["&lt;script&gt;"]
    assert evaluation(10).metrics


class TestTraining:
    POINTS = (CurvePoint(0, None, 0.5), CurvePoint(4, 2.0, 0.75), CurvePoint(8, 1.0, 0.625))

    def test_loss_and_metric_by_step_and_the_point_that_was_kept(self) -> None:
        curve = TrainingCurve("logits", "miou", True, self.POINTS, "distill", "logits")
        (chart,) = training.charts(replace(SHORT, training=TrainingReport((curve,))))
        drawn = {trace["name"]: (trace["x"], trace["y"]) for trace in chart.figure["data"]}
        assert drawn == {"loss": ([4, 8], [2.0, 1.0]), "miou": ([0, 4, 8], [0.5, 0.75, 0.625]), "kept": ([4], [0.75])}
        assert chart.title == "distill: logits"
        assert "miou 0.7500 at step 4, from 0.5000" in chart.note
        lower = replace(curve, higher=False)
        assert lower.best == self.POINTS[0]

    def test_without_validation_the_last_weights_are_said_to_be_kept(self) -> None:
        curve = TrainingCurve(
            "control", None, True, tuple(replace(p, metric=None) for p in self.POINTS), "quantize", "qat"
        )
        (chart,) = training.charts(replace(SHORT, training=TrainingReport((curve,))))
        assert [trace["name"] for trace in chart.figure["data"]] == ["loss"]
        assert chart.title == "quantize: qat, control"
        assert "nothing was validated" in chart.note
        assert training.charts(replace(SHORT, training=None)) == []
