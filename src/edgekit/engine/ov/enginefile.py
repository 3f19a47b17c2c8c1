"""The file of an engine: what it was made with and for, and OpenVINO's compiled model behind that.

OpenVINO reads a compiled model as this process; one that is not whole, or of another version, is refused before.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core.artifacts import write_bytes
from edgekit.core.errors import BundleError
from edgekit.core.tensors import TensorSpec

_MAGIC = b"edgekit engine of OpenVINO, form 1\n"
REBUILD = (
    "make it anew for this machine: edgekit bundle rebuild BUNDLE; or where the spec is: "
    "edgekit build edgekit.yaml --target NAME"
)


@dataclass(frozen=True)
class EngineFile:
    """An engine as it is stored.

    Args:
        openvino: the version that made ``blob``, and alone reads it.
        hint: what its float layers compute in: ``f32``, ``bf16`` or ``f16``.
        inputs: of the ONNX file, in its order.
        outputs: the same.
        blob: the compiled model.
    """

    openvino: str
    hint: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    blob: bytes


def write(path: Path, engine: EngineFile) -> None:
    """Write the file, atomically; equal engines give equal bytes."""
    facts = {
        "openvino": engine.openvino,
        "hint": engine.hint,
        "inputs": [_fields(spec) for spec in engine.inputs],
        "outputs": [_fields(spec) for spec in engine.outputs],
        "sha256": hashlib.sha256(engine.blob).hexdigest(),
    }
    write_bytes(path, _MAGIC + json.dumps(facts, sort_keys=True).encode() + b"\n" + engine.blob)


def read(path: Path, openvino: str) -> EngineFile:
    """The engine in ``path``.

    Args:
        path: made by :func:`write`.
        openvino: the version that is here.

    Raises:
        BundleError: it is no such file, not whole, or of another version.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: not an engine of OpenVINO: {error.strerror}") from error
    end = content.find(b"\n", len(_MAGIC))
    if not content.startswith(_MAGIC) or end < 0:
        raise BundleError(f"{path}: not an engine of OpenVINO, or only a part of one; {REBUILD}")
    facts, blob = json.loads(content[len(_MAGIC) : end]), content[end + 1 :]
    if hashlib.sha256(blob).hexdigest() != facts["sha256"]:
        raise BundleError(f"{path}: the engine is not the one that was written, or only a part of it; {REBUILD}")
    if facts["openvino"] != openvino:
        raise BundleError(
            f"{path}: the engine was made by OpenVINO {facts['openvino']}, and here is {openvino}; {REBUILD}"
        )
    inputs, outputs = (tuple(_spec(fields) for fields in facts[key]) for key in ("inputs", "outputs"))
    return EngineFile(facts["openvino"], facts["hint"], inputs, outputs, blob)


def _fields(spec: TensorSpec) -> list[Any]:
    return [spec.name, list(spec.shape), spec.dtype]


def _spec(fields: list[Any]) -> TensorSpec:
    name, shape, dtype = fields
    return TensorSpec(name, tuple(shape), dtype)
