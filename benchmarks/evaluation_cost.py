"""What metrics cost in an evaluation, beside the inference they wait for, and whether memory grows with the frames.

    python benchmarks/evaluation_cost.py --frames 10000 --engine-ms 13 --control-ms 27

Frames are made for the purpose: segmentation of 12 classes at 360x480, and detection of about 20 boxes in 5 classes;
in 8 conditions and 100 sequences, so that slices and clusters are there too.  The engines sleep for the time that is
given, so the machine's load does not change it.  Metric code is update, compute, bootstrap, slices and worst frames;
argmax and boxes of the model's outputs are post-processing, and not part of it.  ``share`` is the metric code's share
of the whole time; on a machine that others use too, judge by ``cpu_share``: the processor time of the metric code, of
it and the time that the engines are told to take.  Each case runs in a process of its own; ``peak_rss_growth_mib`` is
from the small run's peak to the large one's, ``measured_peak_rss_mib`` the peak before the statistics.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of more, those that wait would count as processor time

import numpy as np

from edgekit import evaluation
from edgekit.core.predictions import Detections, Geometry, LabelMap, Objects
from edgekit.core.tensors import Array, Arrays
from edgekit.data import Dataset, Sample
from edgekit.preprocess import Prepared, place
from edgekit.tasks import Accumulator, Task
from edgekit.tasks.detection import Config as DetectionConfig
from edgekit.tasks.segmentation import Config as SegmentationConfig

SIZE, CLASSES, OBJECTS = (360, 480), 12, 5
LIMIT = 0.05
KINDS = ("segmentation", "detection")


class Timed(Accumulator):
    """Another accumulator, and the time that is spent in it: of the clock, and of the processor."""

    def __init__(self, inner: Accumulator, spent: list[float]) -> None:
        self.inner, self.spent = inner, spent

    def __len__(self) -> int:
        return len(self.inner)

    def update(self, prediction: Any, truth: Any, sample_id: str) -> None:
        start, cpu = time.perf_counter(), time.process_time()
        self.inner.update(prediction, truth, sample_id)
        self.spent[0] += time.perf_counter() - start
        self.spent[1] += time.process_time() - cpu

    def compute(self, weights: Array | None = None) -> dict[str, float]:
        return self.inner.compute(weights)

    def compute_many(self, weights: Array, names: Collection[str] | None = None) -> dict[str, Array]:
        return self.inner.compute_many(weights, names)

    def alone(self, name: str) -> Array:
        return self.inner.alone(name)


def timed(task: Task, predictions: list[list[Any]], spent: list[float]) -> Task:
    """The task with a clock in its accumulators; outputs say which frame is decoded, and of which engine.

    Scores are the frame's own, or many were equal.
    """
    inner, sure = task.accumulator, np.random.default_rng(1)

    def decode(outputs: Arrays, geometry: Geometry) -> Any:
        own = predictions[int(outputs["engine"])]
        made = own[int(outputs["which"]) % len(own)]
        if isinstance(made, Detections):
            return replace(made, scores=made.scores * sure.uniform(0.8, 1, len(made)).astype(np.float32))
        return made

    task.accumulator = lambda: Timed(inner(), spent)  # type: ignore[method-assign]
    task.decode = decode  # type: ignore[method-assign]
    task.flicker = lambda before, after: {}  # type: ignore[method-assign]
    return task


class Sleeper:
    """An engine that takes a fixed time."""

    def __init__(self, ms: float, place: int) -> None:
        self.seconds, self.place = ms / 1e3, np.array(place)

    def infer(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        time.sleep(self.seconds)
        return {"which": feeds["which"], "engine": self.place}


class Frames(Dataset):
    def __init__(self, truths: list[Any], count: int) -> None:
        self.truths, self.count = truths, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        metadata = {"weather": f"w{index % 8}", "sequence": f"s{index * 100 // self.count:03}"}
        return Sample(f"f{index:06}", {"which": np.array(index)}, self.truths[index % len(self.truths)], metadata)

    def fingerprint(self) -> str:
        return "0" * 64


def prepared(images: Mapping[str, Array]) -> Prepared:
    return Prepared(dict(images), place(SIZE, SIZE, "stretch"))


def masks(rng: np.random.Generator) -> tuple[Array, list[LabelMap]]:
    """A street of blocks, and two predictions with a tenth of the pixels wrong."""
    truth = np.kron(rng.integers(0, CLASSES, (12, 16)), np.ones((30, 30))).astype(np.uint8)
    wrong = [np.where(rng.random(SIZE) < 0.1, rng.integers(0, CLASSES, SIZE), truth) for _ in range(2)]
    return truth, [LabelMap(labels.astype(np.uint8)) for labels in wrong]


def boxes(rng: np.random.Generator) -> tuple[Objects, list[Detections]]:
    """Ten objects; two predictions that see most of them, and ten things that are not there."""
    corners, labels = rng.uniform(0, 400, (20, 2)), rng.integers(0, OBJECTS, 20)
    every = np.concatenate([corners, corners + np.exp(rng.uniform(2.5, 5, (20, 2)))], axis=1).astype(np.float32)
    true = every[:10]
    sizes = (true[:, 2] - true[:, 0]) * (true[:, 3] - true[:, 1])
    truth = Objects(true, labels[:10], np.zeros(10, bool), sizes)
    found = []
    for _ in range(2):
        near = every + rng.normal(0, 2, every.shape).astype(np.float32)
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        found.append(Detections(near, rng.beta(2, 2, 20).astype(np.float32), labels))
    return truth, found


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(kind: str, frames: int, engine_ms: float, control_ms: float, how: evaluation.Resampling) -> dict[str, float]:
    """One evaluation with its report."""
    rng, spent = np.random.default_rng(0), [0.0, 0.0]
    make: Callable[[np.random.Generator], tuple[Any, list[Any]]] = masks if kind == "segmentation" else boxes
    cases = [make(rng) for _ in range(32)]
    predictions = [[found[which] for _, found in cases] for which in range(2)]
    if kind == "segmentation":
        task: Task = SegmentationConfig(output="logits", classes=tuple(f"c{i}" for i in range(CLASSES))).create()
    else:
        names = tuple(f"c{i}" for i in range(OBJECTS))
        task = DetectionConfig(output="out", classes=names, family="yolox").create()
    engines: Any = {"candidate": Sleeper(engine_ms, 0), "control": Sleeper(control_ms, 1)}
    start = time.perf_counter()
    done = evaluation.measure(
        engines, prepared, timed(task, predictions, spent), Frames([truth for truth, _ in cases], frames)
    )
    measured, cpu = time.perf_counter(), time.process_time()
    kept = peak_mib()
    report = evaluation.report(done, "candidate", bundle="none", dataset="synthetic", resampling=how)
    end, cpu = time.perf_counter(), time.process_time() - cpu
    inference = frames * (engine_ms + control_ms) / 1e3
    return {
        "seconds": end - start,
        "update_s": spent[0],
        "update_cpu_s": spent[1],
        "statistics_s": end - measured,
        "statistics_cpu_s": cpu,
        "share": (spent[0] + end - measured) / (end - start),
        "cpu_share": (spent[1] + cpu) / (inference + spent[1] + cpu),
        "slices": len(report.slices),
        "measured_peak_rss_mib": kept,
        "peak_rss_mib": peak_mib(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--few", type=int, default=1_000, help="frames of the run that memory is compared with")
    parser.add_argument("--engine-ms", type=float, default=13.0)
    parser.add_argument("--control-ms", type=float, default=27.0)
    parser.add_argument("--unit", default="frame", help="what is drawn: frame costs the most")
    parser.add_argument("--resamples", type=int, help="default: the number for so many frames")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    args = parser.parse_args()
    how = evaluation.Resampling(args.unit, args.resamples)
    result: dict[str, Any] = {
        "resamples": args.resamples,
        "frames": args.frames,
        "few": args.few,
        "unit": args.unit,
        "limit_share": LIMIT,
    }
    for kind in args.kinds:
        rows = []
        for frames in (args.few, args.frames):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                rows.append(pool.apply(run, (kind, frames, args.engine_ms, args.control_ms, how)))
        growth = rows[1]["peak_rss_mib"] - rows[0]["peak_rss_mib"]
        result[kind] = {"few": rows[0], "many": rows[1], "peak_rss_growth_mib": growth}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
