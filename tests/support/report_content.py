"""The content of a report of a long run, made from data classes with realistic numbers."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from edgekit.core.reports import (
    Agreement,
    Bootstrap,
    ChangePoint,
    CompressReport,
    ControlChart,
    ControlProfile,
    CurvePoint,
    Difference,
    EvaluateReport,
    GateReport,
    Interval,
    KpiLimit,
    KpiResult,
    Latency,
    LayerParity,
    LayersReport,
    LayerTime,
    LeakReport,
    MachineReport,
    Metric,
    OutputParity,
    PowerReport,
    ProfileReport,
    Rung,
    Series,
    Settings,
    Slice,
    TrainingCurve,
    TrainingReport,
    VerifyReport,
    WorstFrame,
)
from edgekit.reporting import Content, Picture, Proof

BUNDLE = "camvid-seg-orin-agx@3f9c1b20a7de"
CANDIDATE, CONTROL = "engines/int8.onnx", "engines/fp32.onnx"
METRICS = (Metric("miou", True), Metric("pixel_accuracy", True), Metric("flicker", False))
CLASSES = ("road", "car", "pedestrian", "cyclist", "sky", "building", "tree", "sign", "pavement", "fence", "pole")
WEATHER = {"clear": 0.001, "rain": -0.006, "fog": -0.031, "night": -0.012}


def times(median_ms: float, queries: int, seed: int) -> np.ndarray:
    """Skewed, with a rare slow query, and a slow drift as of a chip that warms up."""
    rng = np.random.default_rng(seed)
    found = median_ms * (1 + 0.02 * rng.standard_gamma(2.0, queries) + np.linspace(-0.02, 0.02, queries))
    found[rng.random(queries) < 0.004] *= 1.6
    return found


def latency(found: np.ndarray) -> Latency:
    def at(q: float) -> float:
        return float(np.quantile(found, q))

    intervals = {
        name: Interval(at(q - w), at(min(q + w, 1)))
        for name, q, w in (("p50", 0.5, 0.014), ("p90", 0.9, 0.009), ("p99", 0.99, 0.003))
    }
    bounds = {"p90": at(0.91), "p99": at(0.994), "p999": None}
    return Latency(at(0.5), at(0.9), at(0.99), float(found.mean()), found.size, None, intervals, bounds)


def layers() -> tuple[LayerTime, ...]:
    rng = np.random.default_rng(5)
    names = [f"backbone.layer{s}.{b}.conv{c}" for s in range(1, 5) for b in range(3) for c in (1, 2)]
    names += [f"neck.lateral{i}" for i in range(3)] + ["head.fuse", "head.classify", "head.upsample"]
    ms = rng.gamma(2.0, 0.12, len(names))
    bounds = ("compute", "memory", "overhead")
    return tuple(
        LayerTime(
            f"{name.replace('.', '/')}/Conv", "QLinearConv" if k % 7 else "Resize", name, "int8", float(t),
            float(t / ms.sum()), int(2e8 * t) if k % 7 else None, int(3e6 * t), bounds[k % 3],
        )
        for k, (name, t) in enumerate(zip(names, ms, strict=True))
    )  # fmt: skip


def profile(queries: int = 5000) -> ProfileReport:
    fast, slow = times(8.1, queries, 1), times(23.4, queries, 2)
    stages = {"pre": latency(times(1.2, queries, 3)), "infer": latency(fast), "post": latency(times(0.6, queries, 4))}
    return ProfileReport(
        BUNDLE, CANDIDATE, latency(fast), stages | {"total": latency(fast + 1.8)},
        {"peak_rss": 412.0, "imports": 96.0, "engine": 316.0, "arena": 120.5}, 12.4,
        ControlProfile(CONTROL, latency(slow), 47.9, {"peak_rss": 655.0, "engine": 559.0}),
        2.89, Interval(2.87, 2.91), Interval(0.994, 1.006),
        {CANDIDATE: tuple(fast.tolist()), CONTROL: tuple(slow.tolist())},
        layers=layers(),
        leak=LeakReport(2.1, -1.1, 5.4, 0.95, 64.0, "no leak", "memory grows", 2000,
                        tuple((10 * k, 421888) for k in range(1, 201))),
        power=PowerReport(mean_w=21.4, peak_w=28.9, energy_j_per_query=0.173, throttled=False),
        settings=Settings(queries=queries, frames=16, provider="CPUExecutionProvider", threads=1),
        machine=MachineReport("Linux", "aarch64", "3.11.2", "Cortex-A78AE", 12, "schedutil", 0.4),
    )  # fmt: skip


def evaluation(frames: int = 5000) -> EvaluateReport:
    metrics = {"miou": 0.7078, "pixel_accuracy": 0.9412, "flicker": 0.0312}
    control = {"miou": 0.7199, "pixel_accuracy": 0.9439, "flicker": 0.0305}
    intervals = {"miou": Interval(0.6991, 0.7161), "pixel_accuracy": Interval(0.9399, 0.9425)}
    differences = {
        "miou": Difference(-0.0121, -0.0144, -0.0104, 0.0001, 0.0003),
        "pixel_accuracy": Difference(-0.0027, -0.0031, -0.0023, 0.0001, 0.0003),
        "flicker": Difference(0.0007, -0.0002, 0.0016, 0.14, 0.14),
    }
    for k, name in enumerate(CLASSES):
        metrics[f"iou/{name}"], control[f"iou/{name}"] = 0.5 + 0.04 * k, 0.51 + 0.04 * k
    return EvaluateReport(
        BUNDLE, CANDIDATE, "camvid:3b1f0a77c2d94e10", frames, metrics, control, intervals, differences, slices(frames),
        tuple(WorstFrame(f"0001TP_{k:06d}", 0.31 + 0.02 * k, 0.52 + 0.01 * k, 0.21 - 0.01 * k) for k in range(12)),
        Bootstrap("sequence", 41, 2000, 0.95, 0), "3b1f0a77c2d94e10", "88aa01d2f4c6e0b1",
    )  # fmt: skip


def slices(frames: int) -> tuple[Slice, ...]:
    found = []
    for k, (value, drop) in enumerate((WEATHER | {"0-20 m": -0.004, "20-60 m": -0.011, "over 60 m": -0.019}).items()):
        width = 0.004 + 0.002 * k
        found.append(
            Slice(
                "weather" if value in WEATHER else "distance", value, frames // (k + 2),
                {"miou": 0.72 + drop}, {"miou": 0.72},
                {"miou": Interval(0.72 + drop - 2 * width, 0.72 + drop + 2 * width)},
                {"miou": Difference(drop, drop - width, drop + width, 0.004, min(1.0, 0.0004 * 5 ** abs(4 - k)))},
            )
        )  # fmt: skip
    return tuple(found)


def gate() -> GateReport:
    return GateReport(
        BUNDLE, "orin-agx", "fail",
        (
            KpiResult("latency_p99_ms", 9.2, KpiLimit("max", 12.0), 2.8, "ms", "pass", Interval(9.1, 9.4)),
            KpiResult("miou", 0.7078, KpiLimit("max_drop", 0.01, control=0.7199, drop=0.0121), -0.0021,
                      "", "fail", Interval(0.0104, 0.0144)),
            KpiResult("miou", 0.7078, KpiLimit("min", 0.69), 0.0178, "", "pass", Interval(0.6991, 0.7161)),
            KpiResult("miou", 0.689, KpiLimit("min", 0.68), 0.009, "", "undecided", Interval(0.671, 0.707),
                      3100, "frames", "weather=fog", "cannot be decided with 833 frames; about 3100 are needed"),
            KpiResult("peak_memory_mib", 412.0, KpiLimit("max", 512.0), 100.0, "MiB", "pass"),
        ),
        ("latency_p50_ms",), "last-good",
    )  # fmt: skip


def compress() -> CompressReport:
    def rung(name: str, accuracy: float, ms: float, verdict: Any) -> Rung:
        return Rung(name, "int8", accuracy, 0.7199 - accuracy, Latency(ms, ms, ms, ms, 200), 23.4 / ms, 12.4, verdict)

    rungs = (rung("fp32", 0.7199, 23.4, "control"), rung("ptq minmax", 0.6650, 7.7, "rejected"),
             rung("ptq percentile", 0.7078, 8.1, "meets"), rung("mixed", 0.7150, 12.9, "rejected"))  # fmt: skip
    steps = ("fp32", "ptq percentile")
    return CompressReport("orin-agx", "miou", 0.02, "ptq percentile", rungs, waterfall=steps)


@functools.cache
def jpeg(seed: int) -> bytes:
    """Two panes side by side, as a task draws them, with the detail of a camera picture."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)
    scene = cv2.resize(coarse, (480, 360), interpolation=cv2.INTER_CUBIC)
    scene = np.clip(scene + rng.normal(0, 6, scene.shape), 0, 255).astype(np.uint8)
    picture = np.concatenate([scene, cv2.GaussianBlur(scene, (0, 0), 5)], axis=1)
    _, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return encoded.tobytes()


