"""Peak resident memory of calibration with few frames and with many, each in its own process.

python benchmarks/calibration_memory.py examples/camvid --frames 32 367 --json
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
spec = read_spec(Path(sys.argv[1]))
frames = spec.data.calibration.model_copy(update={"limit": int(sys.argv[3])}).open()
preprocess = Preprocess(spec.preprocess)
feeds = (preprocess(sample.images).feeds for sample in frames)
start = time.monotonic()
record = ptq.apply(Path(sys.argv[2]), feeds, spec.compress[0].quantize).record
status = Path("/proc/self/status").read_text().splitlines()
peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
seconds = round(time.monotonic() - start, 2)
print(json.dumps({"frames": record["frames"], "peak_rss_mib": peak / 1024, "quantize_s": seconds}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("project", type=Path, help="folder with edgekit.yaml on which edgekit compress has run")
    parser.add_argument("--frames", type=int, nargs=2, default=(32, 367))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    (model,) = args.project.glob("artifacts/*-compressed/fp32.onnx")
    runs = []
    for frames in args.frames:
        command = [sys.executable, "-c", CHILD, str(args.project / "edgekit.yaml"), str(model), str(frames)]
        runs.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    ratio = runs[1]["peak_rss_mib"] / runs[0]["peak_rss_mib"]
    if args.json:
        print(json.dumps({"runs": runs, "ratio": ratio}, indent=2))
    else:
        for run in runs:
            print("{frames} frames: peak {peak_rss_mib:.0f} MiB, {quantize_s:.1f} s".format(**run))
        print(f"ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
