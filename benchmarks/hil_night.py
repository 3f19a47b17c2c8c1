"""Nights on this machine: A/A nights that stay green, planted regressions that are found, runs that the search takes.

python benchmarks/hil_night.py WORK [--nights 20] [--queries 400] [--seconds 1800]

The driving network of the tests, wide enough that one more block of channels is a small share of its time.  `edgekit
gate` on this machine stands in for a board.  An A/A night is a bundle under a new digest that changes nothing.  `slow`
has one block of channels more, `dull` other weights, which lose the dark frames; each is hidden among 16 bundles.
WORK keeps bundles, nights and counts: a run that was ended, or that used up its SECONDS, goes on.  Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "hil" / "src")]

from hil.tests.night import driving  # noqa: E402
from hil.tests.night.local import here  # noqa: E402

from edgekit.core.artifacts import write_json  # noqa: E402
from edgekit.core.progress import Silent  # noqa: E402
from edgekit_hil.night.nightly import run_night  # noqa: E402
from edgekit_hil.night.plan import read_plan  # noqa: E402
from edgekit_hil.night.report import NightReport  # noqa: E402
from edgekit_hil.night.shelf import ware  # noqa: E402

CHANNELS, WIDER = 160, 176
RATIO = 1.05
PLACES = (3, 9, 14)
"""Where among 16 a regression begins."""
PLAN = """\
boards: {{this: {{environment: this.yaml, must_pass: true}}}}
bundles: {{drive: {{path: {bundle}, between: {between}}}}}
queries: {queries}
aa: {aa}
"""


def bundles(work: Path) -> dict[str, Path]:
    """The good bundle and those with a planted regression, built once."""
    data = work / "data"
    if not (data / "test.txt").exists():
        shutil.rmtree(data, ignore_errors=True)
        driving.write_data(data)
    asked: dict[str, tuple[int, float]] = {
        "good": (CHANNELS, driving.SURE), "slow": (WIDER, driving.SURE), "dull": (CHANNELS, 0.25),
    }  # fmt: skip
    for name, (channels, sure) in asked.items():
        if not (work / name / "artifacts" / "drive-cpu" / "manifest.json").exists():
            shutil.rmtree(work / name, ignore_errors=True)
            driving.build(work / name, data, channels, sure, RATIO)
    return {name: work / name / "artifacts" / "drive-cpu" for name in asked}


def night(folder: Path, bundle: Path, between: Path, queries: int, aa: str) -> NightReport:
    """One night in a rack of its own, whose last-good is set by the first night there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "this.yaml").write_text("targets: {}\n")
    (folder / "plan.yaml").write_text(PLAN.format(bundle=bundle, between=between, queries=queries, aa=aa))
    return run_night(read_plan(folder / "plan.yaml"), here, Silent()).report


def said(report: NightReport) -> dict[str, Any]:
    """What is counted of a night."""
    kpis = [] if report.results[0].gate is None else report.results[0].gate.kpis
    return {
        "verdict": report.verdict,
        "why": report.why,
        "ratio": next((k.limit.ratio for k in kpis if k.limit.kind == "baseline_ratio"), None),
        "seconds": round(report.seconds, 1),
        "load": round(os.getloadavg()[0], 1),
        "regressions": [
            {"title": one.title, "suspects": [s.identity for s in one.suspects], "runs": len(one.probes)}
            for one in report.regressions
        ],
    }


def aa_night(work: Path, good: Path, number: int, queries: int) -> dict[str, Any]:
    """A bundle that changes nothing, on the rack of all A/A nights; before the first one last-good is set there."""
    if not (work / "aa" / "nights").exists():
        night(work / "aa", good, work / "aa-bundles", queries, "never")
    changed = work / "aa-bundles" / str(number)
    if not changed.exists():
        driving.variant(good, changed, 1000 + number)
    return said(night(work / "aa", changed, work / "aa-bundles", queries, "when-red"))


def planted_night(work: Path, made: dict[str, Path], kind: str, place: int, queries: int) -> dict[str, Any]:
    """``kind`` begins with bundle ``place`` of 16; the night judges the last of them."""
    rack = work / f"{kind}-{place}"
    between = rack / "between"
    for number in range(1, 17):
        if not (between / f"{number:02}").exists():
            driving.variant(made[kind if number >= place else "good"], between / f"{number:02}", 2000 + number)
    night(rack, made["good"], between, queries, "when-red")
    found = said(night(rack, between / "16", between, queries, "when-red"))
    wanted = ware(between / f"{place:02}").known.identity
    named = [one for one in found["regressions"] if one["suspects"] == [wanted]]
    return {**found, "named": bool(named), "search": named[0]["runs"] if named else None}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("work", type=Path)
    parser.add_argument("--nights", type=int, default=20)
    parser.add_argument("--queries", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=1800.0)
    options = parser.parse_args()
    work: Path = options.work.resolve()
    (work / "aa-bundles").mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + options.seconds
    file = work / "counts.json"
    counts: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    made = bundles(work)
    todo = [("planted", f"{kind} {place}") for place in PLACES for kind in ("slow", "dull")]
    todo[2:2] = [("aa", str(number)) for number in range(options.nights)]
    for group, name in todo:
        if name in counts.setdefault(group, {}) or time.monotonic() > end:
            continue
        if group == "aa":
            counts[group][name] = aa_night(work, made["good"], int(name), options.queries)
        else:
            kind, place = name.split()
            counts[group][name] = planted_night(work, made, kind, int(place), options.queries)
        write_json(file, counts)
    aa, planted = counts.get("aa", {}).values(), counts.get("planted", {})
    document = {
        "machine": platform.processor() or platform.machine(),
        "queries": options.queries,
        "aa_nights": len(aa),
        "aa_green": sum(one["verdict"] == "pass" for one in aa),
        "aa_not_green": [one["why"] for one in aa if one["verdict"] != "pass"],
        "planted": len(planted),
        "planted_red": sum(one["verdict"] == "fail" for one in planted.values()),
        "planted_named": sum(one["named"] for one in planted.values()),
        "most_runs_of_a_search": max((one["search"] or 0 for one in planted.values()), default=0),
        "nights": counts,
    }
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
