"""Pruning as a step of a chain: from the spec to a bundle, and what it refuses on the command line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.bundle import open_bundle
from tests.support import shell

pytest.importorskip("torch_pruning", reason="torch-pruning is not installed")

PRUNE = "- prune: {method: channels, ratio: 0.5, round_to: 4}"
TRAIN = "{steps: 20, batch: 4, learning_rate: 0.01, validate_every: 10}"
PTQ = "- quantize: {method: ptq}"
LOADED = """
import sys
sys.path[:0] = [".", "../.."]
sys.modules["edgekit"] = None
from load_pruned import load
from model import build
network = load(build())
print(network.stem[0].out_channels, network.body.in_channels, network.head.in_channels)
"""


def project(folder: Path, *steps: str, training: bool = True) -> Path:
    spec = folder / "edgekit.yaml"
    text = spec.read_text().replace("  - quantize: {method: ptq}\n", "".join(f"  {step}\n" for step in steps))
    frames = "  training: {format: image_mask, images: data/images, masks: data/masks}\n"
    spec.write_text(text.replace("compress:\n", (frames if training else "") + "compress:\n"))
    return folder


def test_prune_train_quantize_build(tiny_project: Path) -> None:
    step = PRUNE.replace("}", f", training: {TRAIN}}}")
    folder = project(tiny_project, step, PTQ)
    result = shell.edgekit("build", "edgekit.yaml", "--target", "cpu", cwd=folder)
    assert result.returncode == 0, result.stderr
    bundle = open_bundle(folder / "artifacts" / "tiny-cpu")
    candidate, control = bundle.contents.candidate, bundle.contents.control
    assert control is not None
    assert (candidate.model, control.model) == ("models/int8-prune.onnx", "models/fp32.onnx")
    result = shell.edgekit("evaluate", bundle.path, "--json", cwd=folder)
    report = json.loads(result.stdout)
    assert 0.5 < report["metrics"]["miou"] <= report["control"]["miou"]

    compressed = folder / "artifacts" / "tiny-compressed"
    if not compressed.exists():
        assert shell.edgekit("compress", "edgekit.yaml", cwd=folder).returncode == 0
    assert json.loads((compressed / "widths.json").read_text()) == {
        "stem.0": {"out_channels": 4},
        "stem.1": {"num_features": 4},
        "body": {"in_channels": 4, "out_channels": 4},
        "head": {"in_channels": 4},
    }
    printed = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=compressed, capture_output=True, text=True, check=False, env={}
    )
    assert printed.stdout.split() == ["4", "4", "4"], printed.stderr


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("{method: channels, ratio: 1.5}", r"compress\.0\.prune\.ratio.*less than 1"),
        ("{method: channels, ratio: 0.5, keep: [bodi]}", r"keep: no layer is called 'bodi'; did you mean 'body'"),
        ("{method: channels, ratio: 0.5, round_to: 4, training: {steps: 4}}", r"give data\.training"),
    ],
)
def test_refused(tiny_project: Path, step: str, message: str) -> None:
    folder = project(tiny_project, f"- prune: {step}", PTQ, training=False)
    result = shell.edgekit("compress", "edgekit.yaml", cwd=folder)
    assert result.returncode == 2
    assert re.search(message, result.stderr), result.stderr
