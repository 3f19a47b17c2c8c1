"""What latency-aware pruning, a teacher and stored soft labels bring: paired seeds on one network, engines as fast.

    CAMVID=/data/camvid OMP_NUM_THREADS=1 python benchmarks/paired_seeds.py --test --json > paired_seeds.json

The network ``plain`` of the peers is narrowed in several ways to one latency of ONNX Runtime's FP32 engine at one
thread (paired_networks.py), and trained by several teachers; every training of a seed sees the same number of frames,
in the same order and, with the same augmentation, the same frames.  Each claim compares two of them, seed by seed.
Everything is chosen and looked at on the split "val"; with ``--test`` the split "test" is read, once, by all engines
together, when every training is done.  Networks, trainings (from their last checkpoint) and the reading of the
test split are kept in ``--out``: killed, it goes on when it is started again with the same options.

    --arms      these alone; ``fastnas`` needs torchprofile 0.0.4 beside ModelOpt
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from edgekit import evaluation
from edgekit.core.artifacts import sha256_file, write_bytes, write_json
from edgekit.core.progress import Silent
from edgekit.core.spec import Spec
from edgekit.data import Dataset
from edgekit.distill import logits
from edgekit.engine import backend
from edgekit.model import export, load
from edgekit.preprocess import Preprocess
from edgekit.profiling import machine
from edgekit.prune import channels
from edgekit.stages import job as jobs
from edgekit.stats.openings import student as student_t
from edgekit.technique import Job
from edgekit.training import TrainingConfig, fit, packed, restore, supervised, unpacked

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.paired_networks import Bench, make
from benchmarks.peers.models import CAMVID_CLASSES, CAMVID_VOID, MODELS

CONFIDENCE = 0.95
COLOURS = {"brightness": 0.25, "contrast": 0.25}
AUGMENT: dict[str, dict[str, float]] = {"moved": {"flip": 0.5, "crop": 0.6, **COLOURS}, "coloured": COLOURS}
OWN = "the network as it is"


@dataclass(frozen=True)
class Arm:
    """One way to make a student; ``moved`` frames are mirrored and cut out too, which soft labels cannot follow."""

    network: str
    teacher: Literal["live", "soft labels", "labels"]
    augment: Literal["moved", "coloured"] = "moved"


ARMS = {
    "aware, teacher": Arm("aware", "live"),
    "uniform, teacher": Arm("uniform", "live"),
    "aware, labels": Arm("aware", "labels"),
    "aware, teacher, colours": Arm("aware", "live", "coloured"),
    "aware, soft labels, colours": Arm("aware", "soft labels", "coloured"),
    "torch-pruning, labels": Arm("torch-pruning", "labels"),
    "fastnas, labels": Arm("fastnas", "labels"),
}
CLAIMS = {
    "latency-aware over uniform": ("aware, teacher", "uniform, teacher"),
    "teacher over labels": ("aware, teacher", "aware, labels"),
    "soft labels over the live teacher": ("aware, soft labels, colours", "aware, teacher, colours"),
    "edgekit over torch-pruning": ("aware, teacher", "torch-pruning, labels"),
    "latency-aware over torch-pruning, both by labels": ("aware, labels", "torch-pruning, labels"),
    "edgekit over fastnas": ("aware, teacher", "fastnas, labels"),
    "latency-aware over fastnas, both by labels": ("aware, labels", "fastnas, labels"),
}
SETTINGS = ("size", "ratio", "most", "steps", "batch", "rate", "warmup", "ema", "train")


def paired(candidate: Sequence[float], control: Sequence[float]) -> dict[str, Any]:
    """Candidate less control, seed by seed: each, how many are above 0, the mean, Student's interval of it, the spread.

    Raises:
        ValueError: not as many of both, or fewer than two.
    """
    each = [one - other for one, other in zip(candidate, control, strict=True)]
    if len(each) < 2:
        raise ValueError(f"{len(each)} pairs have no interval; train two seeds or more")
    mean = statistics.fmean(each)
    reach = student_t(CONFIDENCE, len(each)) * statistics.stdev(each) / math.sqrt(len(each))
    return {
        "each": each,
        "above": sum(value > 0 for value in each),
        "of": len(each),
        "mean": mean,
        "interval": [mean - reach, mean + reach],
        "spread": max(each) - min(each),
    }


def claims(found: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Of the metrics of every arm, seed by seed; a claim whose arms were not trained is left out."""
    return {
        name: paired(found[candidate], found[control])
        for name, (candidate, control) in CLAIMS.items()
        if candidate in found and control in found and len(found[candidate]) > 1
    }


