"""The CUDA half of the C++ runtime's TensorRT backend: its memory, its stream, and copies replayed as one graph."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.core.errors import MissingRequirement
from gpu_parts import here

CPP = Path(__file__).resolve().parents[2] / "cpp"
FILES = (
    Path(__file__).with_suffix(".cpp"),
    *(CPP / "src" / name for name in ("backends/tensorrt/cuda.cpp", "backends/tensorrt/places.cpp")),
    *(CPP / "src" / name for name in ("core/tensor.cpp", "core/status.cpp")),
)
MISSING = 4
"""``Code::missing_requirement``."""
COUNT, ROUNDS = 3 * 360 * 480, 50


def compiled(folder: Path) -> Path:
    """The library that :func:`check` asks.

    Raises:
        MissingRequirement: there is no nvcc.
    """
    nvcc = here.nvcc()
    if nvcc is None:
        raise MissingRequirement("nvcc", note="it comes with NVIDIA's CUDA toolkit")
    return built(folder, [nvcc, "-Xcompiler", "-fPIC"])


def built(folder: Path, compiler: list[str]) -> Path:
    """The same by another compiler, which may have other headers in front."""
    target = folder / "places.so"
    headers = [f"-I{CPP / 'src'}", f"-I{CPP / 'include'}"]
    command = [*compiler, "-shared", "-std=c++20", "-O2", *headers, "-o", str(target), *map(str, FILES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, f"{compiler[0]}: {done.stdout}{done.stderr}"
    return target


def check(library: Path) -> dict[str, Any]:
    """Raise AssertionError unless every frame comes back as it went in; gives the microseconds of a round trip.

    Raises:
        MissingRequirement: there is no device, or no driver for it.
    """
    given = np.random.default_rng(0).normal(size=(ROUNDS, COUNT)).astype(np.float32)
    found, micros, message = np.zeros_like(given), ctypes.c_double(), ctypes.create_string_buffer(1000)
    values = (array.ctypes.data_as(ctypes.c_void_p) for array in (given, found))
    call = ctypes.CDLL(str(library)).edgekit_places
    call.argtypes = (
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_int64,
        ctypes.c_int,
        ctypes.POINTER(ctypes.c_double),
        ctypes.c_char_p,
        ctypes.c_size_t,
    )
    code = call(*values, COUNT, ROUNDS, ctypes.byref(micros), message, len(message))
    said = message.value.decode()
    if code == MISSING:
        raise MissingRequirement("a CUDA device", note=said)
    assert code == 0, f"code {code}: {said}"
    assert np.array_equal(given, found), "what came back is not what went in"
    return {"frames": ROUNDS, "round_trip_us": round(micros.value, 1)}
