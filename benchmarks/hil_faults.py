"""Every fault of edgekit-hil, repeated on a board on the loopback: verdict, lease, power mode and bundles after each.

python benchmarks/hil_faults.py [--repeats 10] [--only NAME ...] [--bag BAG] [--out results.json]

Each trial is a whole `edgekit hil run` of a tiny bundle with one fault.  After it the verdict has to be the fault's
own, the board's lease given back, power mode and clocks the former ones, and no bundle on it half there.  camera_stop
needs a bag and EDGEKIT_ROS_PYTHON, disk_full root; what cannot run is listed as skipped.  With --out, trials that the
file has are not repeated.  Prints JSON; exit code 1 when a trial was not as it has to be.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from hil.tests.support.rig import Rig, rig  # noqa: E402
from tests.support.projects import write_project  # noqa: E402

from edgekit.core.artifacts import write_json  # noqa: E402
from edgekit_hil.faults.board import Fault, faults  # noqa: E402


def lacking(fault: Fault, bag: Path | None) -> str:
    """Why a fault cannot be tried here; empty: it can."""
    if fault.name == "disk_full" and os.getuid() != 0:
        return "mounting needs root"
    if fault.name == "camera_stop" and (bag is None or "EDGEKIT_ROS_PYTHON" not in os.environ):
        return "needs --bag and EDGEKIT_ROS_PYTHON"
    return ""


def trial(board: Rig, fault: Fault, bundle: Path, bag: Path | None, out: Path) -> dict[str, Any]:
    """One trial as it is written."""
    done = board.trial(fault, bundle, out, bag if fault.name == "camera_stop" else None)
    report = done.report
    good = report.verdict == fault.expects and done.released and done.restored and not done.half
    return {
        "good": good,
        "verdict": report.verdict,
        "exit_code": report.exit_code,
        "why": report.why,
        "released": done.released,
        "restored": done.restored,
        "half": done.half,
        "throttled": report.board.facts.get("throttled", ""),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--bag", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    document: dict[str, Any] = {"trials": {}, "skipped": {}}
    if arguments.out is not None and arguments.out.exists():
        document = json.loads(arguments.out.read_text("utf-8"))
    os.environ["EDGEKIT_HISTORY"] = "off"
    import edgekit

    with tempfile.TemporaryDirectory() as folder:
        spec = write_project(Path(folder) / "project")
        edgekit.build(spec, target="cpu")
        with rig(Path(folder) / "server") as board:
            for fault in faults():
                if arguments.only and fault.name not in arguments.only:
                    continue
                if why := lacking(fault, arguments.bag):
                    document["skipped"][fault.name] = why
                    continue
                document["skipped"].pop(fault.name, None)
                trials = document["trials"].setdefault(fault.name, [])
                while len(trials) < arguments.repeats:
                    bundle = spec.parent / "artifacts" / "tiny-cpu"
                    trials.append(trial(board, fault, bundle, arguments.bag, Path(folder) / "runs"))
                    print(f"{fault.name}: {trials[-1]['verdict']}, {trials[-1]['why']}", file=sys.stderr)
                    if arguments.out is not None:
                        write_json(arguments.out, document)
    document["good"] = {
        name: f"{sum(one['good'] for one in trials)} of {len(trials)}" for name, trials in document["trials"].items()
    }
    if arguments.out is not None:
        write_json(arguments.out, document)
    print(json.dumps(document, indent=1))
    return 0 if all(one["good"] for trials in document["trials"].values() for one in trials) else 1


if __name__ == "__main__":
    sys.exit(main())
