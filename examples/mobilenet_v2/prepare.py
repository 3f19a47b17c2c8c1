"""Make what the spec reads: square crops of CamVid frames, in folders named after FP32's own class.

    python examples/mobilenet_v2/prepare.py --camvid CAMVID --weights mobilenet_v2.pth

ImageNet's images are not free to pass on, so there is no truth here: FP32 is right by construction, and ``top1``
of the INT8 engine is the share of crops to which it gives the same class.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import torch
from model import build
from numpy.typing import NDArray
from torch import nn

HERE = Path(__file__).resolve().parent
SIDE, CLASSES = 224, 1000
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
Image = NDArray[np.uint8]


def crops(path: Path) -> list[Image]:
    """The squares at the left and at the right end of a frame, 224x224, B, G, R."""
    frame = cv2.imread(str(path))
    if frame is None:
        raise SystemExit(f"{path}: no image")
    side = frame.shape[0]
    squares = (frame[:, :side], frame[:, -side:])
    return [np.asarray(cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8) for square in squares]


def class_of(network: nn.Module, crop: Image) -> int:
    image = (crop[..., ::-1].astype(np.float32) / 255 - MEAN) / STD
    with torch.no_grad():
        return int(network(torch.from_numpy(image.transpose(2, 0, 1)[None].copy())).argmax())


def chosen(folder: Path, count: int) -> list[Path]:
    """``count`` images of a folder, evenly spaced."""
    paths = sorted(folder.glob("*.jpg"))
    if len(paths) < count:
        raise SystemExit(f"{folder}: {len(paths)} images, expected {count} or more")
    return [paths[i * len(paths) // count] for i in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--camvid", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True, help="the file that the spec names")
    parser.add_argument("--out", type=Path, default=HERE / "data")
    parser.add_argument("--frames", type=int, default=233, help="test frames to take two crops of")
    parser.add_argument("--calibration", type=int, default=64, help="training frames to take two crops of")
    args = parser.parse_args()
    network = build()
    network.load_state_dict(torch.load(args.weights, map_location="cpu", weights_only=True))
    network.eval()
    (args.out / "calibration").mkdir(parents=True, exist_ok=True)
    for path in chosen(args.camvid / "images" / "train", args.calibration):
        for i, crop in enumerate(crops(path)):
            cv2.imwrite(str(args.out / "calibration" / f"{path.stem}-{i}.png"), crop)
    for path in chosen(args.camvid / "images" / "test", args.frames):
        for i, crop in enumerate(crops(path)):
            folder = args.out / "fp32_classes" / f"{class_of(network, crop):03d}"
            folder.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / f"{path.stem}-{i}.png"), crop)
    (args.out / "classes.json").write_text(json.dumps([f"{i:03d}" for i in range(CLASSES)]) + "\n")
    print(args.out)


if __name__ == "__main__":
    main()
