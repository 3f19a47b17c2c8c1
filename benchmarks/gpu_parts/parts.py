"""The parts by name, each over the real device; what a part needs and is missing is a MissingRequirement."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgekit.core.errors import EdgekitError, MissingRequirement

Figures = dict[str, Any]


def answer(name: str) -> dict[str, Any]:
    """Run one part: passed with its figures, skipped for want of something, or failed."""
    try:
        return {"status": "passed", "figures": RUN[name]()}
    except MissingRequirement as missing:
        return {"status": "skipped", "why": str(missing), "lacks": missing.what.split(" (")[0].removeprefix("a ")}
    except (AssertionError, EdgekitError) as problem:
        return {"status": "failed", "why": f"{type(problem).__name__}: {problem}"}


def _memory() -> Figures:
    from edgekit.engine.trt.cuda import load_cuda
    from gpu_parts import memory

    return memory.check(load_cuda("cuda-python"))


def _buffers() -> Figures:
    from edgekit.engine.trt.cuda import load_cuda
    from gpu_parts import buffers

    return buffers.check(load_cuda("cuda-python"))


def _kernel() -> Figures:
    from edgekit.engine.trt.cuda import load_cuda
    from gpu_parts import kernel

    cuda = load_cuda("cuda-python")
    with tempfile.TemporaryDirectory() as folder:
        return kernel.check(cuda, kernel.Compiled(Path(folder), kernel.capability()))


def _preprocess() -> Figures:
    from edgekit.engine.trt.cuda import load_cuda
    from gpu_parts import kernel, preprocess

    cuda = load_cuda("cuda-python")
    with tempfile.TemporaryDirectory() as folder:
        return preprocess.check(cuda, preprocess.Library(preprocess.compiled(Path(folder), kernel.capability())))


def _places() -> Figures:
    from gpu_parts import places

    with tempfile.TemporaryDirectory() as folder:
        return places.check(places.compiled(Path(folder)))


def _training() -> Figures:
    from gpu_parts import training

    return training.check("cuda")


def _compress() -> Figures:
    from gpu_parts import compress

    return compress.check("cuda")


def _onnxruntime() -> Figures:
    from edgekit.engine import ort
    from gpu_parts import engines

    return engines.check(ort.Config(engine="ort", provider="cuda"), ("fp32", "fp16"))


def _tensorrt() -> Figures:
    from edgekit.engine import trt
    from edgekit.engine.trt.cuda import load_cuda
    from gpu_parts import engines

    load_cuda("cuda-python")  # TensorRT builds without a device too
    return engines.check(trt.Config(engine="trt"), ("int8", "fp16"))


RUN: dict[str, Callable[[], Figures]] = {
    "memory": _memory,
    "buffers": _buffers,
    "kernel": _kernel,
    "preprocess": _preprocess,
    "places": _places,
    "training": _training,
    "compress": _compress,
    "onnxruntime": _onnxruntime,
    "tensorrt": _tensorrt,
}
