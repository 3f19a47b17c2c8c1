"""Does ModelOpt's ``auto_quantize`` choose the layers that stay float better than method ``mixed``?

    CAMVID=/data/camvid python benchmarks/auto_quantize.py --json > auto_quantize.json

``benchmarks/results/auto_quantize.json`` joins four runs, one a case; those of CamVid had ``--frames 50
--score-frames 16 --queries 40 --bits 8.1 8.5 10``.

Four ways to choose, one calibration and one placement (edgekit's) for all of them:

- ``auto_quantize``: INT8 or none for every layer, under a budget of effective bits (8: all INT8, 16: all float);
- ``mixed``: the first layers of the order in which method mixed leaves them in float: measured output noise over
  measured milliseconds;
- ``its scores``: the order of mixed with ``auto_quantize``'s scores (squared gradient of the loss times rounding error)
  in place of the noise, which is what it would be as a strategy of mixed;
- ``mixed, searched``: what method mixed ends with when the floor is the best accuracy of ``auto_quantize``.

All engines of a project are timed in turn in one loop.  The drop is that of the mIoU on the split "val"; ``changed`` is
the share of pixels that get another class than from FP32, which tells apart what the mIoU of 101 frames does not.  On a
busy core the medians jump between two levels: compare within one run, and repeat.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import modelopt.torch.quantization as mtq
import torch

from edgekit.core.progress import Silent
from edgekit.core.spec import Spec
from edgekit.core.specfile import read_spec
from edgekit.data import Dataset, Sample
from edgekit.engine import Chain, ort
from edgekit.preprocess import Preprocess
from edgekit.profiling import machine
from edgekit.quantize import mixed
from edgekit.quantize.mixed.sensitivity import analyse, module_of
from edgekit.quantize.mixed.variants import Variants
from edgekit.quantize.qat import fold
from edgekit.stages import job as jobs
from edgekit.technique import Job

EXAMPLES = Path(__file__).parents[1] / "examples"
# Project, then settings of ptq: the shipped ones, and ones that lose enough for a choice to matter.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "hard": ("hard", {}),
    "hard, minmax": ("hard", {"calibrator": "minmax"}),
    "camvid": ("camvid", {}),
    "camvid, per-tensor weights": ("camvid", {"weights": "per-tensor"}),
}
COUNTS = (1, 2)  # and as many as auto_quantize leaves float
ENGINE = ort.Config(engine="ort")


@dataclass(frozen=True)
class Searched:
    """What ``auto_quantize`` found: scores by module, the modules left float by budget, and the seconds it took."""

    scores: dict[str, float]
    left: dict[float, tuple[str, ...]]
    bits: dict[float, float]
    seconds: float


class Relabelled(Dataset):
    """The frames of a dataset with what a model says as the truth."""

    def __init__(self, frames: Dataset, masks: Sequence[Any]) -> None:
        self.frames, self.masks = frames, masks

    def __len__(self) -> int:
        return len(self.masks)

    def __getitem__(self, index: int) -> Sample:
        return replace(self.frames[index], truth=self.masks[index])

    def fingerprint(self) -> str:
        return self.frames.fingerprint()


def search(job: Job, weights: str, budgets: Sequence[float], frames: int, folder: Path) -> Searched:
    """``auto_quantize`` with the loss of the task, over ``frames`` labelled calibration frames."""
    recipe = mtq.INT8_DEFAULT_CFG
    if weights == "per-tensor":
        whole = [
            {"quantizer_name": "*", "enable": False},
            {"quantizer_name": "*weight_quantizer", "cfg": {"num_bits": 8, "axis": None}},
            {"quantizer_name": "*input_quantizer", "cfg": {"num_bits": 8, "axis": None}},
        ]
        recipe = {"quant_cfg": whole, "algorithm": "max"}
    read = (job.examples[i * len(job.examples) // frames] for i in range(frames))
    data = [({name: torch.from_numpy(a) for name, a in feeds.items()}, torch.from_numpy(t)[None]) for feeds, t in read]
    start, seconds, left, bits, state = time.monotonic(), 0.0, {}, {}, {}
    for budget in budgets:
        network = fold.fold(job.network(), list(data[0][0].values())).network
        for module in network.modules():
            if getattr(module, "inplace", False):
                module.inplace = False  # its backward hooks refuse what works in place
        quiet = io.StringIO()
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _, state = mtq.auto_quantize(
                network,
                constraints={"effective_bits": budget},
                quantization_formats=[recipe],
                data_loader=data,
                forward_step=lambda model, batch: model(*batch[0].values()),
                loss_func=lambda outputs, batch: job.loss({"logits": outputs[0]}, batch[1]),
                num_calib_steps=frames,
                num_score_steps=frames,
                checkpoint=str(folder / "search.pth"),  # every further budget starts from the same scores
            )
        left[budget] = tuple(_module(n) for n, r in state["best"]["recipe"].items() if "NONE" in str(r))
        bits[budget] = float(state["best"]["constraints"]["effective_bits"])
        seconds = seconds or time.monotonic() - start  # of the first: the others only solve
    scores = {_module(name): float(max(found["scores"])) for name, found in state["candidate_stats"].items()}
    return Searched(scores, left, bits, seconds)


def _module(name: str) -> str:
    return name.removesuffix(".quant_recipe").removeprefix("network.")


def nodes_of(variants: Variants) -> dict[str, list[str]]:
    """The nodes that can be left in float, by the module they come from."""
    found: dict[str, list[str]] = {}
    nodes = {node.name: node for node in variants.graph.nodes}
    for name in variants.layers:
        found.setdefault(module_of(nodes[name]), []).append(name)
    return found


def measure(name: str, args: argparse.Namespace) -> dict[str, Any]:
    project, settings = CASES[name]
    spec = with_splits(read_spec(EXAMPLES / project / "edgekit.yaml"), args)
    (source,) = EXAMPLES.glob(f"{project}/artifacts/*-compressed/fp32.onnx")
    config = mixed.Config(max_drop=0, ptq=mixed.PtqConfig(**settings))
    frames = spec.data.calibration.open()
    with (
        tempfile.TemporaryDirectory() as folder,
        jobs.job(spec, "cpu", source, frames, config, None, Silent()) as job,
    ):
        found = search(job, config.ptq.weights, args.bits, args.score_frames, Path(folder))
        variants = Variants(job, config.ptq)
        chosen, seconds = choices(variants, job, found)
        rows = measured(spec, source, variants, job, chosen, args, Path(folder))
    return {
        "case": name,
        "ptq": settings,
        "score_frames": args.score_frames,
        "validation_frames": len(spec.data.validation.open()),
        "queries": args.queries,
        "layers": len(variants.layers),
        "unknown_to_auto_quantize": sorted(set(nodes_of(variants)) - set(found.scores)),
        "seconds": {"auto_quantize": round(found.seconds, 1), **seconds},
        "rows": rows,
        "machine": asdict(machine()),
    }


def with_splits(spec: Spec, args: argparse.Namespace) -> Spec:
    """Calibration and scores on the split "train", accuracy on "val"."""
    train = spec.data.calibration
    val = train.model_copy(update={"split": "val", "limit": args.frames})
    data = spec.data.model_copy(update={"training": train, "validation": val})
    return spec.model_copy(update={"data": data})


def choices(variants: Variants, job: Job, found: Searched) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Rows with ``by``, ``budget`` and ``nodes``, and the seconds that mixed's two measurements took."""
    known = nodes_of(variants)
    rows: list[dict[str, Any]] = [
        {"by": "auto_quantize", "budget": found.bits[b], "nodes": [n for m in left for n in known.get(m, ())]}
        for b, left in found.left.items()
    ]
    counts = sorted({*COUNTS, *(len(row["nodes"]) for row in rows)} - {0})
    start = time.monotonic()
    layers = analyse(variants)
    noise = time.monotonic() - start
    total = sum(found.scores.values())
    scored = [replace(one, noise_share=found.scores.get(one.module, 0.0) / total) for one in layers]
    scored.sort(key=lambda one: -one.noise_share)
    for by, ranking in (("mixed", layers), ("its scores", tuple(scored))):
        order = mixed._Search(variants, job.bench, 0.0).ranked(ranking)
        rows += [{"by": by, "budget": count, "nodes": order[:count]} for count in counts if count < len(order)]
    timing = (time.monotonic() - start - noise) / 2
    start = time.monotonic()
    floor = max(job.bench.accuracy(variants.model(row["nodes"])) for row in rows if row["by"] == "auto_quantize")
    final = mixed.search(variants, job.bench, floor, layers)
    rows.append({"by": "mixed, searched", "budget": floor, "nodes": list(final.exclude)})
    seconds = {"mixed: noise": noise, "mixed: milliseconds": timing, "mixed: search": time.monotonic() - start}
    return rows, {name: round(value, 1) for name, value in seconds.items()}


