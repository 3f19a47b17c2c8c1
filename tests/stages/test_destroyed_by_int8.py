"""A detector that INT8 destroys: its engine is as good as its typed model, so it is built; evaluation shows the loss.

One channel of the stem is sixty times as wide as the others, so they share a few steps of its grid (as in the published
YOLOX-Nano), and PReLU's initial slope makes ties that each kernel rounds its own way, so engine and typed model differ.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import edgekit
from edgekit.bundle import open_bundle
from edgekit.cli.main import app
from edgekit.core.predictions import Detections

FORMER_LIMIT = 0.05
"""Relative L2 of an output from its typed model that was allowed, whatever INT8 costs in a network."""

MODEL = """
import torch
from torch import nn
from torch.nn import functional


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels)
        self.pointwise = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return functional.silu(self.pointwise(functional.silu(self.depthwise(x))))


class Detector(nn.Module):
    def __init__(self, channels=16, wide=60.0, gain=2.5):
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, 2, 1)
        self.down = nn.Conv2d(channels, channels, 3, 4, 1)
        self.body = nn.Sequential(*[Block(channels) for _ in range(4)])
        self.heads = nn.ModuleList(nn.Conv2d(channels, 7, 1) for _ in range(3))
        self.act = nn.PReLU()
        with torch.no_grad():
            for module in [self.stem, self.down, *self.body.modules()]:
                if isinstance(module, nn.Conv2d):
                    module.weight *= gain
            for head in self.heads:
                head.weight /= 30
            self.stem.weight[0] *= wide
            self.down.weight[:, 0] /= wide * 4
            for block in self.body:
                block.depthwise.weight[0] *= wide
                block.pointwise.weight[:, 0] /= wide * 4

    def forward(self, images):
        x = self.body(self.act(self.down(self.act(self.stem(images)))))
        maps = [head(functional.avg_pool2d(x, 2**k)) for k, head in enumerate(self.heads)]
        rows = torch.cat([made.flatten(2) for made in maps], 2)
        return torch.cat([rows[:, :4], rows[:, 4:].sigmoid()], 1).permute(0, 2, 1)


def build():
    return Detector()
"""

SPEC = """\
name: deep
model:
  factory: model.py:build
  weights: weights.pth
  inputs: {images: {shape: [1, 3, 64, 64]}}
  outputs: [output]
preprocess:
  images: {resize: [64, 64], mode: letterbox-topleft, color: bgr}
task: {kind: detection, family: yolox, output: output, classes: [car, person], clip: true}
data:
  calibration: {format: images, root: data/images}
compress:
  - quantize: {method: ptq}
targets:
  cpu: {engine: ort, threads: 1}
"""
EVALUATION = "  evaluation: {format: coco, root: data/images, annotations: labels.json, invalid_boxes: drop}\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("deep")
    (root / "model.py").write_text(MODEL)
    (root / "edgekit.yaml").write_text(SPEC)
    described = importlib.util.spec_from_file_location("deep_model", root / "model.py")
    assert described is not None
    assert described.loader is not None
    module = importlib.util.module_from_spec(described)
    described.loader.exec_module(module)
    torch.manual_seed(0)
    torch.save(module.build().state_dict(), root / "weights.pth")
    (root / "data" / "images").mkdir(parents=True)
    for seed in range(16):
        blocks = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
        cv2.imwrite(str(root / "data" / "images" / f"f{seed:02d}.png"), np.kron(blocks, np.ones((8, 8, 1), np.uint8)))
    return root


def label_as_fp32_sees_them(project: Path) -> int:
    """Write ``labels.json``: what the FP32 control finds; returns how many boxes."""
    bundle, images, boxes = open_bundle(project / "artifacts" / "deep-cpu"), [], []
    preprocess, task, control = bundle.preprocess(), bundle.task(), bundle.contents.control
    assert control is not None
    with bundle.engine(control) as engine:
        for number, path in enumerate(sorted((project / "data" / "images").iterdir())):
            image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
            prepared = preprocess({"image": image})
            found = task.decode(engine.infer(prepared.feeds), prepared.geometry)
            assert isinstance(found, Detections)
            images.append({"id": number, "file_name": path.name, "height": 64, "width": 64})
            for (left, top, right, bottom), label in zip(found.boxes.tolist(), found.labels.tolist(), strict=True):
                box = [left, top, right - left, bottom - top]
                boxes.append({"id": len(boxes), "image_id": number, "category_id": label + 1, "bbox": box})
                boxes[-1] |= {"area": box[2] * box[3], "iscrowd": 0}
    categories = [{"id": 1, "name": "car"}, {"id": 2, "name": "person"}]
    (project / "labels.json").write_text(json.dumps({"images": images, "annotations": boxes, "categories": categories}))
    return len(boxes)


def test_it_is_built_and_evaluation_shows_the_loss(project: Path) -> None:
    made = CliRunner().invoke(app, ["build", str(project), "--target", "cpu"])
    assert made.exit_code == 0, made.output
    said = open_bundle(project / "artifacts" / "deep-cpu").proofs[0]
    (output,) = said.outputs
    assert output.noise > 5 * FORMER_LIMIT  # INT8 itself destroys it
    assert output.distance > FORMER_LIMIT  # which the former, absolute limit called a wrong engine
    assert said.layers is not None
    assert (said.verdict, said.layers.verdict) == ("pass", "pass")
    assert said.layers.worst[0].steps <= 0.51

    assert label_as_fp32_sees_them(project) > 20
    (project / "edgekit.yaml").write_text(SPEC.replace("compress:", EVALUATION + "compress:"))
    report = edgekit.evaluate(edgekit.build(project, "cpu"))
    assert report.control is not None
    assert report.control["ap50"] > 0.9
    assert report.metrics["ap50"] < report.control["ap50"] - 0.2
