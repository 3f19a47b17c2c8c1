"""Make what the spec reads from the published files: one state_dict, pictures of the sample faces, calibration frames.

    python examples/minifasnet/prepare.py --weights WEIGHTS --samples SAMPLES --camvid CAMVID

WEIGHTS holds the two published ``.pth`` files, SAMPLES the three published sample photographs.  ``faces.json``
has the boxes of their faces (x, y, width, height in pixels), read off the published result images to a pixel.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import torch
from model import SIDE, load
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
FILES = ("2.7_80x80_MiniFASNetV2.pth", "4_0_0_80x80_MiniFASNetV1SE.pth")
SCALES = (2.7, 4.0)
Image = NDArray[np.uint8]
Box = tuple[float, float, float, float]


def enlarged(box: Box, scale: float, width: int, height: int) -> tuple[int, int, int, int]:
    """First and last column and row of the box made ``scale`` times as large, the published way.

    Where the image is too small for that the scale is lowered; a box that sticks out is shifted inside.
    """
    x, y, w, h = box
    scale = min(scale, (width - 1) / w, (height - 1) / h)
    left = min(max(x + w / 2 * (1 - scale), 0), width - 1 - w * scale)
    top = min(max(y + h / 2 * (1 - scale), 0), height - 1 - h * scale)
    return int(left), int(left + w * scale), int(top), int(top + h * scale)


def pair(image: Image, box: Box) -> Image:
    """The model's picture ``(80, 160, 3)``: the surroundings of the face at 2.7 and at 4.0 times its box."""
    halves = []
    for scale in SCALES:
        left, right, top, bottom = enlarged(box, scale, image.shape[1], image.shape[0])
        halves.append(cv2.resize(image[top : bottom + 1, left : right + 1], (SIDE, SIDE)))
    return np.concatenate(halves, 1)


def augmented(image: Image, box: Box, rng: np.random.Generator) -> Image:
    """The picture of a face with another box, brightness, contrast and direction."""
    x, y, w, h = box
    size = float(np.exp(rng.uniform(-0.25, 0.25)))
    dx, dy = rng.uniform(-0.15, 0.15, 2)
    made = pair(image, (x + w * (dx + (1 - size) / 2), y + h * (dy + (1 - size) / 2), w * size, h * size))
    if rng.random() < 0.5:
        made = np.concatenate([made[:, SIDE - 1 :: -1], made[:, : SIDE - 1 : -1]], 1)
    gain, shift = rng.uniform(0.7, 1.3), rng.uniform(-25, 25)
    return np.clip(made * gain + shift, 0, 255).astype(np.uint8)


def write(path: Path, image: Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), image):
        raise SystemExit(f"{path}: cannot be written")


def read(path: Path) -> Image:
    image = cv2.imread(str(path))
    if image is None:
        raise SystemExit(f"{path}: no image; see the README for where it comes from")
    return np.asarray(image, np.uint8)


def write_weights(folder: Path, out: Path) -> None:
    """Both published state_dicts in one file, for the pair."""
    out.parent.mkdir(parents=True, exist_ok=True)
    torch.save(load(*(folder / name for name in FILES)).state_dict(), out)


def write_faces(samples: Path, out: Path, count: int) -> None:
    """``faces/<kind>/``: the three samples; ``calibration/``: ``count`` variations of each."""
    rng = np.random.default_rng(0)
    for name, face in json.loads((HERE / "faces.json").read_text()).items():
        image, box = read(samples / name), face["box"]
        stem = Path(name).stem
        write(out / "faces" / face["kind"] / f"{stem}.png", pair(image, box))
        for i in range(count):
            write(out / "calibration" / f"{stem}-{i:02d}.png", augmented(image, box, rng))


def write_streets(camvid: Path, out: Path, count: int) -> None:
    """``calibration/``: as many pictures of CamVid training frames, a square in the middle for a face."""
    paths = sorted((camvid / "images" / "train").glob("*.jpg"))
    for i in range(count):
        path = paths[i * len(paths) // count]
        image = read(path)
        side = image.shape[0] / 5
        box = (image.shape[1] / 2 - side / 2, image.shape[0] / 2 - side / 2, side, side)
        write(out / "calibration" / f"street-{path.stem}.png", pair(image, box))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--weights", type=Path, required=True, help=f"folder with {' and '.join(FILES)}")
    parser.add_argument("--samples", type=Path, required=True, help="folder with image_F1.jpg, F2 and T1")
    parser.add_argument("--camvid", type=Path, required=True, help="CamVid, for calibration frames")
    parser.add_argument("--out", type=Path, default=HERE / "data")
    parser.add_argument("--faces", type=int, default=0, help="variations of each sample to calibrate on as well")
    parser.add_argument("--streets", type=int, default=68, help="CamVid crops for calibration")
    args = parser.parse_args()
    write_weights(args.weights, args.out / "weights.pth")
    write_faces(args.samples, args.out, args.faces)
    write_streets(args.camvid, args.out, args.streets)
    print(args.out)


if __name__ == "__main__":
    main()
