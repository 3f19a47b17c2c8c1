"""A tiny project that runs the whole pipeline in a second: 8 images of coloured squares, a 3-class network."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edgekit.core.artifacts import tree_hashes

HEIGHT, WIDTH = 32, 48
CLASSES = ("floor", "red", "green")

MODEL = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU())
        self.body = nn.Conv2d(channels, channels, 3, padding=1)
        self.head = nn.Conv2d(channels, 3, 1)

    def forward(self, image):
        x = self.stem(image)
        return self.head(x + torch.relu(self.body(x)))


def build(channels: int = 8):
    return Net(channels)
"""

SPEC = """\
name: tiny
model:
  factory: model.py:build
  weights: weights.pth
  inputs: {image: {shape: [1, 3, 32, 48]}}
  outputs: [logits]
preprocess:
  image: {resize: [32, 48], scale: 0.00392156863}
task: {kind: segmentation, output: logits, classes: [floor, red, green], ignore_index: 255}
data:
  calibration: {format: image_mask, images: data/images, masks: data/masks, limit: 6}
  evaluation: {format: image_mask, images: data/images, masks: data/masks}
compress:
  - quantize: {method: ptq}
targets:
  cpu: {engine: ort, threads: 1}
kpis:
  miou: {min: 0.6, max_drop: 0.05}
  latency_p50_ms: {max: 1000}
"""


def write_frames(root: Path, count: int = 8, seed: int = 0) -> None:
    """Grey floors with a red and a green square, and their masks (a border of void)."""
    rng = np.random.default_rng(seed)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        image = rng.integers(90, 130, (HEIGHT, WIDTH, 1), dtype=np.uint8).repeat(3, axis=2)
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        for label, colour in ((1, (220, 30, 30)), (2, (30, 220, 30))):
            y, x = int(rng.integers(0, HEIGHT - 12)), int(rng.integers(0, WIDTH - 12))
            image[y : y + 12, x : x + 12] = colour
            mask[y : y + 12, x : x + 12] = label
        mask[0] = 255
        cv2.imwrite(str(root / "images" / f"f{index}.png"), image[..., ::-1])
        cv2.imwrite(str(root / "masks" / f"f{index}.png"), mask)


def write_project(root: Path, spec: str = SPEC) -> Path:
    """Write spec, model, weights and data; returns the path of the spec.

    The weights are trained for a moment on the frames, so that mIoU means something.
    """
    import torch

    root.mkdir(parents=True, exist_ok=True)
    (root / "model.py").write_text(MODEL)
    (root / "edgekit.yaml").write_text(spec)
    write_frames(root / "data")
    torch.save(_train(root), root / "weights.pth")
    return root / "edgekit.yaml"


def _train(root: Path) -> dict[str, object]:
    import torch

    scope: dict[str, object] = {}
    exec(MODEL, scope)
    torch.manual_seed(0)
    model = scope["build"]()  # type: ignore[operator]
    images = [cv2.imread(str(p))[..., ::-1] / 255 for p in sorted((root / "data/images").iterdir())]
    masks = [cv2.imread(str(p), cv2.IMREAD_UNCHANGED) for p in sorted((root / "data/masks").iterdir())]
    x = torch.tensor(np.stack(images).transpose(0, 3, 1, 2), dtype=torch.float32)
    y = torch.tensor(np.stack(masks), dtype=torch.int64)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(model(x), y, ignore_index=255)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return dict(model.state_dict())


def timeless(folder: Path) -> dict[str, str]:
    """Hashes of a folder's files but those that hold the times of a build's race, and the manifests over them."""
    times = ("parity.json", "manifest.json", "stage.json")
    return {name: digest for name, digest in tree_hashes(folder).items() if Path(name).name not in times}
