"""What pruning and distilling cost and gain: engines of one network against the user's own, in FP32 and in INT8.

    export CAMVID=/data/camvid
    python benchmarks/compress_tradeoff.py examples/camvid/edgekit.yaml examples/camvid/pruned.yaml --controls --json

The first spec is the network as it is, in INT8; each of the others a chain of steps of the same network.  Every choice
(widths, weights, ranges) is made by the specs on training, validation and calibration frames; the frames of
data.evaluation are read once, at the end, by all engines together.  Speed-ups are of two engines at a time, in turn,
opened anew.  Stages are kept: killed, it goes on when it is started again, a training from its last checkpoint.

    --steps N     trains that long in every distill step, to try it out: the result says so
    --controls    the pruned network without a teacher (the labels alone), and from random weights, in as many steps
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgekit import engine, evaluation, pipeline
from edgekit.core.spec import CompressStep, Spec
from edgekit.core.specfile import read_spec
from edgekit.engine import opened_in_turn
from edgekit.preprocess import Preprocess
from edgekit.profiling import machine
from edgekit.stages.compressed import Compressed
from edgekit.stats import faster

OWN = "fp32"
NARROW = Path(__file__).parent / "tradeoff_narrow.py"


@dataclass(frozen=True)
class Contender:
    """An engine to compare, and the preprocessing of its frames."""

    name: str
    file: Path
    preprocess: Preprocess


def trained(spec: Spec, steps: int | None) -> Spec:
    """The spec with distill steps of so many optimizer steps."""
    if steps is None:
        return spec
    made = []
    for step in spec.compress:
        if step.kind == "distill":
            training = step.technique.training.model_copy(update={"steps": steps, "warmup": steps // 20})
            step = CompressStep.model_validate({"distill": step.technique.model_copy(update={"training": training})})
        made.append(step)
    return spec.model_copy(update={"compress": tuple(made)})


def without_teacher(spec: Spec) -> Spec:
    """The chain with the labels alone in place of each distill step: the same loop, frames, steps and seed."""
    steps = []
    for step in spec.compress:
        if step.kind == "distill":
            before = steps.pop()
            update = {"training": step.technique.training, "loss": "task"}
            step = CompressStep.model_validate({"prune": before.technique.model_copy(update=update)})
        steps.append(step)
    return spec.model_copy(update={"compress": tuple(steps), "name": f"{spec.name}-labels"})


def from_random_weights(spec: Spec, made: Compressed) -> Spec:
    """The chain with the pruned network's widths and random weights, trained by the same distill step."""
    (step,) = (step for step in spec.compress if step.kind == "distill")
    args = {
        "factory": str(spec.model.base / str(spec.model.factory)),
        "args": dict(spec.model.args),
        "widths": str(made.files["widths.json"]),
        "seed": spec.seed,
    }
    student = spec.model.model_copy(
        update={"factory": f"{NARROW}:build", "args": args, "weights": None, "weights_key": None, "strip_prefix": None}
    )
    alone = CompressStep.model_validate({"distill": step.technique.model_copy(update={"student": student})})
    rest = tuple(other for other in spec.compress if other.kind == "quantize")
    return spec.model_copy(update={"compress": (alone, *rest), "name": f"{spec.name}-scratch"})


def contenders(label: str, spec: Spec, made: Compressed, out: Path) -> Iterator[Contender]:
    """The engines of a spec's own variants."""
    backend = engine.backend(next(iter(spec.targets.values())))
    for name, variant in made.variants.items():
        if not variant.changed and label:
            continue  # the user's own network is in the first spec
        file = out / f"{label}{name}{backend.suffix}"
        backend.build(variant.model, file)
        preprocess = pipeline_preprocess(spec, variant.preprocess)
        yield Contender(f"{label}{name}", file, preprocess)


