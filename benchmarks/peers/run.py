"""edgekit's quantization against its peers: same models, calibration frames, machine and runtime settings.

    python benchmarks/peers/run.py                                # everything, about a quarter of an hour
    python benchmarks/peers/run.py --models camvid --contenders edgekit ort-minmax --frames 16
    python benchmarks/peers/run.py --publish                      # writes benchmarks/results and docs/benchmarks

Finished parts are kept in benchmarks/peers/.work; a second call goes on where the first was stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.peers import jobs, page
from benchmarks.peers.common import PAGE, RESULTS, THREADS, WORK, versions
from benchmarks.peers.contenders import CONTENDERS, REFERENCES, chosen
from benchmarks.peers.metrics import DECIDING
from benchmarks.peers.models import MODELS
from benchmarks.peers.verdict import Standing, Tolerances, dominated

from edgekit.core.artifacts import write_bytes, write_json
from edgekit.profiling import machine

DECIDING_SPLIT = "test"


def run(plan: jobs.Plan) -> dict[str, Any]:
    """Measure, and return the document of ``benchmarks/results/peers.json``."""
    facts = asdict(machine())  # before the load that the benchmark itself makes
    folders = {model: jobs.prepared(plan, model) for model in plan.models}
    made = {
        model: {name: jobs.quantized(plan, model, folders[model], name) for name in plan.for_model(model)}
        for model in plan.models
    }
    ready = {
        model: {name: one["target"] for name, one in found.items() if one["status"] == "ok"}
        for model, found in made.items()
    }
    scores = _scores(plan, folders, ready)
    runnable = {
        model: {name: path for name, path in targets.items() if scores[model, name]["status"] == "ok"}
        for model, targets in ready.items()
    }
    times = {model: jobs.timed(plan, model, folders[model], runnable[model]) for model in plan.models}
    packages = sorted({package for one in plan.contenders.values() for package in one.packages})
    return {
        "benchmark": "peers",
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "machine": facts,
        "versions": versions(packages),
        "frames": plan.frames,
        "queries": plan.queries,
        "clock": "processor time" if plan.processor_time else "wall time",
        "threads": THREADS,
        "tolerances": dataclasses.asdict(Tolerances()),
        "models": {model: _model(model, made[model], scores, times[model]) for model in plan.models},
    }


def _scores(plan: jobs.Plan, folders: dict[str, Path], ready: dict[str, dict[str, str]]) -> dict[Any, dict[str, Any]]:
    """Accuracy is no timing: as many processes as this one may use processors, each on its own."""
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [None]
    wanted = [(model, name) for model, targets in ready.items() for name in targets]

    def share(index: int) -> dict[Any, dict[str, Any]]:
        mine = wanted[index :: len(cpus)]
        return {(m, name): jobs.scored(plan, m, folders[m], name, cpus[index]) for m, name in mine}

    with ThreadPoolExecutor(len(cpus)) as pool:
        return {pair: found for part in pool.map(share, range(len(cpus))) for pair, found in part.items()}


def _model(
    model: str, made: dict[str, dict[str, Any]], scores: dict[Any, dict[str, Any]], times: dict[str, Any]
) -> dict[str, Any]:
    """One model's part of the document: a row a contender, and who dominates whom."""
    metric = DECIDING[MODELS[model].metric][0]
    rows: dict[str, dict[str, Any]] = {}
    for name, quantized in made.items():
        row: dict[str, Any] = {"title": CONTENDERS[name].title, "runtime": CONTENDERS[name].runtime}
        parts = (("quantization", quantized), ("accuracy", scores.get((model, name))), ("latency", times))
        failed = next(((what, part["error"]) for what, part in parts if part and part["status"] != "ok"), None)
        row["status"] = "ok" if failed is None else "failed"
        if failed is not None:
            row["error"] = f"{failed[0]}: {failed[1]}"
        else:
            row["quantization"] = {k: v for k, v in quantized.items() if k not in ("key", "status", "target")}
            row["accuracy"] = {k: v for k, v in scores[model, name].items() if k not in ("key", "status")}
            row |= times[name]
        rows[name] = row
    for row in rows.values():
        reference = rows[REFERENCES[row["runtime"]]]
        if row["status"] == "ok" and reference["status"] == "ok":
            row["drop"] = {
                split: reference["accuracy"][split][metric] - values[metric]
                for split, values in row["accuracy"].items()
            }
    return {
        "title": MODELS[model].title,
        "metric": {"name": metric, "text": DECIDING[MODELS[model].metric][1], "split": DECIDING_SPLIT},
        "contenders": rows,
        "dominated_by": _verdicts(rows),
    }


def _verdicts(rows: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for runtime in REFERENCES:
        standings = {
            name: Standing(row["drop"][DECIDING_SPLIT], row["latency"]["p50_ms"])
            for name, row in rows.items()
            if row["runtime"] == runtime and "drop" in row
        }
        found |= dominated(standings, Tolerances())
    return found


def main() -> None:
    plan, args = _arguments()
    with _alone():
        document = run(plan)
    results, report = (RESULTS, PAGE) if args.publish else (WORK / "peers.json", WORK / "peers.md")
    write_json(results, document)
    report.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(report, page.render(json.loads(results.read_text(encoding="utf-8"))).encode())
    jobs.say(f"wrote {results} and {report}")
    print(json.dumps(document, indent=2) if args.json else page.tables(document))


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One run at a time: two would slow each other's timings and write the same files."""
    import fcntl

    WORK.mkdir(parents=True, exist_ok=True)
    with (WORK / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"another run uses {WORK}; wait for its end") from None
        yield


def _arguments() -> tuple[jobs.Plan, argparse.Namespace]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--contenders", nargs="+", help=f"all, or of {', '.join(CONTENDERS)}; FP32 is always there")
    parser.add_argument("--frames", type=int, default=64, help="calibration frames, spread over CamVid train")
    parser.add_argument("--queries", type=int, default=200, help="timed queries of each contender")
    parser.add_argument("--warmup", type=int, default=10)
    parser.add_argument(
        "--processor-time", action="store_true", help="not wall time: for a machine that others use too"
    )
    parser.add_argument("--camvid", type=Path, default=os.environ.get("CAMVID", "data/camvid"), help="or $CAMVID")
    parser.add_argument("--cpu", type=int, help="processor to measure on; default: the last one allowed")
    parser.add_argument("--fresh", action="store_true", help="measure again what is finished already")
    parser.add_argument("--publish", action="store_true", help="write the results and the page of the repository")
    parser.add_argument("--json", action="store_true", help="the whole document on stdout")
    args = parser.parse_args()
    if not (args.camvid / "train.txt").is_file():
        parser.error(f"CamVid is not at {args.camvid}: give --camvid or $CAMVID")
    if args.frames < 1 or args.queries < 1 or args.warmup < 1:
        parser.error("--frames, --queries and --warmup are at least 1")
    cpu = args.cpu
    if cpu is None and hasattr(os, "sched_getaffinity"):
        cpu = max(os.sched_getaffinity(0))
    return jobs.Plan(
        tuple(args.models),
        chosen(args.contenders),
        args.frames,
        args.queries,
        args.warmup,
        args.camvid.resolve(),
        cpu,
        args.fresh,
        args.processor_time,
    ), args


if __name__ == "__main__":
    main()
