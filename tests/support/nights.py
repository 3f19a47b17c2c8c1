"""Reports of made-up nights, to be recorded."""

from __future__ import annotations

from dataclasses import replace

from edgekit.core.reports import (
    ControlProfile,
    Difference,
    EvaluateReport,
    GateReport,
    Interval,
    KpiLimit,
    KpiResult,
    Latency,
    MachineReport,
    Metric,
    PowerReport,
    ProfileReport,
    Series,
    Settings,
    Slice,
)

METRICS = (Metric("miou", True), Metric("iou/traffic light (red)", True))
BUNDLE = "camvid-seg-cpu@0123"


def evaluation(miou: float = 0.7, data: str = "d1") -> EvaluateReport:
    return EvaluateReport(
        bundle=BUNDLE,
        engine="engines/int8.onnx",
        dataset="camvid:1",
        frames=10,
        metrics={"miou": miou, "iou/traffic light (red)": 0.5},
        control={"miou": 0.71},
        intervals={"miou": Interval(miou - 0.02, miou + 0.02), "iou/traffic light (red)": Interval(0.4, None)},
        differences={"miou": Difference(miou - 0.71, -0.02, 0.001, 0.2, 0.4)},
        slices=(Slice("weather", "fog", 3, {"miou": miou - 0.1}, None),),
        dataset_hash=data,
        preprocess_hash="p",
    )


def profile(p50: float = 10.0, cpu: str = "one") -> ProfileReport:
    latency = Latency(p50, p50 + 1, p50 + 2, p50 + 0.1, 200, intervals={"p50": Interval(p50 - 0.1, p50 + 0.1)})
    return ProfileReport(
        bundle=BUNDLE,
        engine="engines/int8.onnx",
        latency_ms=latency,
        stages_ms={"pre": latency, "infer": latency, "total": latency},
        memory_mib={"peak_rss": 100.0, "engine": 40.0, "pss": 90.0},
        size_mib=3.0,
        control=ControlProfile("engines/fp32.onnx", replace(latency, p50=20.0)),
        speedup_p50=2.0,
        power=PowerReport(mean_w=7.5),
        times_ms={"engines/int8.onnx": (p50, p50 + 0.5)},
        settings=Settings(queries=200),
        machine=MachineReport(system="Linux", cpu=cpu, cpus=2, load_average_1min=p50),
    )


def gate(verdict: str = "pass") -> GateReport:
    kpi = KpiResult("miou", 0.7, KpiLimit("min", 0.6), 0.1, "", "pass", Interval(0.68, 0.72))
    return GateReport(BUNDLE, "cpu", verdict, (kpi,))  # type: ignore[arg-type]


def series(values: list[float], higher: bool | None = True, metric: str = "miou") -> Series:
    n = len(values)
    days = tuple(86_400_000 * i for i in range(n))
    none = (None,) * n
    return Series(metric, "cpu", days, tuple(values), none, none, tuple(f"r{i}" for i in range(n)), ("",) * n, higher)
