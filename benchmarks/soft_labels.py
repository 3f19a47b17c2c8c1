"""Does a student learn as much from stored soft labels as from the live teacher, and more than from labels alone?

    CAMVID=/data/camvid python benchmarks/soft_labels.py --json > benchmarks/results/soft_labels.json

The network ``plain`` of the peers loses half of its channels and is trained for a few steps on the split "train" in
four ways that see the same frames in the same order: towards the live teacher, from soft labels of every place, from
soft labels of two by two places, and on labels alone.  Every number is the mIoU on the split "val", of paired seeds.
Nothing is chosen by it.  Soft labels are made once for all seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from edgekit.core.artifacts import sha256_file
from edgekit.data.camvid import CamVid
from edgekit.distill import logits
from edgekit.inputs.image import Config as Image
from edgekit.model.load import load_model
from edgekit.preprocess import Preprocess
from edgekit.prune import channels
from edgekit.stages.job import Feeds, LabelledFeeds
from edgekit.tasks import segmentation
from edgekit.technique import Change, Job, Own
from edgekit.training import TrainingConfig, losses, restore, supervised, train, unpacked

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.peers.models import MODELS

MODEL = MODELS["plain"]
CLASSES = tuple(f"class {i}" for i in range(11))
TASK = segmentation.Config(output="logits", classes=CLASSES, ignore_index=11)
WAYS = ("live", "stride 1", "stride 2", "labels")
SETTINGS = ("size", "ratio", "steps", "batch", "rate", "seeds", "train", "frames")
NAMES: dict[str, Any] = {"inputs": ("image",), "outputs": ("logits",)}


@dataclass(frozen=True)
class Setting:
    """A teacher, what is left of it after pruning, and the frames."""

    camvid: Path
    folder: Path
    size: tuple[int, int]
    limit: int | None

    def preprocess(self) -> Preprocess:
        """Of teacher and student."""
        return Preprocess({MODEL.input: Image.model_validate(MODEL.transform | {"resize": self.size})})

    def job(self) -> Job:
        """Of the user's network; nothing is exported, for only weights are compared."""
        preprocess = self.preprocess()
        frames = CamVid(self.camvid, "train", self.limit)
        examples = LabelledFeeds(preprocess, frames, losses.placing(TASK))
        sections = {MODEL.input: {**MODEL.transform, "resize": list(self.size)}}
        source = self.folder / "teacher.txt"
        source.write_text(MODEL.digest())

        def network() -> Any:
            found = load_model(MODEL.config()).module
            assert found is not None
            return found

        return Job(
            source, Feeds(preprocess, frames, 32), **NAMES, network=network,
            own=Own(network, source, sections, examples),
            export=lambda network, shapes=None: b"", preprocess=sections, examples=examples, seen=lambda _: examples,
            loss=losses.of_task(TASK), distance=losses.distance_of(TASK), class_scores=losses.scores_of(TASK),
            examples_hash=frames.fingerprint,
        )  # fmt: skip

    def pruned(self, job: Job, ratio: float) -> Change:
        """How the network loses its channels, the same for every seed."""
        config = channels.Config(method="channels", ratio=ratio, round_to=16, importance="l2")
        made = channels.apply(job, config)
        return replace(made.change, config=config)


def steps(args: argparse.Namespace, seed: int) -> TrainingConfig:
    return TrainingConfig(
        steps=args.steps, batch=args.batch, learning_rate=args.rate, warmup=args.steps // 10, ema=0.9, seed=seed,
        device="cpu", validate_every=args.steps,
    )  # fmt: skip


def student(job: Job, change: Change) -> Any:
    assert job.network is not None
    return channels.rebuild(job.network(), change)


def miou(network: Any, setting: Setting, frames: int | None) -> float:
    """Of a network in PyTorch."""
    task, preprocess = TASK.create(), setting.preprocess()
    accumulator = task.accumulator()
    for sample in CamVid(setting.camvid, "val", frames):
        prepared = preprocess({"image": sample.images["image"]})
        with torch.no_grad():
            found = network.eval()(torch.from_numpy(prepared.feeds["image"]))[0]
        accumulator.update(task.decode({"logits": found.numpy()}, prepared.geometry), sample.truth, sample.id)
    return float(accumulator.compute()["miou"])


def learned(job: Job, change: Change, config: Any) -> tuple[Any, dict[str, Any]]:
    """The student after a step of distillation."""
    made = logits.apply(replace(job, network=lambda: student(job, change)), config)
    network = student(job, change)
    restore(network, unpacked(made.change.weights))
    return network, dict(made.change.record.get("offline", {}))


def by_labels(job: Job, change: Change, config: TrainingConfig) -> Any:
    network = student(job, change)
    assert job.examples is not None
    assert job.loss is not None
    train(network, job.examples, supervised(job.loss), config, **NAMES)
    return network


def measure(args: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(args.camvid, Path(folder), tuple(args.size), args.train)
        job = setting.job()
        change = setting.pruned(job, args.ratio)
        found: dict[str, list[float]] = {name: [] for name in args.ways}
        stored: dict[str, Any] = {}
        for seed in range(args.seeds):
            training = steps(args, seed)
            for name, values in found.items():
                began = time.monotonic()
                if name == "labels":
                    network = by_labels(job, change, training)
                else:
                    stride = int(name[-1]) if name != "live" else None
                    offline = None if stride is None else {"folder": Path(folder) / name, "stride": stride}
                    config = logits.Config.model_validate({"training": training, "offline": offline})
                    network, record = learned(job, change, config)
                    stored |= {name: record} if record else {}
                values.append(miou(network, setting, args.frames))
                args.told(f"seed {seed} {name}: {values[-1]:.4f} in {time.monotonic() - began:.0f} s")
        before = miou(student(job, change), setting, args.frames)
        teacher = miou(job.own.network(), setting, args.frames) if job.own is not None else None
    paired = {
        name: [value - live for value, live in zip(values, found["live"], strict=True)]
        for name, values in found.items()
        if name != "live"
    }
    return {
        "settings": {key: getattr(args, key) for key in SETTINGS},
        "network": sha256_file(Path(__file__).parent / "peers" / "weights" / "plain.pth"),
        "teacher": teacher,
        "pruned": before,
        "miou": found,
        "minus_live": {
            name: {"each": values, "mean": statistics.fmean(values), "spread": max(values) - min(values)}
            for name, values in paired.items()
        },
        "soft_labels": stored,

    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--camvid", type=Path, default=os.environ.get("CAMVID"), help="default: $CAMVID")
    parser.add_argument("--ratio", type=float, default=0.5)
    parser.add_argument("--size", type=int, nargs=2, default=(360, 480), help="height and width of the networks' input")
    parser.add_argument("--train", type=int, default=None, help="frames of the split train; default: all")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, help="live has to be one of them")
    parser.add_argument("--frames", type=int, default=None, help="of the split val; default: all")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.camvid is None:
        raise SystemExit("give --camvid or $CAMVID")
    args.told = lambda text: print(text, file=sys.stderr, flush=True)
    result = measure(args)
    print(json.dumps(result, indent=2) if args.json else "\n".join(f"{n}: {v}" for n, v in result["miou"].items()))


if __name__ == "__main__":
    main()
