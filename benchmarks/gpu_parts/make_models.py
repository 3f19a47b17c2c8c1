"""Make ``tiny/`` again: the typed models of a small network for TensorRT, and their golden outputs.

    PYTHONPATH=src:. python benchmarks/gpu_parts/make_models.py

Needs ``edgekit[dev]``: TensorRT for RTX builds the engines, which are thrown away.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.support.projects import SPEC, write_project

from edgekit import pipeline

TINY = Path(__file__).parent / "tiny"


def main() -> None:
    """Build the bundle and keep three models and the golden file."""
    text = SPEC.replace("cpu: {engine: ort, threads: 1}", "gpu: {engine: trt, device: rtx-40}").replace(
        "32, 48", "16, 24"
    )
    with tempfile.TemporaryDirectory() as folder:
        spec = write_project(Path(folder), text)
        built = pipeline.build(spec, "gpu")
        made = built.path.parent / "tiny-compressed"
        for name in ("fp32.onnx", "fp16.onnx", "int8.onnx", "golden.npz"):
            shutil.copyfile(made / name, TINY / name)


if __name__ == "__main__":
    main()
