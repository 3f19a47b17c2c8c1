"""What the node's diagnostics cost: processor time of one core for each frame, all of it together.

python benchmarks/health_cost.py --json

Frames of 1280 x 720 with noise, outputs and the mask of a segmentation network, drift against a reference, statuses ten
times a second. Rounds are counted alone and the median is told, because other work on the machine slows some of them.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from edgekit.core.predictions import LabelMap
from edgekit.evaluation.input_statistics import measure, statistics_of
from edgekit.ros2_node.health import Hardware, Limits, Monitor, Processed

HZ = 30


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (720, 1280, 3), np.uint8) for _ in range(4)]
    outputs = [{"logits": rng.normal(size=(1, 12, 360, 480)).astype(np.float32)} for _ in range(4)]
    mask = LabelMap(rng.integers(0, 11, (720, 1280)).astype(np.uint8))
    reference = statistics_of([measure(frame) for frame in frames * 2], "noise")
    now_s, spent, longest = 100.0, [], []
    with Hardware() as hardware:
        monitor = Monitor(Limits(), [""], reference, hardware)
        monitor.active(True, now_s)
        for _ in range(args.rounds):
            each = []
            for k in range(HZ):
                now_s += 1 / HZ
                start = time.thread_time()
                monitor.received("", now_s - 0.01, now_s)
                monitor.processed(Processed("", now_s - 0.01, now_s, frames[k % 4], outputs[k % 4], mask))
                if k % 3 == 0:
                    monitor.statuses(now_s)
                each.append(1e3 * (time.thread_time() - start))
            spent.append(sum(each) / HZ)
            longest.append(max(each))
    found = {
        "frames": args.rounds * HZ,
        "cpu_ms_per_frame_median": float(np.median(spent)),
        "cpu_ms_per_frame_worst_round": max(spent),
        "cpu_ms_longest_frame_median": float(np.median(longest)),
    }
    print(json.dumps(found) if args.json else "\n".join(f"{key}: {value:.3f}" for key, value in found.items()))


if __name__ == "__main__":
    main()