def measured(
    spec: Spec,
    source: Path,
    variants: Variants,
    job: Job,
    rows: list[dict[str, Any]],
    args: argparse.Namespace,
    folder: Path,
) -> list[dict[str, Any]]:
    """The rows with accuracy, agreement with FP32 and latency; FP32 and plain INT8 first."""
    rows = [{"by": "FP32", "budget": None, "nodes": []}, {"by": "INT8", "budget": None, "nodes": []}, *rows]
    models = {str(i): variants.model(row["nodes"]) for i, row in enumerate(rows)}
    models["0"] = source.read_bytes()
    times = job.bench.latency(models, args.queries)
    agreement = job.TargetBench(spec, "cpu", source, relabelled(spec, source, folder), folder, "pixel_accuracy")
    for i, row in enumerate(rows):
        row["float_layers"] = len(row["nodes"])
        row["drop"] = job.bench.accuracy(models["0"]) - job.bench.accuracy(models[str(i)])
        row["changed"] = 1 - agreement.accuracy(models[str(i)])
        row["p50_ms"] = times[str(i)].p50
        row["of_fp32"] = times[str(i)].p50 / times["0"].p50
    return rows


def relabelled(spec: Spec, source: Path, folder: Path) -> Dataset:
    """The validation frames with the classes that FP32 gives."""
    frames = spec.data.validation.open()
    built = folder / f"labels{ort.Backend.suffix}"
    ort.Backend(ENGINE).build(source, built)
    with ort.Backend(ENGINE).engine(built) as engine:
        chain = Chain(Preprocess(spec.preprocess), engine, spec.task.create())
        masks = [chain(sample.images).labels for sample in frames]
    return Relabelled(frames, masks)


