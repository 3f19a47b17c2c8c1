"""What only a GPU can show: run it on the day when one is at hand.

    make gpu-check PYTHON=/usr/bin/python3 WHEELS=~/wheels

Needs this repository and an interpreter that sees PyTorch with CUDA and cuda-bindings; nvcc, ONNX Runtime's CUDA
provider and TensorRT are used where they are.  What is missing is skipped by name.  No network and no virtual
environment: ``src/`` goes on the interpreter's path, and so do the wheels of ``WHEELS`` that fit it, behind what it
has already.  Every part runs in a process of its own, because one that breaks the device leaves it broken.

Exit code 0: what ran holds; 1: a part failed; 3: nothing ran.  The last line says which.  This file and
``gpu_parts/here.py`` import nothing that the interpreter may lack.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gpu_parts import here

BENCHMARKS = Path(__file__).resolve().parent
RESULTS = BENCHMARKS / "results" / "gpu_check.json"
PARTS = ("memory", "buffers", "kernel", "preprocess", "places", "training", "compress", "onnxruntime", "tensorrt")
BUDGET_S, LEAST_S = 290.0, 5.0
MARK = "gpu_check: "


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, help="folder of wheels for what edgekit lacks in this interpreter")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the JSON file to write")
    parser.add_argument("--parts", default=",".join(PARTS), help="those to run, with commas between")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        return _child(options.part)
    wanted = options.parts.split(",")
    unknown = [name for name in wanted if name not in PARTS]
    if unknown or (options.wheels and not options.wheels.is_dir()):
        parser.error(f"no part {unknown[0]!r}; {', '.join(PARTS)}" if unknown else f"no folder {options.wheels}")
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as scratch:
        environment = _environment(options.wheels, Path(scratch))
        document: dict[str, Any] = {"machine": here.facts(environment), "parts": {}}
        _run(wanted, environment, document)
    ran = any(found["status"] != "skipped" for found in document["parts"].values())
    if ran or options.out != RESULTS:  # the record of a machine with a GPU is not lost to one without
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(document, indent=2) + "\n")
        print(f"wrote {options.out}")
    return _verdict(document["parts"])


def _environment(wheels: Path | None, scratch: Path) -> dict[str, str]:
    """That of the parts: src/ before everything, the wheels behind everything."""
    late = [str(here.unpack(wheels, scratch / "wheels"))] if wheels else []
    paths = [str(BENCHMARKS.parent / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), here.LATE: os.pathsep.join(late)}


def _run(wanted: list[str], environment: dict[str, str], document: dict[str, Any]) -> None:
    began = time.monotonic()
    for name in wanted:
        left = BUDGET_S - (time.monotonic() - began)
        started = time.monotonic()
        found = _part(name, environment, left)
        found["seconds"] = round(time.monotonic() - started, 1)
        document["parts"][name] = found
        detail = found.get("why") or ", ".join(f"{key} {value}" for key, value in found.get("figures", {}).items())
        print(f"{name}: {found['status']} ({found['seconds']} s): {detail}", flush=True)


def _part(name: str, environment: dict[str, str], left_s: float) -> dict[str, Any]:
    if left_s < LEAST_S:
        why = f"the {BUDGET_S:.0f} s of the whole check are over"
        return {"status": "skipped", "why": why, "lacks": "time"}
    command = [sys.executable, str(BENCHMARKS / "gpu_check.py"), "--part", name]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=left_s, check=False)
    except subprocess.TimeoutExpired:
        return {"status": "failed", "why": f"not done after {left_s:.0f} s"}
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if not lines:
        return {"status": "failed", "why": f"ended with {done.returncode}: {done.stderr.strip()[-1500:]}"}
    answer: dict[str, Any] = json.loads(lines[-1][len(MARK) :])
    return answer


def _child(name: str) -> int:
    """Run one part here; prints its answer as a line of JSON."""
    here.look_late()
    try:
        from gpu_parts import parts

        answer = parts.answer(name)
    except ModuleNotFoundError as error:
        if str(error.name).startswith(("edgekit", "gpu_parts")):
            raise
        why = f"this interpreter has no {error.name}; give it, or a wheel in WHEELS"
        answer = {"status": "skipped", "why": why, "lacks": error.name}
    print(MARK + json.dumps(answer), flush=True)
    return 0


def _verdict(parts: dict[str, Any]) -> int:
    groups = {status: [n for n, found in parts.items() if found["status"] == status] for status in ("passed", "failed")}
    skipped = [f"{name} (no {found['lacks']})" for name, found in parts.items() if found["status"] == "skipped"]
    said = f"skipped: {', '.join(skipped) or 'none'}"
    if not groups["passed"] and not groups["failed"]:
        print(f"nothing ran; {said}")
        return 3
    ran = ", ".join(groups["passed"]) or "none"
    print(f"ran and holds: {ran}; failed: {', '.join(groups['failed']) or 'none'}; {said}")
    return 1 if groups["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