def spec_of(args: argparse.Namespace) -> Spec:
    """The network with the frames of CamVid and one CPU target."""
    known = MODELS["plain"]
    model = replace(known, transform=known.transform | {"resize": tuple(args.size)})
    frames = {"format": "camvid", "root": str(args.camvid.resolve())}
    return Spec.model_validate(
        {
            "name": "plain",
            "model": model.config(),
            "preprocess": {model.input: model.transform},
            "task": {
                "kind": "segmentation",
                "output": model.output,
                "classes": CAMVID_CLASSES,
                "ignore_index": CAMVID_VOID,
            },
            "data": {
                "calibration": frames | {"split": "train", "limit": 32},
                "training": frames | {"split": "train", "limit": args.train},
                "validation": frames | {"split": "val"},
                "evaluation": frames | {"split": "test"},
            },
            "targets": {"cpu": {"engine": "ort", "threads": 1}},
        }
    )


@dataclass(frozen=True)
class Trainings:
    """Where students come from.

    Args:
        args: of the command line.
        spec: of the network.
        bench: of the networks.
    """

    args: argparse.Namespace
    spec: Spec
    bench: Bench

    def file(self, arm: str, seed: int) -> Path:
        slug = arm.replace(", ", "_").replace(" ", "-")
        return Path(self.args.out) / "students" / f"{slug}-{seed}.pt"

    def config(self, arm: Arm, seed: int) -> TrainingConfig:
        args = self.args
        return TrainingConfig(
            steps=args.steps, batch=args.batch, learning_rate=args.rate, warmup=args.warmup, ema=args.ema, seed=seed,
            augment=AUGMENT[arm.augment], precision="bf16", channels_last=True, device="cpu",
            validate_every=args.steps,
        )  # fmt: skip

    def train(self, name: str, seed: int) -> None:
        """Keep the weights of an arm's last step, their metric on the split "val", and how long they took."""
        file, arm = self.file(name, seed), ARMS[name]
        if file.with_suffix(".json").exists():
            return
        scratch = file.with_suffix("")
        # Without a bench, which would choose the best of several steps: here the last counts.
        job = replace(self.bench.job, network=lambda: self.bench.narrowed(arm.network), scratch=scratch, bench=None)
        began = time.monotonic()
        weights, record = learned(job, arm, self.config(arm, seed), Path(self.args.out) / "soft-labels")
        file.parent.mkdir(exist_ok=True)
        write_bytes(file, weights)
        bench = self.bench.job.need_bench("paired seeds")
        found = {
            "val": bench.accuracy(self.bench.model(self.student(name, seed))),
            "seconds": time.monotonic() - began,
            **record,
        }
        write_json(file.with_suffix(".json"), found)
        self.args.told(f"seed {seed}, {name}: val {found['val']:.4f} in {found['seconds']:.0f} s")

    def student(self, name: str, seed: int) -> nn.Module:
        network = self.bench.narrowed(ARMS[name].network)
        restore(network, unpacked(self.file(name, seed).read_bytes()))
        return network.eval()

    def record(self, name: str, seed: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.file(name, seed).with_suffix(".json").read_text())
        return found

    def tested(self, names: Sequence[str]) -> dict[str, float]:
        """The metric of every engine on the test split, by ``<arm> <seed>``: read once, kept, never read again."""
        file = Path(self.args.out) / "test.json"
        if not file.exists():
            models = {OWN: self.bench.job.source.read_bytes()}
            for seed in range(self.args.seeds):
                models |= {f"{name} {seed}": self.bench.model(self.student(name, seed)) for name in names}
            assert self.spec.data.evaluation is not None
            write_json(file, scores(self.spec, models, self.spec.data.evaluation.open(), Path(self.args.out)))
        found: dict[str, float] = json.loads(file.read_text())
        return found


def learned(job: Job, arm: Arm, config: TrainingConfig, labels: Path) -> tuple[bytes, dict[str, Any]]:
    """The weights after training, and what the record says of soft labels, which ``labels`` keeps for all seeds."""
    if arm.teacher == "labels":
        assert job.loss is not None
        return packed(fit(job, job.need_network("labels")[0](), supervised(job.loss), config, "labels").state), {}
    offline = {"folder": labels} if arm.teacher == "soft labels" else None
    made = logits.apply(job, logits.Config.model_validate({"training": config, "offline": offline}))
    return made.change.weights, {"soft_labels": made.change.record["offline"]} if offline else {}


def scores(spec: Spec, models: Mapping[str, bytes], dataset: Dataset, folder: Path) -> dict[str, float]:
    """The task metric of engines of FP32 models, every frame read once for all of them."""
    target, task = backend(spec.targets["cpu"]), spec.task.create()
    with ExitStack() as stack:
        opened = {}
        for number, (name, model) in enumerate(models.items()):
            source, file = folder / "engine.onnx", folder / f"engine-{number}{target.suffix}"
            source.write_bytes(model)
            target.build(source, file)
            opened[name] = stack.enter_context(target.engine(file))
        found = evaluation.evaluate(opened, Preprocess(spec.preprocess), task, dataset)
    return {name: metrics[task.metrics[0].name] for name, metrics in found.items()}


