"""Make ``tests/golden/bundle_v1.edgekit`` again: a bundle of version 1, by the edgekit that wrote that version.

    git worktree add --detach OLD 7613eb1
    python -m tests.support.make_old_bundle OLD

Commit 7613eb1 is the last that writes version 1.  The network is three random filters on noise, so that it stays small.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.support.graphs import node, write

TARGET = Path(__file__).parents[1] / "golden" / "bundle_v1.edgekit"
SPEC = """\
name: old
model: {onnx: model.onnx, inputs: {image: {shape: [1, 3, 8, 12]}}, outputs: [logits]}
preprocess:
  image: {resize: [8, 12], scale: 0.00392156863}
task: {kind: segmentation, output: logits, classes: [floor, red, green]}
data:
  calibration: {format: noise, count: 4, size: [8, 12]}
compress:
  - quantize: {method: ptq}
targets:
  cpu: {engine: ort, threads: 1}
"""


def main(checkout: Path) -> None:
    """Build with the checkout's code and pack."""
    weights = {"w": np.random.default_rng(0).normal(0, 0.3, (3, 3, 3, 3)).astype(np.float32)}
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        value = [("image", (1, 3, 8, 12), "float32")], [("logits", (1, 3, 8, 12), "float32")]
        write(here / "model.onnx", [node("Conv", "image w", "logits", pads=[1] * 4)], *value, weights)
        (here / "edgekit.yaml").write_text(SPEC)
        environment = os.environ | {"PYTHONPATH": str(checkout.resolve() / "src")}
        for command in (("build", ".", "--target", "cpu"), ("bundle", "create", "artifacts/old-cpu", str(TARGET))):
            subprocess.run([sys.executable, "-m", "edgekit", *command], cwd=here, env=environment, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