def table(case: Mapping[str, Any]) -> str:
    """Markdown."""
    head = ("chosen by", "budget", "float", "drop of mIoU", "pixels changed", "ms", "of FP32")
    lines = [f"{case['case']}: {case['layers']} layers; seconds {case['seconds']}", "", f"| {' | '.join(head)} |"]
    lines.append("|---" * len(head) + "|")
    for row in case["rows"]:
        formats = {"auto_quantize": "{budget:.2f} bits", "mixed, searched": "mIoU >= {budget:.4f}"}
        budget = formats.get(row["by"], "" if row["budget"] is None else "{budget} layers").format(**row)
        text = "| {by} | {0} | {float_layers} | {drop:.4f} | {changed:.2%} | {p50_ms:.2f} | {of_fp32:.3f} |"
        lines.append(text.format(budget, **row))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", nargs="+", choices=tuple(CASES), default=tuple(CASES))
    parser.add_argument("--bits", type=float, nargs="+", default=(8.1, 8.5, 9.0, 10.0), help="budgets")
    parser.add_argument("--score-frames", type=int, default=32, help="calibration frames that auto_quantize sees")
    parser.add_argument("--frames", type=int, default=None, help="validation frames, evenly spread; default all")
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cases = [measure(name, args) for name in args.cases]
    if args.json:
        print(json.dumps({"metric": "miou", "split": "val", "cases": cases}, indent=2))
    else:
        print("\n\n".join(table(case) for case in cases))


if __name__ == "__main__":
    main()
