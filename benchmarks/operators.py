"""What the operators of edgekit-ops gain, by level of instructions, and whether many sessions leave anything behind.

    python benchmarks/operators.py artifacts/yolox-coco-cpu --json        # a bundle with a target of engine: ort
    python benchmarks/operators.py artifacts/yolox-coco-cpu --sessions 10000
    python benchmarks/operators.py artifacts/camvid-pruned-cpu --against unpruned=artifacts/camvid-seg-cpu

The engines are made anew from the bundle's typed models: the FP32 control, INT8 without operators, and INT8 with them,
opened once for each level that this processor has (EDGEKIT_OPS_LEVEL).  All are opened ``--openings`` times and
asked in turn on one thread; the figure is processor time, the median of all queries, over that of the control.
``--against`` lets the engines of other bundles take part, without operators and with them: of a target with
``operators: false``, say, whose typed model is placed for ONNX Runtime alone, or of another network for the same input.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil

from edgekit.bundle import Bundle, open_bundle
from edgekit.engine import ort
from edgekit.onnxfile.graph import read_graph
from edgekit.profiling import machine
from edgekit.runtime import processor

LEVEL = "EDGEKIT_OPS_LEVEL"
FLAGS = {
    "scalar": (),
    "avx2": ("avx2",),
    "avx-vnni": ("avx_vnni",),
    "avx512-vnni": ("avx512_vnni",),
    "avx512-vbmi": ("avx512_vnni", "avx512vbmi"),
}
FLAGS |= {"neon": ("asimd",), "neon-dot": ("asimddp",)}
NARROW = ("scalar", "avx2", "neon")
SETTLING = 3


def levels() -> list[str]:
    """Those that this processor has."""
    names = [name for flags in FLAGS.values() for name in flags]
    here = set(processor.instruction_sets(names))
    return [level for level, flags in FLAGS.items() if here.issuperset(flags)]


def others(against: Sequence[str], folder: Path) -> dict[str, tuple[Path, str]]:
    """Engines of other bundles; of a name=bundle its control, its INT8 engine, and that with operators."""
    found = dict[str, tuple[Path, str]]()
    for number, (name, _, path) in enumerate(one.partition("=") for one in against):
        contents = (bundle := open_bundle(Path(path))).contents
        for kind, role, on in [
            ("fp32", contents.control, False),
            ("int8", contents.candidate, False),
            ("with", contents.candidate, True),
        ]:
            backend = ort.Backend(ort.Config(engine="ort", operators=on))
            if role is not None:
                found[f"{name}, {kind}"] = (folder / f"{number}{kind}{backend.suffix}", "")
                backend.build(bundle.path / role.model, found[f"{name}, {kind}"][0])
    return found


def built(bundle: Bundle, folder: Path) -> dict[str, tuple[Path, str]]:
    """Engine and level by name."""
    backend = {on: ort.Backend(ort.Config(engine="ort", operators=on)) for on in (False, True)}
    if backend[True].operators() is None:
        raise SystemExit("edgekit-ops is not installed: make cpp-ops, and PYTHONPATH=build/cpp/ops-python")
    if bundle.contents.control is None:
        raise SystemExit(f"{bundle.given}: the bundle has no FP32 control; its spec does not quantize")
    found: dict[str, tuple[Path, str]] = {}
    for name, role, on in [
        ("fp32", bundle.contents.control, False),
        ("int8", bundle.contents.candidate, False),
        ("with", bundle.contents.candidate, True),
    ]:
        found[name] = (folder / f"{name}{backend[on].suffix}", "")
        backend[on].build(bundle.path / role.model, found[name][0])
    rewritten, narrow = ort.operators.rewritten, folder / f"narrow{backend[True].suffix}"
    ort.operators.rewritten = lambda *given: rewritten(*given[:-1], False)  # as a processor without VNNI builds it
    backend[True].build(bundle.path / bundle.contents.candidate.model, narrow)
    ort.operators.rewritten = rewritten
    file = found.pop("with")[0]
    return found | {f"with, {level}": (narrow if level in NARROW else file, level) for level in levels()}


def race(engines: Mapping[str, tuple[Path, str]], feeds: Any, openings: int, each: int) -> dict[str, Any]:
    times: dict[str, list[float]] = {name: [] for name in engines}
    outputs: dict[str, Any] = {}
    for _ in range(openings):
        with ExitStack() as stack:
            opened = {}
            for name, (file, level) in engines.items():
                os.environ[LEVEL] = level
                opened[name] = stack.enter_context(ort.OrtEngine(file, ort.Config(engine="ort")))
            for query in range(SETTLING + each):
                for name, engine in opened.items():
                    start = time.process_time()
                    found = engine.infer(feeds)
                    if query >= SETTLING:
                        times[name].append((time.process_time() - start) * 1e3)
                        outputs[name] = found
    os.environ.pop(LEVEL)
    control = median(times["fp32"])
    return {
        name: {
            "ms": round(median(values), 3),
            "speedup": round(control / median(values), 3),
            "differs_from_int8": max(float(np.abs(a - outputs["int8"][k]).max()) for k, a in outputs[name].items()),
        }
        for name, values in times.items()
    }


def grown(file: Path, feeds: Any, sessions: int) -> dict[str, Any]:
    """Memory of the process in the second half of many openings, MiB; sizes are taken every hundredth of them."""
    sizes: list[float] = []
    for number in range(sessions):
        with ort.OrtEngine(file, ort.Config(engine="ort")) as engine:
            engine.infer(feeds)
        if number % max(1, sessions // 100) == 0:
            sizes.append(psutil.Process().memory_info().rss / 2**20)
    half = sizes[len(sizes) // 2 :]
    slope = float(np.polyfit(np.arange(len(half)), half, 1)[0]) * len(half)
    return {"sessions": sessions, "first_mib": sizes[0], "last_mib": sizes[-1], "second_half_grew_mib": round(slope, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--openings", type=int, default=5)
    parser.add_argument("--each", type=int, default=20)
    parser.add_argument("--sessions", type=int, default=0, help="open and close so many in place of the race")
    parser.add_argument("--against", nargs="*", default=[], metavar="NAME=BUNDLE", help="other bundles")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    bundle = open_bundle(args.bundle)
    feeds = bundle.golden().feeds(0)
    with tempfile.TemporaryDirectory() as folder:
        engines = built(bundle, Path(folder)) | others(args.against, Path(folder))
        operators = [node.op for node in read_graph(engines[f"with, {levels()[-1]}"][0]).nodes
                     if node.domain == "edgekit"]  # fmt: skip
        result: dict[str, Any] = {"bundle": bundle.name, "machine": asdict(machine())}
        result["operators"] = {name: operators.count(name) for name in dict.fromkeys(operators)}
        if args.sessions:
            result |= grown(engines[f"with, {levels()[-1]}"][0], feeds, args.sessions)
        else:
            result["engines"] = race(engines, feeds, args.openings, args.each)
    if args.json:
        print(json.dumps(result, indent=2))
    elif args.sessions:
        print({key: value for key, value in result.items() if key != "machine"})
    else:
        print(result["operators"])
        for name, one in result["engines"].items():
            print(f"{name:20} {one['ms']:8.2f} ms {one['speedup']:6.2f}x   differs by {one['differs_from_int8']:g}")


if __name__ == "__main__":
    main()
