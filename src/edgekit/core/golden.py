"""Golden inputs and outputs: ``input.<i>.<name>``, ``output.<i>.<name>``, ``<precision>.<i>.<name>``."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgekit.core.artifacts import write_bytes
from edgekit.core.tensors import Array, TensorSpec

GOLDEN_FRAMES = 2
"""How many frames a build keeps."""


def frames_of(golden: Mapping[str, Array]) -> int:
    """Number of golden frames in arrays named ``input.<i>.<name>``."""
    return 1 + max((int(key.split(".")[1]) for key in golden if key.startswith("input.")), default=-1)


def feeds_of(golden: Mapping[str, Array], frame: int) -> dict[str, Array]:
    """The golden inputs of one frame."""
    start = f"input.{frame}."
    return {key.removeprefix(start): array for key, array in golden.items() if key.startswith(start)}


def specs_of(golden: Path, role: str) -> tuple[TensorSpec, ...]:
    start = f"{role}.0."
    given = {key.removeprefix(start): a for key, a in read_arrays(golden).items() if key.startswith(start)}
    return tuple(TensorSpec(name, array.shape, array.dtype.name) for name, array in given.items())


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **dict(arrays))
    write_bytes(path, buffer.getvalue())


def read_arrays(path: Path) -> dict[str, Array]:
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)