def history() -> tuple[ControlChart, ...]:
    """Forty nights; the latency rises with the 26th."""
    rng = np.random.default_rng(9)
    night = 86_400_000
    times_ms = tuple(1_760_000_000_000 + night * k for k in range(40))
    runs, verdicts = tuple(f"run-{k:04d}" for k in range(40)), ("pass",) * 39 + ("fail",)
    charts = []
    for metric, level, sigma, higher, unit, step in (
        ("miou", 0.71, 0.0006, True, "", 0.0), ("latency_p50_ms", 7.9, 0.03, False, "ms", 0.35),
    ):  # fmt: skip
        values = level + rng.normal(0, sigma, 40) + step * (np.arange(40) >= 26)
        ends = [tuple((values + sign * 2 * sigma).tolist()) for sign in (-1, 1)]
        series = Series(metric, "orin-agx", times_ms, tuple(values.tolist()), *ends, runs, verdicts, higher, unit)
        after = level + step
        changes = (ChangePoint(26, runs[26], times_ms[26], level, after, step, "worse", 0.999),) if step else ()
        limits = (level, level - 3 * sigma, level + 3 * sigma, sigma)
        charts.append(ControlChart(series, *limits, 0, tuple(range(26, 40)) if step else (), changes))
    return tuple(charts)


