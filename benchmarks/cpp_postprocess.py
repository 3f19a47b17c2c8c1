"""What decoding takes in C++ and in Python: the same outputs, one thread, in turn.

    cmake -S cpp --preset bench && cmake --build build/cpp/bench --target bench_postprocess
    python benchmarks/cpp_postprocess.py [PROGRAM] [--rounds N]

Prints JSON: processor milliseconds a frame, median of the rounds, of both, and their quotient.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgekit.core.predictions import Geometry
from edgekit.core.tensors import Array
from edgekit.tasks import Task
from edgekit.tasks.detection import Config as Detection
from edgekit.tasks.segmentation import Segmentation

PROGRAM = Path(__file__).resolve().parents[1] / "build" / "cpp" / "bench" / "bench" / "bench_postprocess"


def waves(height: int, width: int) -> Array:
    """As in cpp/bench/postprocess_bench.cpp: smooth scores of 11 classes."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    lengths = [(20 + 3 * i) * height / 180 for i in range(11)]
    planes = [4 * np.sin(x / length + i) * np.cos(y / length) for i, length in enumerate(lengths)]
    return np.stack(planes).astype(np.float32)[None]


def noise(count: int) -> Array:
    state, made = 1, np.empty(count, np.float32)
    for i in range(count):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        made[i] = (state >> 8) / 16777216
    return made


def head(power: float) -> Array:
    values = noise(3549 * 85).reshape(1, 3549, 85)
    values[..., 4] **= np.float32(power)
    return values


def yolov8(low: float, period: int) -> Array:
    values = noise(8400 * 144).reshape(1, 144, 8400)
    values[:, 64:] = 16 * values[:, 64:] + np.float32(low)
    values[:, 64:, ::period] += 8
    return values


def cases() -> dict[str, tuple[Task, Array, Geometry]]:
    segmentation = Segmentation("y", [f"c{i}" for i in range(11)])
    names = [f"c{i}" for i in range(80)]
    yolox, v8 = (Detection(output="y", classes=names, family=family).create() for family in ("yolox", "yolov8"))
    frame, small = (720, 1280), (360, 480)
    whole = (0, 0, *small)
    letterbox = Geometry(frame, (416, 416), (0, 0, 234, 416))
    larger = Geometry(frame, (640, 640), (140, 0, 360, 640))
    return {
        "camvid": (segmentation, waves(360, 480), Geometry(frame, small, whole)),
        "camvid_noise": (segmentation, noise(11 * 360 * 480).reshape(1, 11, 360, 480), Geometry(frame, small, whole)),
        "camvid_quarter": (segmentation, waves(90, 120), Geometry(frame, small, whole)),
        "camvid_as_it_is": (segmentation, waves(360, 480), Geometry(small, small, whole)),
        "yolox": (yolox, head(100), letterbox),
        "yolox_all_sure": (yolox, head(1), letterbox),
        "yolov8": (v8, yolov8(-24, 84), larger),
        "yolov8_all_sure": (v8, yolov8(-26, 1), larger),
    }


def in_python(task: Task, values: Array, geometry: Geometry) -> float:
    """Processor milliseconds of one frame, the median of nine."""
    times = []
    for _ in range(9):
        start = time.thread_time()
        task.decode({"y": values}, geometry)
        times.append((time.thread_time() - start) * 1e3)
    return statistics.median(times)


def in_cpp(program: Path, name: str) -> float:
    """Processor milliseconds of one frame."""
    command = [str(program), f"--benchmark_filter=^{name}$", "--benchmark_format=json", "--benchmark_min_time=0.1"]
    found: Any = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return float(found["benchmarks"][0]["cpu_time"]) / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("program", nargs="?", type=Path, default=PROGRAM)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    report = {}
    for name, (task, values, geometry) in cases().items():
        pairs = [(in_cpp(options.program, name), in_python(task, values, geometry)) for _ in range(options.rounds)]
        cpp, python = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratio = statistics.median(other / own for own, other in pairs)
        report[name] = {"cpp_ms": round(cpp, 3), "python_ms": round(python, 3), "python_over_cpp": round(ratio, 2)}
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