def score(spec: Spec, network: nn.Module, frames: Dataset | Sequence[Any]) -> float:
    """The task metric of a network in PyTorch."""
    task, preprocess = spec.task.create(), Preprocess(spec.preprocess)
    accumulator, output = task.accumulator(), spec.model.outputs[0]
    for sample in (frames[index] for index in range(len(frames))):
        prepared = preprocess(sample.images)
        with torch.no_grad():
            found = network.eval()(*(torch.from_numpy(prepared.feeds[name]) for name in spec.model.inputs))
        first = found[0] if isinstance(found, tuple) else found
        accumulator.update(task.decode({output: first.numpy()}, prepared.geometry), sample.truth, sample.id)
    return float(accumulator.compute()[task.metrics[0].name])


@contextmanager
def opened(args: argparse.Namespace) -> Iterator[Trainings]:
    """The folder's trainings; refuses a folder of other settings."""
    settings = {key: getattr(args, key) for key in SETTINGS} | {"network": MODELS["plain"].digest()}
    args.out.mkdir(parents=True, exist_ok=True)
    kept = args.out / "settings.json"
    if not kept.exists():
        write_json(kept, settings)
    elif json.loads(kept.read_text()) != json.loads(json.dumps(settings)):
        raise SystemExit(f"{kept} is of other options: give these, or another --out")
    spec = spec_of(args)
    source, folder = args.out / "fp32.onnx", args.out / "networks"
    folder.mkdir(exist_ok=True)
    if not source.exists():
        export.export(load.load_model(spec.model), source)
    config, target = channels.Config(method="channels", speedup=2.0), backend(spec.targets["cpu"])
    assert spec.data.validation is not None
    calibration, validation = spec.data.calibration.open(), spec.data.validation.open()
    given = (spec, "cpu", target, source, calibration, config, None, Silent(), True)
    with jobs.job(*given) as job:
        yield Trainings(
            args,
            spec,
            Bench(job, folder, args.ratio, args.most, lambda net, frames: score(spec, net, frames), validation),
        )


def run(args: argparse.Namespace) -> dict[str, Any]:
    with opened(args) as trainings:
        needed = dict.fromkeys(("uniform", *(ARMS[name].network for name in args.arms)))
        networks = {}
        for name in needed:
            networks[name] = make(trainings.bench, name)
            args.told(f"{name}: {networks[name]['channels']}, {networks[name]['speedup']['ratio']:.2f}x")
        for seed in range(args.seeds):
            for name in args.arms:
                trainings.train(name, seed)
        records = {name: [trainings.record(name, seed) for seed in range(args.seeds)] for name in args.arms}
        bench = trainings.bench.job.need_bench("paired seeds")
        val = {name: [record["val"] for record in found] for name, found in records.items()}
        found = {"val": {OWN: bench.control_accuracy(), **val}, "claims_on_val": claims(val)}
        if args.test:
            tested = trainings.tested(args.arms)
            test = {name: [tested[f"{name} {seed}"] for seed in range(args.seeds)] for name in args.arms}
            found |= {"test": {OWN: tested[OWN], **test}, "claims_on_test": claims(test)}
        return {
            "date": datetime.now(UTC).date().isoformat(),
            "machine": asdict(machine()),
            "settings": {key: getattr(args, key) for key in (*SETTINGS, "seeds")} | {"augment": AUGMENT},
            "weights": sha256_file(Path(str(trainings.spec.model.weights))),
            "networks": {n: {key: v for key, v in one.items() if key != "widths"} for n, one in networks.items()},
            "seconds": {n: [one["seconds"] for one in some] for n, some in records.items()},
            "soft_labels": next(
                (one["soft_labels"] for some in records.values() for one in some if "soft_labels" in one), None
            ),
            **found,
        }


def show(report: Mapping[str, Any]) -> None:
    for split in ("val", "test"):
        for name, one in report.get(f"claims_on_{split}", {}).items():
            low, high = one["interval"]
            each = " ".join(f"{value:+.4f}" for value in one["each"])
            print(f"{split:5}{name:50} {one['mean']:+.4f} [{low:+.4f}, {high:+.4f}]  {each}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--camvid", type=Path, default=os.environ.get("CAMVID"), help="default: $CAMVID")
    parser.add_argument("--out", type=Path, default=Path("build/paired-seeds"))
    parser.add_argument("--size", type=int, nargs=2, default=(360, 480), help="height and width of the networks' input")
    parser.add_argument("--ratio", type=float, default=0.5, help="of the uniform network")
    parser.add_argument("--most", type=float, default=0.5, help="largest share that one layer of the aware one loses")
    parser.add_argument("--train", type=int, default=None, help="frames of the split train; default: all")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--warmup", type=int, default=50)
    parser.add_argument("--ema", type=float, default=0.98)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--test", action="store_true", help="read the split test, once, when all is trained")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.camvid is None:
        raise SystemExit("give --camvid or $CAMVID")
    args.camvid = Path(args.camvid)
    args.told = lambda text: print(text, file=sys.stderr, flush=True)
    report = run(args)
    if args.json:
        print(json.dumps(report, indent=1))
    else:
        show(report)


if __name__ == "__main__":
    main()