def pipeline_preprocess(spec: Spec, sections: Mapping[str, Any]) -> Preprocess:
    """The preprocessing of a variant: the spec's own where no step changed it."""
    from edgekit.stages.changed import respecified

    return Preprocess(respecified(spec, {}, sections).preprocess if sections else spec.preprocess)


def measured(spec: Spec, found: list[Contender]) -> dict[str, Any]:
    """Metrics of all engines on the evaluation frames, and speed-ups of pairs."""
    backend, task = engine.backend(next(iter(spec.targets.values()))), spec.task.create()
    dataset = spec.data.evaluation.open()
    headline = task.metrics[0].name
    feeds = {one.name: one.preprocess(dataset[0].images).feeds for one in found}
    metrics = {}
    for one in found:  # one after the other: their inputs may differ
        with ExitStack() as stack:
            opened = {one.name: stack.enter_context(backend.engine(one.file))}
            metrics |= evaluation.evaluate(opened, one.preprocess, task, dataset)
    rows: dict[str, Any] = {}
    for one in found:
        against = {}
        for other in found:
            if other.name != one.name and other.name in (OWN, "int8"):
                pair = (other, one)
                openers = {c.name: lambda c=c: backend.engine(c.file) for c in pair}
                times = opened_in_turn(openers, feeds, faster.OPENINGS, faster.EACH, faster.SETTLING)
                ratio = faster.speedup(times[other.name], times[one.name], faster.OPENINGS)
                against[other.name] = {"ratio": ratio.ratio, "interval": asdict(ratio.interval)}
        rows[one.name] = {
            headline: metrics[one.name][headline],
            "drop": metrics[OWN][headline] - metrics[one.name][headline],
            "speedup": against,
            "engine_mib": one.file.stat().st_size / 2**20,
        }
    return {"metric": headline, "frames": len(dataset), "engines": rows}


def run(args: argparse.Namespace) -> dict[str, Any]:
    args.out.mkdir(parents=True, exist_ok=True)
    found: list[Contender] = []
    stages: dict[str, Any] = {}
    specs = [read_spec(path) for path in args.specs]
    own = specs[0]
    for number, read in enumerate(specs):
        spec = trained(read, args.steps)
        work = [("" if number == 0 else f"{spec.name}: ", spec)]
        made = pipeline.compress(spec, args.out / spec.name)
        if args.controls and any(step.kind == "distill" for step in spec.compress):
            work += [("labels: ", without_teacher(spec)), ("random weights: ", from_random_weights(spec, made))]
        for label, chain in work:
            begin = time.monotonic()
            made = pipeline.compress(chain, args.out / chain.name)
            found += contenders(label, chain, made, args.out)
            stages[chain.name] = {
                "seconds_now": time.monotonic() - begin,
                "stages": [{"name": s.name, "seconds": s.seconds, "reused": s.reused} for s in made.stages],
                "steps": [{step.kind: step.technique.model_dump(mode="json")} for step in chain.compress],
            }
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "short": args.steps is not None,
        "machine": asdict(machine()),
        "chains": stages,
    } | measured(own, found)


def show(report: Mapping[str, Any]) -> None:
    metric = report["metric"]
    print(f"{report['frames']} evaluation frames{'; trained short of the spec' if report['short'] else ''}")
    print(f"{'engine':44} {metric:>8} {'drop':>8} {'x fp32':>8} {'x int8':>8} {'MiB':>6}")
    for name, row in report["engines"].items():
        times = row["speedup"]
        ratios = [f"{times[other]['ratio']:8.2f}" if other in times else f"{'-':>8}" for other in (OWN, "int8")]
        print(f"{name:44} {row[metric]:8.4f} {row['drop']:8.4f} {' '.join(ratios)} {row['engine_mib']:6.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("specs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("build/tradeoff"))
    parser.add_argument("--steps", type=int)
    parser.add_argument("--controls", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    report = run(args)
    if args.json:
        print(json.dumps(report, indent=1, default=str))
    else:
        show(report)


if __name__ == "__main__":
    main()
