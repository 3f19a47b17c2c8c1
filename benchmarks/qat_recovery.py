"""How much of what INT8 costs quantization-aware training wins back, on CamVid.

    CAMVID=/data/camvid python benchmarks/qat_recovery.py --json > benchmarks/results/qat_recovery.json

One scale per weight tensor is what the depthwise convolutions of MobileNetV2 bear worst (Krishnamoorthi, "Quantizing
deep convolutional networks for efficient inference", 2018, section 3.1).  Training frames are random crops of the split
"train"; every number is the mIoU on the split "val" of an engine of ONNX Runtime.  The recovered share is (QAT - PTQ) /
(control - PTQ), where the control is the FP32 network trained for as many steps on the same frames.  Killed, it
continues when it is started again with the same options.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgekit import evaluation
from edgekit.core.reports import Metric
from edgekit.core.spec import Spec
from edgekit.core.specfile import read_spec
from edgekit.engine import ort
from edgekit.model import export, load
from edgekit.preprocess import Preprocess
from edgekit.profiling import machine
from edgekit.quantize import ptq, qat
from edgekit.technique import Job
from edgekit.training import TrainingConfig, of_task

PROJECT = Path(__file__).parents[1] / "examples" / "camvid"
CROP = (192, 256)


@dataclass(frozen=True)
class Feeds:
    """Preprocessed frames of a split."""

    preprocess: Preprocess
    frames: Any

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Any:
        return (self.preprocess(sample.images).feeds for sample in self.frames)


@dataclass(frozen=True)
class Crops:
    """Random crops, half of them mirrored; NumPy's global generator draws them, which training seeds."""

    preprocess: Preprocess
    frames: Any

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        sample = self.frames[index]
        image, mask = self.preprocess(sample.images).feeds["image"], sample.truth
        y, x = (np.random.randint(0, size - crop + 1) for size, crop in zip(mask.shape, CROP, strict=True))
        image, mask = image[..., y : y + CROP[0], x : x + CROP[1]], mask[y : y + CROP[0], x : x + CROP[1]]
        if np.random.random() < 0.5:
            image, mask = image[..., ::-1], mask[:, ::-1]
        return {"image": np.ascontiguousarray(image)}, np.ascontiguousarray(mask)


class Bench:
    """mIoU on the validation frames."""

    metric = Metric("miou", higher=True)
    target = "cpu"

    def __init__(self, spec: Spec, frames: Any) -> None:
        self.preprocess, self.task, self.frames = Preprocess(spec.preprocess), spec.task.create(), frames

    def control_accuracy(self) -> float:
        raise NotImplementedError("nothing here is chosen by its drop")

    def accuracy(self, model: bytes) -> float:
        with tempfile.TemporaryDirectory() as folder:
            source, engine = Path(folder) / "typed.onnx", Path(folder) / f"engine{ort.Backend.suffix}"
            source.write_bytes(model)
            ort.Backend(ort.Config(engine="ort")).build(source, engine)
            with ort.Backend(ort.Config(engine="ort")).engine(engine) as opened:
                found = evaluation.evaluate({"it": opened}, self.preprocess, self.task, self.frames)["it"]
        return found["miou"]

    def latency(self, models: Any) -> Any:
        raise NotImplementedError("this benchmark is about accuracy")

    def size_mib(self, model: bytes) -> float:
        return len(model) / 2**20


def network(spec: Spec) -> Any:
    return load.load_model(spec.model).module


def exported(spec: Spec, module: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        export.export(replace(load.load_model(spec.model), module=module), Path(folder) / "fp32.onnx")
        return (Path(folder) / "fp32.onnx").read_bytes()


def measure(args: argparse.Namespace, bits: int) -> dict[str, Any]:
    spec = read_spec(PROJECT / "edgekit.yaml")
    preprocess, calibration = Preprocess(spec.preprocess), spec.data.calibration
    splits = {
        name: calibration.model_copy(update={"split": split, "limit": limit}).open()
        for name, split, limit in (("calibration", "train", 64), ("train", "train", None), ("val", "val", args.frames))
    }
    scratch = args.scratch / f"{bits}-bits"
    scratch.mkdir(parents=True, exist_ok=True)
    source = scratch / "fp32.onnx"
    source.write_bytes(exported(spec, network(spec)))
    job = Job(
        source=source,
        frames=Feeds(preprocess, splits["calibration"]),
        network=partial(network, spec),
        export=partial(exported, spec),
        examples=Crops(preprocess, splits["train"]),
        loss=of_task(spec.task),
        bench=Bench(spec, splits["val"]),
        scratch=scratch,
    )
    config = qat.Config(
        ptq=ptq.Config(weights="per-tensor", weight_bits=bits),
        loss=args.loss,
        logits=("logits",) if args.loss == "teacher" else (),
        training=TrainingConfig(
            steps=args.steps, batch=args.batch, learning_rate=args.rate, warmup=args.steps // 20, ema=0.99,
            precision="bf16", channels_last=True, validate_every=args.steps // 4, checkpoint_every=20, device="cpu",
        ),
    )  # fmt: skip
    start = time.monotonic()
    record = qat.apply(job, config).record["qat"]
    gap = record["control"]["fp32"] - record["ptq"]
    return {
        "weights": f"int{bits} per tensor",
        "fp32": record["fp32"],
        "ptq": record["ptq"],
        "qat": record["qat"],
        "control_fp32": record["control"]["fp32"],
        "control_ptq": record["control"]["ptq"],
        "recovered_share": (record["qat"] - record["ptq"]) / gap,
        "grid_error": record["grid_error"],
        "history": record["history"],
        "control_history": record["control"]["history"],
        "config": config.model_dump(mode="json"),
        "seconds": round(time.monotonic() - start, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rate", type=float, default=5e-4, help="learning rate")
    parser.add_argument("--bits", type=int, choices=(8, 4), nargs="+", default=(8, 4), help="of the weights")
    parser.add_argument("--loss", choices=("task", "teacher"), default="teacher")
    parser.add_argument("--frames", type=int, default=None, help="validation frames, evenly spread")
    parser.add_argument("--scratch", type=Path, default=PROJECT / ".edgekit" / "qat_recovery", help="checkpoints")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    runs = [measure(args, bits) for bits in args.bits]
    if args.json:
        result = {"metric": "miou", "split": "val", "crop": CROP, "runs": runs, "machine": asdict(machine())}
        print(json.dumps(result, indent=2))
        return
    for run in runs:
        print("{weights}: FP32 {fp32:.4f}, PTQ {ptq:.4f}, QAT {qat:.4f}, control {control_fp32:.4f}".format(**run))
        print("recovered {recovered_share:.0%} of what PTQ loses".format(**run))


if __name__ == "__main__":
    main()
