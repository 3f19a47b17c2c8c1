"""How many of the boxes of a bundle's two engines, candidate and FP32 control, are the same on real frames.

    python benchmarks/detection_agreement.py BUNDLE --images $CAMVID/images/test --json

Boxes match that have one class and an IoU of at least 0.5.  ``agreement`` is 2 matched / (n + m) over all frames, among
the boxes of at least the task's ``confidence``.  A box whose score crosses that line between the engines has no partner
there; ``found`` lets the partner have half the confidence: the share of confident boxes of either engine that the other
engine has as well.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from edgekit.bundle import open_bundle
from edgekit.core.predictions import Detections
from edgekit.data.images import Config
from edgekit.engine import predict
from edgekit.profiling import machine
from edgekit.tasks._temporal import matches


def above(found: Detections, score: float) -> Detections:
    kept = found.scores >= score
    return Detections(found.boxes[kept], found.scores[kept], found.labels[kept])


def measure(path: Path, images: Path, limit: int | None) -> dict[str, object]:
    bundle = open_bundle(path)
    if bundle.contents.control is None:
        raise SystemExit(f"{path}: the bundle has no FP32 control; its spec does not quantize")
    preprocess, task = bundle.preprocess(), bundle.task()
    confidence = bundle.contents.task.confidence
    frames = Config(format="images", root=images, limit=limit).open()
    same = total = partners = 0
    with bundle.engine(bundle.contents.control) as control, bundle.engine() as candidate:
        for sample in frames:
            prepared = preprocess(sample.images)
            found = [predict(engine, task, prepared) for engine in (control, candidate)]
            sure, likely = ([above(one, score) for one in found] for score in (confidence, confidence / 2))
            same += 2 * len(matches(sure[0], sure[1]))
            total += len(sure[0]) + len(sure[1])
            partners += len(matches(sure[0], likely[1])) + len(matches(sure[1], likely[0]))
    return {
        "bundle": bundle.name,
        "frames": len(frames),
        "confidence": confidence,
        "boxes": total,
        "agreement": float(np.divide(same, total)),
        "found": float(np.divide(partners, total)),
        "machine": asdict(machine()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--images", type=Path, required=True, help="a folder of images")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    result = measure(args.bundle, args.images, args.limit)
    if args.json:
        print(json.dumps(result, indent=2))
    else:
        print("{boxes} boxes on {frames} frames: agreement {agreement:.4f}, found {found:.4f}".format(**result))


if __name__ == "__main__":
    main()
