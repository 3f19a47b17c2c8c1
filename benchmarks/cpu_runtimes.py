"""Bundles of one network for several runtimes, in turn in one process: INT8 and FP32 of each.

    python benchmarks/cpu_runtimes.py BUNDLE BUNDLE... [--openings 10] [--json FILE]

Every engine is opened anew again and again, and asked in turn on its bundle's first golden input.  Times are of the
processor, not of the clock: with one thread they say the same, and a busy machine disturbs them less.  Of bundles whose
runtime tells it, the table of layers says what computes in which type, and which layers stay float or only convert.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgekit import engine as engines
from edgekit.bundle import Bundle, open_bundle
from edgekit.core.artifacts import write_json
from edgekit.core.tensors import Arrays
from edgekit.engine import Engine, layers_path
from edgekit.profiling import machine
from edgekit.runtime import processor
from edgekit.stats import faster

EACH, SETTLING = 8, 2


def openers(bundles: dict[str, Bundle]) -> dict[str, tuple[Any, Arrays]]:
    """What opens each engine, and its input, by ``<runtime> <precision>``."""
    found = {}
    for name, bundle in bundles.items():
        backend = engines.backend(bundle.contents.engine)
        for role in (bundle.contents.candidate, bundle.contents.control):
            if role is not None:
                path = bundle.path / role.file
                found[f"{name} {role.precision}"] = (partial(backend.engine, path), bundle.golden(role).feeds(0))
    return found


def timed(which: dict[str, tuple[Any, Arrays]], openings: int) -> dict[str, list[float]]:
    """Milliseconds of processor time of each query: ``openings`` equal parts of ``EACH``."""
    times: dict[str, list[float]] = {name: [] for name in which}
    order = list(which)
    for _ in range(openings):
        with ExitStack() as stack:
            opened: dict[str, Engine] = {name: stack.enter_context(which[name][0]()) for name in order}
            for query in range(SETTLING + EACH):
                for name in order:
                    start = time.process_time()
                    opened[name].infer(which[name][1])
                    if query >= SETTLING:
                        times[name].append((time.process_time() - start) * 1e3)
                order.reverse()
        order.reverse()
    return times


def ratios(times: dict[str, list[float]], openings: int) -> dict[str, str]:
    """How many times as fast each engine is as the first FP32 one, and as its own runtime's."""
    first = next(name for name in times if name.endswith("fp32"))
    found = {}
    for name in times:
        for other in dict.fromkeys((first, f"{name.split()[0]} fp32")):
            if other != name:
                found[f"{name} over {other}"] = str(faster.speedup(times[other], times[name], openings))
    for precision in ("fp32", "int8"):
        a, b = (next((n for n in times if n == f"{runtime} {precision}"), None) for runtime in ("ov", "ort"))
        if a and b:
            found[f"{a} over {b}"] = str(faster.speedup(times[b], times[a], openings))
    return found


def layers(bundle: Bundle) -> dict[str, Any]:
    """Of the candidate: layers by operator and type, and float ones by name; nothing where no list is kept."""
    listed = layers_path(bundle.path / bundle.contents.candidate.file)
    if not listed.is_file():
        return {}
    told = json.loads(listed.read_text())["layers"]
    counts = Counter(f"{one['op']} {one['precision']}" for one in told if "op" in one)
    skipped = ("Input", "Output", "Reshape")
    wide = [f"{one['op']}: {one['name']}" for one in told if one["precision"] == "f32" and one["op"] not in skipped]
    return {"layers": dict(counts.most_common()), "float": wide}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--openings", type=int, default=faster.OPENINGS)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    bundles = {found.contents.engine.engine: found for found in map(open_bundle, given.bundles)}
    times = timed(openers(bundles), given.openings)
    here = machine()
    document = {
        "about": "processor time of a query in turn, one process",
        "machine": {"cpu": here.cpu, "isa": processor.instruction_sets(), "load_1min": here.load_average_1min},
        "runtimes": {name: bundle.manifest["device"] for name, bundle in bundles.items()},
        "openings": given.openings,
        "p50_ms": {name: round(float(np.median(found)), 3) for name, found in times.items()},
        "ratios": ratios(times, given.openings),
        "layers": {name: found for name, bundle in bundles.items() if (found := layers(bundle))},
    }
    print(json.dumps(document, indent=1))
    if given.json:
        write_json(given.json, document)


if __name__ == "__main__":
    main()
