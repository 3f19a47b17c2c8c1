"""The C++ runtime's CUDA kernel of the preprocessing beside edgekit's Python: frame in, network's input out."""

from __future__ import annotations

import ctypes
import itertools
import subprocess
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edgekit.core import pixels
from edgekit.core.errors import MissingRequirement
from edgekit.core.tensors import Array, TensorSpec
from edgekit.engine.trt.buffers import Buffers
from edgekit.engine.trt.cuda import Cuda
from edgekit.inputs import image
from edgekit.preprocess import Preprocess
from gpu_parts import here

SOURCES = Path(__file__).resolve().parents[2] / "cpp" / "src"
ENCODINGS, DTYPES, MODES = ("bgr8", "rgb8", "nv12"), ("float32", "float16"), ("stretch", "letterbox")
FRAMES = ((720, 1280), (480, 640), (90, 38), (2, 2))
ROWS, COLUMNS = 360, 480
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LAUNCHES = 100
LIMITS = {"float32": 1e-4, "float16": 0.3}
"""Most values of a pixel between the kernel and Python: what rounding to the dtype makes."""


class Job(ctypes.Structure):
    """``FusedJob`` of ``cpp/src/preprocess/cuda/fused.hpp``."""

    _fields_ = (
        ("frame", ctypes.c_void_p),
        ("stride", ctypes.c_int64),
        ("height", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("encoding", ctypes.c_int32),
        ("tensor", ctypes.c_void_p),
        ("dtype", ctypes.c_int32),
        ("rows", ctypes.c_int32),
        ("columns", ctypes.c_int32),
        ("content", ctypes.c_int32 * 4),
        ("backwards", ctypes.c_int32),
        ("down_pixels", ctypes.c_void_p),
        ("down_weights", ctypes.c_void_p),
        ("across_pixels", ctypes.c_void_p),
        ("across_weights", ctypes.c_void_p),
        ("factor", ctypes.c_float * 3),
        ("offset", ctypes.c_float * 3),
        ("border", ctypes.c_float),
    )


class Launcher(Protocol):
    """The library's two functions."""

    def axis(self, source: int, made: int, along_row: bool) -> tuple[Array, Array]:
        """Pixels int32 and weights int16 ``(made, 2)`` of an axis."""

    def launch(self, job: Job, stream: int) -> None:
        """Queue one frame."""


class Library:
    """A shared library with both functions."""

    def __init__(self, file: Path) -> None:
        self._library = ctypes.CDLL(str(file))
        self._library.edgekit_cuda_preprocess.argtypes = (ctypes.c_void_p, ctypes.c_void_p)

    def axis(self, source: int, made: int, along_row: bool) -> tuple[Array, Array]:
        places, weights = np.empty((made, 2), np.int32), np.empty((made, 2), np.int16)
        pointers = (array.ctypes.data_as(ctypes.c_void_p) for array in (places, weights))
        assert self._library.edgekit_cuda_axis(source, made, int(along_row), *pointers) == 0, "no memory for the tables"
        return places, weights

    def launch(self, job: Job, stream: int) -> None:
        status = self._library.edgekit_cuda_preprocess(ctypes.byref(job), stream)
        assert status == 0, f"the launch failed with CUDA error {status}"


def compiled(folder: Path, capability: str) -> Path:
    """The kernel and its tables for a compute capability.

    Raises:
        MissingRequirement: there is no nvcc.
    """
    nvcc = here.nvcc()
    if nvcc is None:
        raise MissingRequirement("nvcc", note="it comes with NVIDIA's CUDA toolkit")
    target, room = folder / "preprocess.so", SOURCES / "preprocess"
    files = [str(file) for file in (room / "cuda" / "fused.cu", room / "cuda" / "axis.cpp", room / "axis.cpp")]
    command = [nvcc, "-shared", "-std=c++20", "-O2", "-Xcompiler", "-fPIC", f"-arch=sm_{capability}", f"-I{SOURCES}"]
    command += [f"-I{SOURCES.parent / 'include'}", "-o", str(target), *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, f"nvcc: {done.stdout}{done.stderr}"
    return target


def check(cuda: Cuda, launcher: Launcher) -> dict[str, Any]:
    """Raise AssertionError unless every frame becomes what Python makes of it."""
    worst, micros = dict.fromkeys(DTYPES, 0.0), 0.0
    for (height, width), encoding, mode, dtype in itertools.product(FRAMES, ENCODINGS, MODES, DTYPES):
        config = image.Config(
            resize=(ROWS, COLUMNS),
            mode=mode,
            color="bgr" if encoding == "rgb8" else "rgb",
            scale=1 / 255,
            mean=MEAN,
            std=STD,
            dtype=dtype,
        )
        raw = _frame(encoding, height, width)
        wanted = Preprocess({"image": config})({"image": pixels.to_rgb(raw)})
        timed = LAUNCHES if (height, width) == FRAMES[0] and encoding == "bgr8" else 0
        made, spent = _run(cuda, launcher, raw, config, wanted.geometry.content, timed)
        micros = spent or micros
        apart = np.abs(made.astype(np.float64) - wanted.feeds["image"][0]).max(axis=(1, 2)) * STD * 255
        worst[dtype] = max(worst[dtype], float(apart.max()))
        assert apart.max() <= LIMITS[dtype], (
            f"{encoding} {height}x{width} {mode} {dtype}: {apart.max():.3g} values of a pixel from Python, "
            f"{LIMITS[dtype]} are allowed"
        )
    figures = {f"{dtype}_largest_difference": round(value, 6) for dtype, value in worst.items()}
    return {**figures, "launched_us": micros}


def _frame(encoding: str, height: int, width: int) -> pixels.RawImage:
    known, padding = pixels.ENCODINGS[encoding], 13
    rows, step = int(height * known.rows), width * known.channels + padding
    data = np.random.default_rng(height).integers(0, 256, (rows, step), np.uint8)
    return pixels.RawImage(height, width, encoding, step, data.tobytes())


def _run(
    cuda: Cuda,
    launcher: Launcher,
    raw: pixels.RawImage,
    config: image.Config,
    content: tuple[int, int, int, int],
    timed: int,
) -> tuple[Array, float]:
    """The tensor ``(3, rows, columns)``, and the microseconds of a launch (0: not timed)."""
    down = launcher.axis(raw.height, content[2], False)
    across = launcher.axis(raw.width, content[3], True)
    given = {"frame": np.frombuffer(raw.data, np.uint8), "down_pixels": down[0], "down_weights": down[1]}
    given |= {"across_pixels": across[0], "across_weights": across[1]}
    tensor = TensorSpec("tensor", (3, ROWS, COLUMNS), config.dtype)
    specs = [TensorSpec(name, array.shape, array.dtype.name) for name, array in given.items()]
    buffers, stream = Buffers(cuda), cuda.open_stream()
    try:
        for spec in (*specs, tensor):
            buffers.add(spec)
            buffers.take(spec.name, tuple(size or 0 for size in spec.shape))
        views = buffers.views((*specs, tensor))
        for name, array in given.items():
            views[name][...] = array
        job = _job(raw, config, content, buffers.addresses())
        buffers.copy_in(specs, stream)
        launcher.launch(job, stream)
        buffers.copy_out([tensor], stream)
        cuda.wait(stream)
        made = views["tensor"].copy()
        return made, _timed(cuda, launcher, job, stream, timed) if timed else 0.0
    finally:
        buffers.close()
        cuda.close_stream(stream)


def _job(
    raw: pixels.RawImage, config: image.Config, content: tuple[int, int, int, int], addresses: dict[str, int]
) -> Job:
    job = Job(stride=raw.step, height=raw.height, width=raw.width, rows=ROWS, columns=COLUMNS, **addresses)
    job.encoding, job.dtype = ENCODINGS.index(raw.encoding), DTYPES.index(config.dtype)
    job.content[:] = content
    job.backwards = int(config.color == "bgr")
    job.factor[:] = [config.scale / std for std in config.std]
    job.offset[:] = [-mean / std for mean, std in zip(config.mean, config.std, strict=True)]
    job.border = config.pad_value
    return job


def _timed(cuda: Cuda, launcher: Launcher, job: Job, stream: int, times: int) -> float:
    cuda.wait(stream)
    began = time.perf_counter()
    for _ in range(times):
        launcher.launch(job, stream)
    cuda.wait(stream)
    return round((time.perf_counter() - began) / times * 1e6, 1)
