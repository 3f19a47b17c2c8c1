"""What each repair of post-training quantization gives back: mIoU on CamVid's validation split.

CAMVID=/data/camvid python benchmarks/repair_ablation.py examples/camvid
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgekit.core.specfile import read_spec
from edgekit.core.tensors import Arrays
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
        for weights in ("per-channel", "per-tensor"):
            for name, switches in REPAIRS.items():
                keys = {"weights": weights, "weight_bits": args.bits, "calibrator": args.calibrator, **switches}
                start = time.monotonic()
                made = ptq.apply(job, ptq.Config.model_validate({"method": "ptq", **keys}))
                seconds = round(time.monotonic() - start, 1)
                rows.append({"weights": weights, "repair": name, "seconds": seconds, "record": made.record["repairs"]})
                engines[f"{weights} {name}"] = stack.enter_context(opened(made.model, Path(folder), str(len(rows))))
                print(f"{weights} {name}: {seconds} s", flush=True)
        validation = spec.data.evaluation.model_copy(update={"split": "val"}).open()
        metrics = evaluate(engines, preprocess, spec.task.create(), validation)
    reference = metrics["fp32"]["miou"]
    for row in rows:
        row["miou"] = metrics[f"{row['weights']} {row['repair']}"]["miou"]
        row["drop"] = reference - row["miou"]
    document = {
        "machine": asdict(machine()),
        "model": source.name,
        "calibration_frames": args.frames,
        "calibrator": args.calibrator,
        "weight_bits": args.bits,
        "evaluation_frames": len(validation),
        "fp32_miou": reference,
        "rows": rows,
    }
    args.output.write_text(json.dumps(document, indent=2) + "\n")
    print(table(rows, reference))


def opened(model: bytes, folder: Path, name: str) -> ort.OrtEngine:
    """The model as the engine that a target runs."""
    source, target = folder / f"{name}.onnx", folder / f"{name}{ort.Backend.suffix}"
    source.write_bytes(model)
    ort.Backend(ENGINE).build(source, target)
    return ort.Backend(ENGINE).engine(target)


def table(rows: list[dict[str, Any]], reference: float) -> str:
    """mIoU drop in percentage points, Markdown."""
    lines = [f"FP32 mIoU {reference:.4f}; drop in percentage points", "", f"| weights | {' | '.join(REPAIRS)} |"]
    lines.append("|---" * (len(REPAIRS) + 1) + "|")
    for weights in dict.fromkeys(row["weights"] for row in rows):
        drops = [f"{100 * row['drop']:.2f}" for row in rows if row["weights"] == weights]
        lines.append(f"| {weights} | {' | '.join(drops)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
