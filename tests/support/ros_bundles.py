"""The bundles that tests of the ROS 2 node run: ``python -m tests.support.ros_bundles FOLDER``.

They are built where torch is, and run where ROS 2 is.  ``seg`` makes masks; ``faulty`` is
``seg`` on an engine that fails when it is told to; ``several`` has a mask, a class and an embedding; ``objects`` boxes;
``pair`` takes two
cameras, ``image`` and ``right``, in one query.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support.projects import write_frames, write_project

SEVERAL = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.mask = nn.Conv2d(8, 3, 1)
        self.kind = nn.Linear(8, 4)

    def forward(self, image):
        x = torch.relu(self.stem(image))
        vector = x.mean(dim=(2, 3))
        return self.mask(x), self.kind(vector), vector


def build():
    return Net()
"""
OBJECTS = """
import torch
from torch import nn


class Net(nn.Module):
    '''One red and one green box, each where that colour is: a detector that is right by construction.'''

    def forward(self, image):
        red = (image[:, 0] - image[:, 1]).clamp(min=0.0)
        green = (image[:, 1] - image[:, 0]).clamp(min=0.0)
        rows = torch.arange(32.0).view(1, 32, 1) + 0.5
        columns = torch.arange(48.0).view(1, 1, 48) + 0.5
        boxes, scores = [], []
        for mass in (red, green):
            total = mass.sum(dim=(1, 2)) + 1e-6
            y = (mass * rows).sum(dim=(1, 2)) / total
            x = (mass * columns).sum(dim=(1, 2)) / total
            boxes.append(torch.stack([x - 6, y - 6, x + 6, y + 6], dim=1))
            scores.append((total / 100.0).clamp(max=1.0))
        labels = torch.tensor([[0, 1]]) + torch.zeros_like(torch.stack(scores, dim=1)).long()
        return torch.stack(boxes, dim=1), torch.stack(scores, dim=1), labels


def build():
    return Net()
"""
PAIR = """
import torch
from torch import nn


class Net(nn.Module):
    '''The mean of each camera's frame.'''

    def forward(self, left, right):
        return torch.stack([left.mean(dim=(1, 2, 3)), right.mean(dim=(1, 2, 3))], dim=1)


def build():
    return Net()
"""
_HEAD = """\
name: {name}
model:
  factory: model.py:build
  inputs: {{image: {{shape: [1, 3, 32, 48]}}}}
  outputs: {outputs}
preprocess:
  image: {{resize: [32, 48], scale: 0.00392156863}}
data:
  calibration: {{format: images, root: data/images}}
targets:
  cpu: {{engine: ort, threads: 1}}
"""
_PAIR = """\
name: pair
model:
  factory: model.py:build
  inputs: {left: {shape: [1, 3, 32, 48]}, right: {shape: [1, 3, 32, 48]}}
  outputs: [means]
preprocess:
  left: {source: image, resize: [32, 48]}
  right: {source: right, resize: [32, 48]}
task: {kind: embedding, output: means}
data:
  calibration: {format: joined, frames: {format: images, root: data/images}, beside: {right: {files: data/images}}}
targets:
  cpu: {engine: ort, threads: 1}
"""
_TASKS = {
    "several": """\
task:
  kind: multitask
  tasks:
    area: {kind: segmentation, output: mask, classes: [floor, red, green]}
    kind: {kind: classification, output: kind, classes: [day, night, fog, rain]}
    who: {kind: embedding, output: vector}
""",
    "objects": """\
task:
  kind: detection
  output: {boxes: boxes, scores: scores, labels: labels}
  classes: [red, green]
  family: end2end
""",
}


def main(folder: Path) -> None:
    """Build every bundle into ``folder/<name>``."""
    write_project(folder / "project")
    spec = (folder / "project/edgekit.yaml").read_text()
    plain = spec.split("compress:")[0] + "targets:" + spec.split("targets:")[1]
    _build(folder, folder / "project", plain, "seg")
    _build(folder, folder / "project", plain.replace("engine: ort", "engine: faulty"), "faulty")
    for name, model, outputs in (
        ("several", SEVERAL, "[mask, kind, vector]"),
        ("objects", OBJECTS, "[boxes, scores, labels]"),
    ):
        project = _project(folder, name, model)
        _build(folder, project, _HEAD.format(name=name, outputs=outputs) + _TASKS[name], name)
    _build(folder, _project(folder, "pair", PAIR), _PAIR, "pair")


def _project(folder: Path, name: str, model: str) -> Path:
    project = folder / f"{name}-project"
    write_frames(project / "data")
    (project / "model.py").write_text(model)
    return project


def _build(folder: Path, project: Path, spec: str, name: str) -> None:
    import edgekit

    (project / "edgekit.yaml").write_text(spec)
    built = edgekit.build(project / "edgekit.yaml", "cpu", folder / "built")
    built.path.rename(folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