def proof() -> Proof:
    """Every layer and the second check hold; roundings that add up put one output over its limit."""
    worst = tuple(
        LayerParity(f"node_Conv_{k}_token_{k}", "QLinearConv", (f"node_Conv_{k}",), f"backbone.layer{k}.conv1", f"t{k}",
                    0.50002 - 0.001 * k, 0.55, k % 2, "pass")
        for k in range(8)
    )  # fmt: skip
    outputs = (
        OutputParity("logits", 0.41, 0.062, 0.11, 0.05, "fail", "dense", 0.062, 0.11, 0.055),
        OutputParity("kept", None, None, None, 0.05, "pass", "ranking", 0.01, 0.04, 0.1),
    )
    judge = Agreement("pixels of another class", 16, 0.00212, 0.0091, 0.0147, 0.2, "pass")
    layers = LayersReport("layers", "pass", 61, worst)
    report = VerifyReport("", "int8", 2, outputs, "pass", layers=layers, agreement=judge)
    race = (
        "int8 p50 8.100 ms, its FP32 control 23.400 ms: 2.89x [2.87, 2.91] as fast (80 queries of each in turn): faster"
    )
    return Proof(report, race=race)


PROVENANCE = {
    "digest": "3f9c1b20a7de5514c0ffee9a77e2b0d4c1a5f6e8",
    "measured at": "2026-11-21 05:12 UTC",
    "command": "edgekit report artifacts/camvid-seg-orin-agx",
    "tools": {"edgekit": "0.1.0", "onnxruntime": "1.31.1", "torch": "2.13.0"},
    "device": {"engine": "ort", "isa": "neon-dotprod"},
}


def training() -> TrainingReport:
    """A pruning that was fine-tuned, and a distillation behind it."""
    steps = range(0, 1001, 100)
    found = []
    for step, method, start in (("prune", "channels", 0.55), ("distill", "logits", 0.64)):
        points = tuple(CurvePoint(k, 2 * 0.997**k if k else None, start + 0.04 * (1 - 0.996**k)) for k in steps)
        found.append(TrainingCurve(method, "miou", True, points, step, method))
    return TrainingReport(tuple(found))


def content(frames: int = 5000, **changes: Any) -> Content:
    """A run of ``frames`` queries and frames with every section."""
    pictures = tuple(Picture(f"0001TP_{k:06d}", jpeg(k)) for k in range(12))
    made = Content(
        gate(), evaluation(frames), profile(frames), compress(), pictures, history(), PROVENANCE, METRICS, proof(),
        training(),
    )  # fmt: skip
    return replace(made, **changes)
