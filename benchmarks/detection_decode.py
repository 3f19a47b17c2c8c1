"""Decoding and suppression of a detector's outputs at one thread, drawing, and the letterbox round trip.

    python benchmarks/detection_decode.py --json

Heads are made for the purpose: 8,400 candidates (640x640, strides 8, 16, 32) and 80 classes with 30
objects, each seen by the cells around its centre, over a background of low scores.  ``pairs`` counts the
candidates and classes that reach the threshold, before the 1,000 surest go into the suppression.
``cpu`` is the time of the thread alone, which other programs on the machine disturb less.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict

import numpy as np

from edgekit.core.predictions import Detections, Geometry, Objects
from edgekit.core.tensors import Array
from edgekit.preprocess import place
from edgekit.profiling import machine
from edgekit.tasks.detection import Config, Detection
from edgekit.tasks.detection.families import FAMILIES, points

SIZE, ORIGINAL = (640, 640), (720, 1280)
CLASSES = tuple(f"class {i}" for i in range(80))
FAMILY_NAMES = ("yolox", "yolox-decoded", "yolov8", "yolov8-decoded")
THRESHOLDS = (0.01, 0.001)
LIMITS_MS = {"decode": 3.0, "draw": 5.0}


def scene(rng: np.random.Generator, objects: int) -> tuple[Array, Array, Array]:
    """Centre and size of the box in pixels ``(N, 4)``, objectness ``(N,)``, class scores ``(N, 80)``."""
    cells = points(SIZE, FAMILIES["yolox"])
    count = len(cells)
    boxes = np.concatenate([cells[:, :2], np.repeat(cells[:, 2:3] * 4, 2, axis=1)], axis=1)
    boxes += rng.normal(0, 1, boxes.shape) * cells[:, 2:3]
    boxes[:, 2:] = np.maximum(boxes[:, 2:], cells[:, 2:3])
    objectness = np.exp(rng.normal(-8, 1.5, count))
    scores = np.exp(rng.normal(-7, 1.5, (count, len(CLASSES))))
    for _ in range(objects):
        centre, size, label = rng.uniform(20, 620, 2), np.exp(rng.uniform(2.5, 5.5, 2)), rng.integers(len(CLASSES))
        far = np.abs(cells[:, :2] - centre).max(axis=1)
        near = (far < 2.5 * cells[:, 2]) & (cells[:, 2] * 8 > size.max() / 2) & (cells[:, 2] < size.max())
        boxes[near] = [*centre, *size] + rng.normal(0, 0.06, (near.sum(), 4)) * np.tile(size, 2)
        objectness[near] = np.maximum(objectness[near], rng.beta(1, 2, near.sum()))
        scores[near, label] = rng.beta(5, 2, near.sum())
    return boxes.astype(np.float32), np.minimum(objectness, 1), np.minimum(scores, 1).astype(np.float32)


def head(family: str, rng: np.random.Generator) -> Array:
    """What a model of the family gives for a scene."""
    boxes, objectness, scores = scene(rng, 30)
    cells = points(SIZE, FAMILIES["yolox"])
    stride = cells[:, 2:3]
    boxes[:, 2:] = np.maximum(boxes[:, 2:], 2)
    if family == "yolox":
        boxes = np.concatenate([(boxes[:, :2] - cells[:, :2]) / stride + 0.5, np.log(boxes[:, 2:] / stride)], axis=1)
    if family.startswith("yolox"):
        return np.concatenate([boxes, objectness[:, None], scores], axis=1, dtype=np.float32)[None]
    scores = np.clip(scores * objectness[:, None], 1e-9, 1 - 1e-6)
    if family == "yolov8":
        scores = np.log(scores / (1 - scores))
        halves = boxes[:, 2:] / 2
        offset = boxes[:, :2] - cells[:, :2]
        sides = np.concatenate([halves - offset, halves + offset], axis=1) / stride
        boxes = (-np.abs(np.arange(16) - sides.clip(0, 15)[..., None]) * 3).reshape(len(boxes), -1)
    return np.ascontiguousarray(np.concatenate([boxes, scores], axis=1, dtype=np.float32).T)[None]


def timed(call: Callable[[int], object], runs: int) -> dict[str, float]:
    for i in range(20):
        call(i)
    times, busy = [], []
    for i in range(runs):
        start, cpu = time.perf_counter(), time.thread_time()
        call(i)
        busy.append((time.thread_time() - cpu) * 1e3)
        times.append((time.perf_counter() - start) * 1e3)
    p50, p99 = np.percentile(times, (50, 99)).round(3).tolist()
    cpu50, cpu99 = np.percentile(busy, (50, 99)).round(3).tolist()
    return {"p50_ms": p50, "p99_ms": p99, "cpu_p50_ms": cpu50, "cpu_p99_ms": cpu99, "runs": runs}


def task(family: str, threshold: float) -> Detection:
    return Config(output="output", classes=CLASSES, family=family, score_threshold=threshold).create()


def decoding(runs: int) -> list[dict[str, object]]:
    geometry = place(ORIGINAL, SIZE, "letterbox")
    rows: list[dict[str, object]] = []
    for family in FAMILY_NAMES:
        frames = [{"output": head(family, np.random.default_rng(seed))} for seed in range(20)]
        for threshold in THRESHOLDS:
            made = task(family, threshold)
            pairs = [len(made.head.best(frame, SIZE, threshold, 1 << 30).scores) for frame in frames]
            found = [len(made.decode(frame, geometry)) for frame in frames]
            row = {"family": family, "threshold": threshold, "pairs": round(float(np.mean(pairs)))}
            row |= {"detections": round(float(np.mean(found)))}
            rows.append(row | timed(lambda i, m=made, f=frames: m.decode(f[i % 20], geometry), runs))
    return rows


def drawing(runs: int) -> dict[str, float]:
    """720p with 20 boxes, the prediction alone."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*ORIGINAL, 3), np.uint8)
    corners = rng.uniform(0, (1000, 500), (20, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(20, 200, (20, 2))], axis=1).astype(np.float32)
    found = Detections(boxes, rng.uniform(0.4, 1, 20).astype(np.float32), rng.integers(0, 80, 20))
    made = task("yolox", 0.01)
    return timed(lambda i: made.draw(image, found), runs)


