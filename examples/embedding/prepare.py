"""Crops of rendered vehicles, one folder for each: ``data/vehicles``, and frames to calibrate on: ``data/calibration``.

    python examples/embedding/prepare.py

Every scene gives consecutive frames at 10 Hz, and ``tracks`` says which box is the same vehicle in all of them.
Calibration crops come from other scenes.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.data.rendered import OBJECT_CLASSES, RenderedScenes

HERE = Path(__file__).resolve().parent
VEHICLE = OBJECT_CLASSES.index("vehicle")
LENGTH = 8
MIN_SIDE_PX, MOST_HIDDEN, MARGIN = 20, 0.4, 0.08
Image = NDArray[np.uint8]


def vehicles(scenes: int, seed: int) -> dict[str, list[Image]]:
    """The crops (R, G, B) of each vehicle that is large and unhidden in two frames or more."""
    found: dict[str, list[Image]] = defaultdict(list)
    for sample in RenderedScenes(scenes * LENGTH, seed, "varied", "all", LENGTH):
        objects, seen = sample.truth["boxes"], sample.truth["visibility"]
        image = sample.images["image"]
        for i in np.flatnonzero((objects.labels == VEHICLE) & ~objects.crowd):
            x0, y0, x1, y1 = objects.boxes[i].tolist()
            if min(x1 - x0, y1 - y0) < MIN_SIDE_PX or max(seen.occluded[i], seen.truncated[i]) > MOST_HIDDEN:
                continue
            dx, dy = MARGIN * (x1 - x0), MARGIN * (y1 - y0)
            rows = slice(max(int(y0 - dy), 0), int(y1 + dy) + 1)
            columns = slice(max(int(x0 - dx), 0), int(x1 + dx) + 1)
            found[f"{sample.metadata['sequence']}-{int(seen.tracks[i]):03d}"].append(image[rows, columns])
    return {name: crops for name, crops in found.items() if len(crops) > 1}


def write(folder: Path, crops: list[Image]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, crop in enumerate(crops):
        cv2.imwrite(str(folder / f"{folder.name}-{i:02d}.png"), np.ascontiguousarray(crop[..., ::-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE / "data")
    parser.add_argument("--scenes", type=int, default=24)
    parser.add_argument("--calibration", type=int, default=8, help="further scenes, for the calibration")
    args = parser.parse_args()
    subjects = vehicles(args.scenes, seed=31)
    for name, crops in subjects.items():
        write(args.out / "vehicles" / name, crops)
    others = [crop for crops in vehicles(args.calibration, seed=32).values() for crop in crops]
    write(args.out / "calibration", others)
    count = sum(map(len, subjects.values()))
    print(f"{args.out}: {len(subjects)} vehicles, {count} crops; {len(others)} to calibrate on")


if __name__ == "__main__":
    main()
