"""What calibration costs over the bare FP32 inference of the same frames.

    python benchmarks/calibration_time.py examples/camvid --frames 64 --json

Frames are preprocessed before the clock starts, and the contenders take turns.  ``whole`` is
everything that ``ptq.apply`` does over the inference of the same frames; ``per_frame`` is the cost
of one more frame over one more inference, so session set-up, search and writing are apart.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnxruntime

from edgekit.core.specfile import read_spec
from edgekit.preprocess import Preprocess
from edgekit.profiling import machine
from edgekit.quantize import ptq
from edgekit.technique import Job

CALIBRATORS = ("minmax", "percentile", "entropy", "mse")


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(project: Path, count: int, rounds: int) -> dict[str, Any]:
    spec = read_spec(project)
    (model,) = project.glob("artifacts/*-compressed/fp32.onnx")
    dataset = spec.data.calibration.model_copy(update={"limit": count}).open()
    preprocess = Preprocess(spec.preprocess)
    frames = [preprocess(sample.images).feeds for sample in dataset]
    half = frames[: len(frames) // 2]
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])

    def infer(feeds: list[Any]) -> None:
        for feed in feeds:
            session.run(None, feed)

    def quantize(calibrator: Any, feeds: list[Any]) -> None:
        ptq.apply(Job(model, feeds), ptq.Config(calibrator=calibrator))

    infer(half)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ("bare", *CALIBRATORS)}
    for _ in range(rounds):
        times["bare"].append((seconds(lambda: infer(half)), seconds(lambda: infer(frames))))
        for name in CALIBRATORS:
            few, many = seconds(lambda n=name: quantize(n, half)), seconds(lambda n=name: quantize(n, frames))
            times[name].append((few, many))
    extra = len(frames) - len(half)
    result: dict[str, Any] = {"model": spec.name, "frames": len(frames), "rounds": rounds}
    bare = statistics.median(many for _, many in times["bare"])
    more = statistics.median(many - few for few, many in times["bare"]) / extra
    result["bare_s"] = round(bare, 3)
    for name in CALIBRATORS:
        whole = statistics.median(many for _, many in times[name])
        frame = statistics.median(many - few for few, many in times[name]) / extra
        result[name] = {
            "seconds": round(whole, 3),
            "whole": round(whole / bare, 2),
            "per_frame": round(frame / more, 2),
        }
    return result | {"machine": asdict(machine())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("project", type=Path, help="folder with edgekit.yaml on which edgekit compress has run")
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    result = measure(args.project, args.frames, args.rounds)
    if args.json:
        print(json.dumps(result, indent=2))
        return
    print(f"{result['frames']} frames, bare inference {result['bare_s']:.2f} s")
    for name in CALIBRATORS:
        print("{0}: {seconds:.2f} s, whole {whole:.2f}x, per frame {per_frame:.2f}x".format(name, **result[name]))


if __name__ == "__main__":
    main()
