"""What each repair of post-training quantization gives back: of a metric, and of the outputs' signal to noise.

CAMVID=/data/camvid python benchmarks/repair_ablation.py examples/camvid
python benchmarks/repair_ablation.py examples/mobilenet_v2 --metric top1 --weights per-channel \
    --repairs nothing equalize bias both --output mobilenet.json

The first is on CamVid's validation split, the second on the evaluation frames, which have no splits.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.core.specfile import read_spec
from edgekit.core.tensors import Arrays
from edgekit.data import Dataset
from edgekit.engine import ort
from edgekit.evaluation import evaluate
from edgekit.preprocess import Preprocess
from edgekit.profiling import machine
from edgekit.quantize import ptq
from edgekit.technique import Job

RESULTS = Path(__file__).parent / "results" / "repair_ablation.json"
REPAIRS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "equalize": {"equalize": True},
    "bias": {"bias_correction": True},
    "both": {"equalize": True, "bias_correction": True},
    "adaround": {"rounding": "adaround"},
    "all": {"equalize": True, "bias_correction": True, "rounding": "adaround"},
}
ENGINE = ort.Config(engine="ort")


class Feeds:
    """Calibration frames, kept in memory: every contender reads them several times."""

    def __init__(self, feeds: list[Arrays]) -> None:
        self.feeds = feeds

    def __len__(self) -> int:
        return len(self.feeds)

    def __iter__(self) -> Iterator[Arrays]:
        return iter(self.feeds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("project", type=Path, help="folder with edgekit.yaml on which edgekit compress has run")
    parser.add_argument("--frames", type=int, default=64, help="of calibration")
    parser.add_argument("--bits", type=int, default=8, choices=(8, 4), help="of the weights")
    parser.add_argument("--calibrator", default="percentile")
    parser.add_argument("--metric", default="miou")
    parser.add_argument("--weights", nargs="+", default=["per-channel", "per-tensor"])
    parser.add_argument("--repairs", nargs="+", default=list(REPAIRS), choices=list(REPAIRS))
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    (source,) = args.project.glob("artifacts/*-compressed/fp32.onnx")
    spec = read_spec(args.project / "edgekit.yaml")
    preprocess = Preprocess(spec.preprocess)
    calibration = spec.data.calibration.model_copy(update={"limit": args.frames}).open()
    job = Job(source, Feeds([preprocess(sample.images).feeds for sample in calibration]))
    rows = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        engines = {"fp32": stack.enter_context(opened(source.read_bytes(), Path(folder), "fp32"))}
        for weights in args.weights:
            for name in args.repairs:
                keys = {"weights": weights, "weight_bits": args.bits, "calibrator": args.calibrator, **REPAIRS[name]}
                start = time.monotonic()
                made = ptq.apply(job, ptq.Config.model_validate({"method": "ptq", **keys}))
                seconds = round(time.monotonic() - start, 1)
                rows.append({"weights": weights, "repair": name, "seconds": seconds, "record": made.record["repairs"]})
                engines[f"{weights} {name}"] = stack.enter_context(opened(made.model, Path(folder), str(len(rows))))
                print(f"{weights} {name}: {seconds} s", flush=True)
        data = spec.data.evaluation
        validation = (data.model_copy(update={"split": "val"}) if data.format == "camvid" else data).open()
        metrics = evaluate(engines, preprocess, spec.task.create(), validation)
        noise = signal_to_noise(engines, preprocess, validation)
    reference = metrics["fp32"][args.metric]
    for row in rows:
        name = f"{row['weights']} {row['repair']}"
        row[args.metric], row["sqnr_db"] = metrics[name][args.metric], noise[name]
        row["drop"] = reference - row[args.metric]
    document = {
        "machine": asdict(machine()),
        "model": source.name,
        "calibration_frames": args.frames,
        "calibrator": args.calibrator,
        "weight_bits": args.bits,
        "evaluation_frames": len(validation),
        f"fp32_{args.metric}": reference,
        "rows": rows,
    }
    args.output.write_text(json.dumps(document, indent=2) + "\n")
    print(f"FP32 {args.metric} {reference:.4f}; drop in percentage points\n")
    print(table(rows, args.repairs, "drop", 100))
    print(f"\nsignal to noise of the outputs, dB\n\n{table(rows, args.repairs, 'sqnr_db', 1)}")


def signal_to_noise(engines: Mapping[str, ort.OrtEngine], preprocess: Preprocess, frames: Dataset) -> dict[str, float]:
    """Of all outputs of each engine against those of ``fp32``, over all frames, in dB."""
    signal, noise = 0.0, dict.fromkeys(engines, 0.0)
    for index in range(len(frames)):
        feeds = preprocess(frames[index].images).feeds
        expected = engines["fp32"].infer(feeds)
        signal += sum(float(np.square(array, dtype=np.float64).sum()) for array in expected.values())
        for name, engine in engines.items():
            found = engine.infer(feeds)
            noise[name] += sum(float(np.square(found[key] - expected[key]).sum()) for key in expected)
    return {name: round(10 * math.log10(signal / made), 2) for name, made in noise.items() if name != "fp32"}


def opened(model: bytes, folder: Path, name: str) -> ort.OrtEngine:
    """The model as the engine that a target runs."""
    source, target = folder / f"{name}.onnx", folder / f"{name}{ort.Backend.suffix}"
    source.write_bytes(model)
    ort.Backend(ENGINE).build(source, target)
    return ort.Backend(ENGINE).engine(target)


def table(rows: list[dict[str, Any]], repairs: list[str], key: str, times: float) -> str:
    """One number of each row, Markdown."""
    lines = [f"| weights | {' | '.join(repairs)} |", "|---" * (len(repairs) + 1) + "|"]
    for weights in dict.fromkeys(row["weights"] for row in rows):
        numbers = [f"{times * row[key]:.2f}" for row in rows if row["weights"] == weights]
        lines.append(f"| {weights} | {' | '.join(numbers)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
