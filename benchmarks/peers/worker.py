"""One measurement in a fresh process: ``python -m benchmarks.peers.worker TASK``, orders as JSON on stdin.

The result goes to the file the orders name, since the libraries measured here print to stdout.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.peers import measure, models
from benchmarks.peers.common import Frames, forget_peak, memory_mib, size_bytes, use_one_cpu
from benchmarks.peers.contenders import CONTENDERS, REFERENCES, Work
from benchmarks.peers.runtimes import open_model, open_ort

from edgekit.core.artifacts import write_json


def prepare(order: dict[str, Any]) -> dict[str, Any]:
    models.prepare(models.MODELS[order["model"]], Path(order["camvid"]), order["frames"], Path(order["folder"]))
    return {}


def quantize(order: dict[str, Any]) -> dict[str, Any]:
    """Seconds and peak memory of one contender, beside the bare FP32 inference of the same frames."""
    contender = CONTENDERS[order["contender"]]
    start = time.perf_counter()
    for module in contender.imports:
        importlib.import_module(module)
    imports_s = time.perf_counter() - start
    frames = Frames(Path(order["calibration"]))
    inference_s = _inference_s(Path(order["source"]), frames)
    resident = forget_peak()
    target = Path(order["target"])
    with tempfile.TemporaryDirectory() as scratch:
        work = Work(
            models.MODELS[order["model"]],
            Path(order["source"]),
            frames,
            target,
            Path(scratch),
            Path(order["camvid"]),
        )
        start, cpu = time.perf_counter(), time.process_time()
        contender.quantize(work)
        quantize_s, cpu_s = time.perf_counter() - start, time.process_time() - cpu
    return {
        "imports_s": imports_s,
        "fp32_inference_s": inference_s,
        "quantize_s": None if contender.reference else quantize_s,
        "quantize_cpu_s": None if contender.reference else cpu_s,
        "total_s": imports_s + quantize_s,
        "resident_before_mib": resident,
        "peak_rss_mib": memory_mib("VmHWM"),
        "size_bytes": size_bytes(target),
    }


def _inference_s(source: Path, frames: Frames) -> float:
    infer = open_ort(source)
    infer(frames[0])
    seconds = 0.0
    for feed in frames:
        start = time.perf_counter()
        infer(feed)
        seconds += time.perf_counter() - start
    return seconds


def accuracy(order: dict[str, Any]) -> dict[str, Any]:
    contender = CONTENDERS[order["contender"]]
    infer = open_model(Path(order["target"]), contender.runtime, contender.reference, contender.without)
    return dict(measure.accuracy(models.MODELS[order["model"]], Path(order["camvid"]), infer, Path(order["source"])))


def latency(order: dict[str, Any]) -> dict[str, Any]:
    """Latency of every contender of a model, and profiles of those that run in ONNX Runtime."""
    frames = Frames(Path(order["calibration"]))
    feeds = [frames[index] for index in range(min(len(frames), 8))]
    files = {name: Path(path) for name, path in order["targets"].items()}
    infers = {
        name: open_model(path, CONTENDERS[name].runtime, CONTENDERS[name].reference, CONTENDERS[name].without)
        for name, path in files.items()
    }
    clock = time.process_time if order["processor_time"] else time.perf_counter
    times = measure.interleaved(infers, feeds, order["queries"], order["warmup"], clock)
    references = {name: REFERENCES[CONTENDERS[name].runtime] for name in files}
    found: dict[str, Any] = {name: {"latency": values} for name, values in measure.latency(times, references).items()}
    infers.clear()
    with tempfile.TemporaryDirectory() as folder:
        for name, path in files.items():
            if CONTENDERS[name].runtime == "ort":
                found[name]["operators"] = measure.profiled(
                    path, feeds * 3, Path(folder) / name, CONTENDERS[name].without
                )
    return found


TASKS = {"prepare": prepare, "quantize": quantize, "accuracy": accuracy, "latency": latency}


def main() -> None:
    order = json.load(sys.stdin)
    use_one_cpu(order["cpu"])
    write_json(Path(order["result"]), TASKS[sys.argv[1]](order))


if __name__ == "__main__":
    main()
