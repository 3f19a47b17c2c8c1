"""CPU seconds of a first build, of one where nothing changed, and what the export's own process adds to the first.

python benchmarks/rebuild_cost.py PROJECT TARGET [--runs 5] [--json]

PROJECT is copied.  CPU seconds of the command and of all its children, in turn; the process of its own is compared
with the same work, recording included, done in one process.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HEAVY = ("torch", "onnx", "onnxruntime", "cv2")
BUILD = (
    "import sys; from edgekit import pipeline; from pathlib import Path; pipeline.build(Path(sys.argv[1]), sys.argv[2])"
)
IN_ONE = (
    "import importlib; import edgekit.stages.child as child; "
    "child.run = lambda module, order, folder, progress: importlib.import_module(module).work(order, progress); "
)
LOADED = f"; print([m for m in {HEAVY} if m in sys.modules])"


def cpu_seconds(code: str, *words: str) -> tuple[float, str]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code, *words], check=True, stdout=subprocess.PIPE, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("project", type=Path)
    parser.add_argument("target")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    times: dict[str, list[float]] = {"first": [], "first_in_one_process": [], "unchanged": []}
    loaded = ""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        shutil.copytree(args.project, project, ignore=shutil.ignore_patterns(".edgekit", "artifacts"))
        words = (str(project), args.target)
        for _ in range(args.runs):
            for name, code in (("first_in_one_process", IN_ONE + BUILD), ("first", BUILD)):
                shutil.rmtree(project / ".edgekit", ignore_errors=True)
                times[name].append(cpu_seconds(code, *words)[0])
            seconds, loaded = cpu_seconds(BUILD + LOADED, *words)
            times["unchanged"].append(seconds)
    result = {f"{name}_cpu_s_median": statistics.median(found) for name, found in times.items()}
    result |= {f"{name}_cpu_s": found for name, found in times.items()}
    if args.json:
        print(json.dumps(result | {"loaded_when_unchanged": loaded}, indent=2))
    else:
        print(", ".join(f"{name} {statistics.median(found):.2f} s" for name, found in times.items()), loaded)


if __name__ == "__main__":
    main()
