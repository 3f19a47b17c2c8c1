"""A task of a user's own: one file behind an entry point goes through the whole pipeline and the contract tests."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support import shell

TESTS = Path(__file__).parents[1]
MODEL = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.grey = nn.Conv2d(3, 4, 1)
        nn.init.constant_(self.grey.weight, 1 / 12)
        nn.init.zeros_(self.grey.bias)

    def forward(self, image):
        return 255 * self.grey(image).sum(1).mean((1, 2))[:, None]


def build():
    return Net()
"""
SPEC = """\
name: toy
model:
  factory: model.py:build
  inputs: {image: {shape: [1, 3, 32, 48]}}
  outputs: [level]
preprocess:
  image: {resize: [32, 48], scale: 0.00392156863}
task: {kind: brightness, output: level}
data:
  calibration: {format: image_mask, images: data/images, masks: data/grey}
  evaluation: {format: image_mask, images: data/images, masks: data/grey}
compress:
  - quantize: {method: ptq}
targets:
  cpu: {engine: ort, threads: 1}
kpis:
  mae: {max: 3, max_drop: 2}
  latency_p50_ms: {max: 1000}
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder as pip would leave it, on the search path of new processes; gives that path."""
    site = tmp_path / "site"
    info = site / "toy_task-1.0.dist-info"
    info.mkdir(parents=True)
    shutil.copyfile(TESTS / "support" / "toy_task" / "brightness.py", site / "toy_brightness.py")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-task\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edgekit.tasks]\nbrightness = toy_brightness\n")
    path = os.pathsep.join((str(site), shell.ENVIRONMENT["PYTHONPATH"]))
    monkeypatch.setitem(shell.ENVIRONMENT, "PYTHONPATH", path)
    return path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Six grey pictures, a spec, and a network that takes their mean."""
    root = tmp_path / "project"
    for folder in ("images", "grey"):
        (root / "data" / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(6):
        grey = rng.integers(10 + 30 * i, 60 + 30 * i, (32, 48)).astype(np.uint8)
        cv2.imwrite(str(root / f"data/images/f{i}.png"), cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
        cv2.imwrite(str(root / f"data/grey/f{i}.png"), grey)
    (root / "model.py").write_text(MODEL)
    (root / "edgekit.yaml").write_text(SPEC)
    return root


def printed(project: Path, *words: object) -> dict[str, Any]:
    """The JSON document of a command that went well."""
    result = shell.edgekit(*words, "--json", cwd=project)
    assert result.returncode == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_the_whole_pipeline(installed: str, project: Path) -> None:
    printed(project, "build", "edgekit.yaml", "--target", "cpu")
    bundle = project / "artifacts" / "toy-cpu"

    evaluated = printed(project, "evaluate", bundle)
    assert set(evaluated["metrics"]) == {"mae"}
    assert evaluated["control"]["mae"] == pytest.approx(0, abs=0.01)
    assert 0 < evaluated["metrics"]["mae"] < 3  # it is INT8 that was measured

    judged = printed(project, "gate", bundle)
    limits = [(kpi["limit"]["kind"], kpi["unit"]) for kpi in judged["kpis"] if kpi["name"] == "mae"]
    assert limits == [("max", "levels"), ("max_drop", "levels")]
    assert judged["verdict"] == "pass"

    drawn = printed(project, "run", bundle, "--images", "data/images", "--limit", 2)
    pictures = [cv2.imread(str(project / path)) for path in drawn["pictures"]]
    assert [picture.shape for picture in pictures] == [(32, 48, 3)] * 2
    short, long = ((picture[0] == 255).all(axis=1).sum() for picture in pictures)
    assert 0 < short < long  # the later picture is the brighter one


def test_without_the_package_the_kind_is_named(project: Path) -> None:
    message = shell.error_of(shell.edgekit("build", "edgekit.yaml", "--target", "cpu", cwd=project), 2)
    assert re.search(r"edgekit\.yaml:8: task: kind: 'brightness' is unknown; allowed: ", message)


def test_the_contract_tests_find_it(installed: str) -> None:
    words = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "brightness")
    result = subprocess.run(
        (*words, "tests/contract/test_tasks.py"),
        cwd=TESTS.parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((installed, str(TESTS.parent)))},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    (count, kind), *others = re.findall(r"(\d+) (passed|failed|skipped|error)", result.stdout.splitlines()[-1])
    assert (kind, others) == ("passed", [])
    promises = (TESTS / "contract" / "test_tasks.py").read_text().count("    def test_")
    assert int(count) >= promises > 10