def round_trip(cases: int) -> float:
    """Largest error in pixels of boxes that go into a letterboxed input and come back."""
    rng, worst = np.random.default_rng(0), 0.0
    for _ in range(cases):
        original, tensor = tuple(rng.integers(30, 2000, 2).tolist()), tuple((rng.integers(1, 30, 2) * 32).tolist())
        mode = str(rng.choice(["letterbox", "letterbox-topleft", "stretch"]))
        geometry = place(original, tensor, mode)
        low = rng.uniform(0, 0.9, 2)
        corners = np.concatenate([low, rng.uniform(low + 0.05, 1)]) * [*original[::-1], *original[::-1]]
        truth = Objects(corners[None].astype(np.float32), np.zeros(1, np.int64), np.zeros(1, bool), np.ones(1, "f4"))
        worst = max(worst, float(np.abs(returned(truth, geometry) - truth.boxes).max()))
    return worst


def returned(truth: Objects, geometry: Geometry) -> Array:
    top, left, rows, columns = geometry.content
    height, width = geometry.original
    box = truth.boxes[0] * np.tile([columns / width, rows / height], 2) + [left, top, left, top]
    row = np.array([[*box, 1, 0]], np.float32)[None]
    made = Config(output="output", classes=("object",), family="end2end").create()
    return np.asarray(made.decode({"output": row}, geometry).boxes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    import cv2

    cv2.setNumThreads(1)
    rows, drawn = decoding(args.runs), drawing(args.runs)
    result = {
        "limits_ms": LIMITS_MS,
        "decode": rows,
        "draw_720p_20_boxes": drawn,
        "letterbox_round_trip_worst_px": round_trip(1000),
        "machine": asdict(machine()),
    }
    if args.json:
        print(json.dumps(result, indent=2))
        return
    form = "{what:44} p50 {p50_ms:.2f} ms  p99 {p99_ms:.2f} ms  (cpu {cpu_p50_ms:.2f}, {cpu_p99_ms:.2f})"
    for row in rows:
        what = "{family:16} threshold {threshold:<6} {pairs:6} pairs".format(**row)
        print(form.format(what=what, **row))
    print(form.format(what="draw 720p, 20 boxes", **drawn))
    print(f"letterbox round trip: worst error {result['letterbox_round_trip_worst_px']:.2g} px")


if __name__ == "__main__":
    main()
