"""Does the parity check find wrong engines, and name the layer, and does it leave right ones alone?

    python benchmarks/parity_faults.py faults --count 200 --compressed yolox_nano=artifacts/yolox-compressed
    python benchmarks/parity_faults.py builds --subsets 20
    python benchmarks/parity_faults.py builds --peers $CAMVID --store benchmarks/results/parity_peers.json

``faults`` plants a fault into an engine of one of the reference networks of the tests (or of a folder that ``edgekit
compress`` wrote) and asks the parity check.  A fault counts when it moves the output of its own layer by more than one
INT8 step on the golden frames; the others are counted apart.  ``builds`` asks it of healthy engines, over networks,
Q/DQ profiles, calibrators and calibration subsets; with ``--peers``, over the networks of benchmarks/peers on frames of
CamVid, with the second check.  All go on where an interrupted run ended, write after each engine, and need one core.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from benchmarks import parity_mutations as mutations  # noqa: E402
from benchmarks import parity_peers as peers  # noqa: E402
from tests.support.reference_models import MODELS, reference  # noqa: E402

from edgekit.core.artifacts import write_json  # noqa: E402
from edgekit.core.errors import EdgekitError  # noqa: E402
from edgekit.core.golden import Golden  # noqa: E402
from edgekit.engine import ort  # noqa: E402
from edgekit.engine.ort.fusion import members  # noqa: E402
from edgekit.onnxfile.graph import read_graph  # noqa: E402
from edgekit.profiling import machine  # noqa: E402
from edgekit.qdq.profiles import PROFILES  # noqa: E402
from edgekit.quantize import ptq  # noqa: E402
from edgekit.stages.asking import typed_golden  # noqa: E402
from edgekit.technique import Job  # noqa: E402
from edgekit.verification.agreement import TaskComparison  # noqa: E402
from edgekit.verification.limits import limits_of  # noqa: E402
from edgekit.verification.parity import Proven, check  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "parity_faults.json"
CPU = ort.Config(engine="ort")
CALIBRATORS = ("percentile", "minmax", "entropy", "mse")
FRAMES, OTHERS = 2, 100
"""Golden frames, and the seed of the first: frames that calibration does not see."""
DRAWS = 60
"""Faults of one kind that are drawn at most until one counts."""


@dataclass(frozen=True)
class Healthy:
    """An engine as it should be."""

    name: str
    precision: str
    engine: Path
    typed: Path
    golden: Golden

    @property
    def frames(self) -> list[dict[str, np.ndarray]]:
        return [self.golden.feeds(frame) for frame in range(FRAMES)]

    def proven(self, engine: Path | None = None) -> Proven:
        return Proven(engine or self.engine, self.typed, self.precision, self.golden)


def healthy(name: str, precision: str, folder: Path, profile: str = "ort-x86", **how: Any) -> Healthy:
    """An engine of a reference network; ``how`` goes to PTQ, and ``first`` to the calibration frames."""
    source = reference(name).write(folder)
    typed, first = source, how.pop("first", 0)
    if precision == "int8":
        config = ptq.Config(method="ptq", **how)
        typed = folder / f"{name}.typed.onnx"
        typed.write_bytes(ptq.apply(Job(source, reference(name).frames(first=first), profile), config).model)
    return built(name, precision, source, typed, list(reference(name).frames(FRAMES, OTHERS)), folder)


def built(
    name: str, precision: str, source: Path, typed: Path, frames: list[dict[str, np.ndarray]], folder: Path
) -> Healthy:
    """The engine of a typed model."""
    engine = folder / f"{name}.{precision}{ort.Backend.suffix}"
    ort.Backend(CPU).build(typed, engine)
    return Healthy(name, precision, engine, typed, typed_golden(source, typed, precision, frames))


def compressed(name: str, folder: Path, scratch: Path) -> Healthy:
    """An engine of what ``edgekit compress`` wrote."""
    engine = scratch / f"{name}{ort.Backend.suffix}"
    ort.Backend(CPU).build(folder / "int8.onnx", engine)
    return Healthy(name, "int8", engine, folder / "int8.onnx", Golden.read(folder / "golden.npz"))


def plant(it: Healthy, kind: str, seed: int, scratch: Path) -> tuple[mutations.Fault, float, dict[str, int]] | None:
    """A fault that counts, how far it moves its layer, and how many were drawn that do not count.

    Those move nothing by more than a step, or give an engine that the runtime refuses, which no check has to find.
    """
    whole = onnx.load(it.engine)
    inner = inner_of(it)
    mutations.learn_types(it.frames, inner)
    random = np.random.default_rng([seed, mutations.KINDS.index(kind), *it.name.encode(), *it.precision.encode()])
    apart = broken = 0
    for _ in range(DRAWS):
        try:
            fault = mutations.draw(whole, kind, random)
            if fault is None:
                return None
            moved = mutations.moves(whole, fault, it.frames, inner)
            session = mutations.opened(fault.model)
            for feeds in it.frames:
                session.run(None, feeds)
        except Exception as problem:
            if not type(problem).__module__.startswith("onnxruntime"):
                raise
            broken += 1
            continue
        if moved > 1:
            (scratch / f"fault{ort.Backend.suffix}").write_bytes(fault.model.SerializeToString())
            return fault, moved, {"drawn_apart": apart, "does_not_run": broken}
        apart += 1
    return None


_KEPT: dict[Path, list[dict[str, np.ndarray]]] = {}


def inner_of(it: Healthy) -> list[dict[str, np.ndarray]]:
    """Every tensor of the healthy engine, kept for the last one asked for."""
    if it.engine not in _KEPT:
        _KEPT.clear()
        _KEPT[it.engine] = mutations.tensors_of(onnx.load(it.engine), it.frames)
    return _KEPT[it.engine]


def judge(it: Healthy, fault: mutations.Fault, scratch: Path) -> dict[str, Any]:
    """What the parity check says of a faulty engine."""
    file = scratch / f"fault{ort.Backend.suffix}"
    engine, source = read_graph(it.engine), read_graph(it.typed)
    groups = members(engine, source)
    guilty = {engine.nodes[at].name for at in fault.nodes}
    guilty |= {source.nodes[node].name for at in fault.nodes for node in groups[at]}
    try:
        report = check(ort.Backend(CPU), it.proven(file), limits_of(it.precision))
    except EdgekitError as problem:
        return {"found": True, "named": False, "by": "error", "said": str(problem)[:200]}
    first = report.layers.departed[0] if report.layers is not None and report.layers.departed else None
    named = first is not None and bool(guilty & {first.layer, *first.nodes})
    by = "layers" if first is not None else "outputs"
    return {
        "found": report.verdict == "fail",
        "named": named,
        "by": by,
        "said": str(first),
        "guilty": sorted(guilty)[:4],
    }


def run_faults(count: int, first: int, folders: dict[str, Path], store: Path) -> None:
    done = _stored(store)
    names = [(name, "int8") for name in (*folders, *MODELS)] + [(name, "fp32") for name in MODELS]
    seen = {(f["network"], f["precision"], f["kind"], f["seed"]) for f in (*done["faults"], *done["none"])}
    with tempfile.TemporaryDirectory() as folder:
        scratch, made = Path(folder), {}
        for seed, kind, (name, precision) in product(range(first, first + 1000), mutations.KINDS, names):
            if len(done["faults"]) >= count:
                break
            if (name, precision, kind, seed) in seen or (
                (name, precision, kind, first) in _empty(done) and seed > first
            ):
                continue
            key = (name, precision)
            if key not in made:
                own = scratch / f"{name}-{precision}"
                own.mkdir()
                made[key] = compressed(name, folders[name], own) if name in folders else healthy(name, precision, own)
            it = made[key]
            label = {"network": name, "precision": precision, "kind": kind, "seed": seed}
            planted = plant(it, kind, seed, scratch)
            if planted is None:
                done["none"].append(label)
            else:
                fault, moved, apart = planted
                done["faults"].append({**label, "steps": min(moved, 1e9), **apart, **judge(it, fault, scratch)})
            _write(store, done)


def _empty(done: dict[str, Any]) -> set[tuple[str, str, str, int]]:
    return {(f["network"], f["precision"], f["kind"], f["seed"]) for f in done["none"]}


def run_builds(subsets: int, store: Path, most: int) -> None:
    done = _stored(store)
    seen = {tuple(b["of"]) for b in done["builds"]}
    with tempfile.TemporaryDirectory() as folder:
        for subset, calibrator, profile, name in product(range(subsets), CALIBRATORS, PROFILES, MODELS):
            of = (name, profile, calibrator, subset)
            if of in seen:
                continue
            if len(done["builds"]) >= most:
                break
            try:
                it = healthy(name, "int8", Path(folder), profile, calibrator=calibrator, first=1000 + 7 * subset)
                found = said(it)
            except EdgekitError as problem:
                found = not_built(problem)
            done["builds"].append({"of": of, **found})
            _write(store, done)


def run_peers(camvid: Path, store: Path, most: int) -> None:
    """As :func:`run_builds`, over the networks of benchmarks/peers."""
    done = _stored(store)
    seen = {tuple(b["of"]) for b in done["builds"]}
    with tempfile.TemporaryDirectory() as folder:
        for subset, calibrator, name in product(range(peers.SUBSETS), peers.CALIBRATORS, peers.MODELS):
            wanted = [profile for profile in PROFILES if (name, profile, calibrator, subset) not in seen]
            if not wanted or len(done["builds"]) >= most:
                continue
            source = peers.exported(name, Path(folder))
            frames = peers.calibration(name, camvid, subset)
            judge = TaskComparison(peers.task(name), frames, source)
            golden = list(peers.golden(name, camvid, FRAMES))
            for profile, content in peers.typed_models(source, frames, calibrator, wanted):
                began = time.perf_counter()
                typed = Path(folder) / f"{name}.typed.onnx"
                typed.write_bytes(content)
                try:
                    found = said(built(name, "int8", source, typed, golden, Path(folder)), judge)
                except EdgekitError as problem:
                    found = not_built(problem)
                seconds = round(time.perf_counter() - began, 1)
                done["builds"].append({"of": (name, profile, calibrator, subset), **found, "seconds": seconds})
                _write(store, done)


def said(it: Healthy, judge: TaskComparison | None = None) -> dict[str, Any]:
    """What the parity check says of a right engine."""
    limits, agreement = limits_of(it.precision), None
    if judge is not None:
        with ort.Backend(CPU).engine(it.engine) as engine:
            agreement = judge.ask(engine, it.typed, limits)
    report = check(ort.Backend(CPU), it.proven(), limits, agreement)
    worst = report.layers.worst[0] if report.layers is not None and report.layers.worst else None
    found: dict[str, Any] = {"verdict": report.verdict, "worst_steps": None if worst is None else worst.steps}
    if agreement is not None:
        outputs = [{"kind": o.kind, "distance": o.distance, "limit": o.limit} for o in report.outputs]
        second = {key: getattr(agreement, key) for key in ("disagreement", "noise", "limit")}
        found |= {"worst_layer": str(worst), "outputs": outputs, "judge": second}
    return found


def not_built(problem: EdgekitError) -> dict[str, Any]:
    return {"verdict": f"not built: {str(problem)[:80]}", "worst_steps": None}


def summary(done: dict[str, Any]) -> dict[str, Any]:
    """Counts of what was run."""
    faults, builds = done["faults"], done["builds"]
    ran = [b for b in builds if not b["verdict"].startswith("not built")]
    return {
        "faults": len(faults),
        "networks": sorted({f["network"] for f in faults}),
        "found": sum(f["found"] for f in faults),
        "named": sum(f["named"] for f in faults),
        "counted_apart": sum(f["drawn_apart"] for f in faults),
        "does_not_run": sum(f["does_not_run"] for f in faults),
        "kinds": dict(Counter(f["kind"] for f in faults)),
        "missed": [f for f in faults if not f["found"]],
        "builds": len(ran),
        "not_built": len(builds) - len(ran),
        "refused": [b for b in ran if b["verdict"] != "pass"],
        "worst_steps": max((b["worst_steps"] for b in ran if b["worst_steps"] is not None), default=None),
    }


def _stored(store: Path) -> dict[str, Any]:
    empty: dict[str, Any] = {"faults": [], "none": [], "builds": []}
    if not store.is_file():
        return empty
    found = json.loads(store.read_text())
    found["builds"] = [{**b, "of": tuple(b["of"])} for b in found["builds"]]
    return empty | {key: found[key] for key in empty}


def _write(store: Path, done: dict[str, Any]) -> None:
    write_json(
        store, {"summary": summary(done), "machine": asdict(machine()), "date": time.strftime("%Y-%m-%d"), **done}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("faults", "builds"))
    parser.add_argument("--count", type=int, default=200, help="faults that count")
    parser.add_argument("--first-seed", type=int, default=100, help="of the draws")
    parser.add_argument("--subsets", type=int, default=20, help="calibration subsets")
    parser.add_argument("--peers", type=Path, help="CamVid's folder: builds of the networks of benchmarks/peers")
    parser.add_argument("--most", type=int, default=10**6, help="builds in all")
    parser.add_argument("--compressed", action="append", default=[], help="NAME=FOLDER of edgekit compress")
    parser.add_argument("--store", type=Path, default=RESULTS)
    args = parser.parse_args()
    if args.what == "faults":
        folders = {name: Path(folder) for name, _, folder in (text.partition("=") for text in args.compressed)}
        run_faults(args.count, args.first_seed, folders, args.store)
    elif args.peers is not None:
        run_peers(args.peers, args.store, args.most)
    else:
        run_builds(args.subsets, args.store, args.most)
    print(json.dumps({k: v for k, v in summary(_stored(args.store)).items() if k != "missed"}, indent=2))


if __name__ == "__main__":
    main()
