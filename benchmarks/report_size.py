"""Bytes of a report, and how long Chromium takes to open it (the best and the median of runs), as JSON.

python benchmarks/report_size.py --frames 5000 --runs 5

`parsed_ms` is until words, tables and pictures are there (DOMContentLoaded), `drawn_ms` until the charts in view are
drawn as well; both are the browser's own clock from the start of the navigation. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.chromium import browser
from tests.support.report_content import content

from edgekit.reporting import write_html

LOADED = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"


def open_times(page_file: Path, runs: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {"parsed_ms": [], "drawn_ms": []}
    with browser() as opened:
        for _ in range(runs):
            page = opened.new_page(viewport={"width": 1280, "height": 900})
            page.goto(page_file.as_uri())
            page.wait_for_selector("html[data-ready]", state="attached")
            times["parsed_ms"].append(round(float(page.evaluate(LOADED)), 1))
            times["drawn_ms"].append(float(page.get_attribute("html", "data-ready") or "nan"))
            page.close()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--frames", type=int, default=5000, help="queries and frames of the run")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    made = content(args.frames)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        start = time.perf_counter()
        write_html(path, made)
        result = {"frames": args.frames, "bytes": path.stat().st_size, "write_s": round(time.perf_counter() - start, 2)}
        times = open_times(path, args.runs)
    for name, values in times.items():
        result |= {f"{name}_min": min(values), f"{name}_median": statistics.median(values)}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
