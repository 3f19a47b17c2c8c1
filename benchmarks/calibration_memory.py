"""Peak resident memory of calibration with few frames and with many, each in its own process.

python benchmarks/calibration_memory.py examples/camvid --frames 32 3200 --json

Frames beyond the end of the data set start again from its first one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

CHILD = """
import json, sys, time
from pathlib import Path
from edgekit.core.specfile import read_spec
from edgekit.preprocess import Preprocess
from edgekit.quantize import ptq
from edgekit.technique import Job

class Cycled:
    def __init__(self, spec, count):
        self.frames = spec.data.calibration.model_copy(update={"limit": None}).open()
        self.preprocess = Preprocess(spec.preprocess)
        self.count = count
    def __len__(self):
        return self.count
    def __iter__(self):
        return (self.preprocess(self.frames[i % len(self.frames)].images).feeds for i in range(self.count))

spec = read_spec(Path(sys.argv[1]))
start = time.monotonic()
config = ptq.Config(calibrator=sys.argv[4])
record = ptq.apply(Job(Path(sys.argv[2]), Cycled(spec, int(sys.argv[3]))), config).record
status = Path("/proc/self/status").read_text().splitlines()
peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
seconds = round(time.monotonic() - start, 2)
print(json.dumps({"frames": record["frames"], "peak_rss_mib": peak / 1024, "quantize_s": seconds}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("project", type=Path, help="folder with edgekit.yaml on which edgekit compress has run")
    parser.add_argument("--frames", type=int, nargs=2, default=(32, 3200))
    parser.add_argument("--calibrator", default="percentile")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    (model,) = args.project.glob("artifacts/*-compressed/fp32.onnx")
    runs = []
    for frames in args.frames:
        command = [sys.executable, "-c", CHILD, str(args.project), str(model), str(frames), args.calibrator]
        runs.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    ratio = runs[1]["peak_rss_mib"] / runs[0]["peak_rss_mib"]
    if args.json:
        print(json.dumps({"calibrator": args.calibrator, "runs": runs, "ratio": ratio}, indent=2))
    else:
        for run in runs:
            print("{frames} frames: peak {peak_rss_mib:.0f} MiB, {quantize_s:.1f} s".format(**run))
        print(f"ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
