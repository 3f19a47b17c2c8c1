"""What TensorRT's messages mean: vendor text in, an error of :mod:`edgekit.core.errors` with the fix out."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core.errors import EdgekitError, EnvironmentFault, MissingRequirement, ModelError
from edgekit.onnxfile.fields import fields_of, varint

JETSON = Path("/etc/nv_tegra_release")
DRIVER = "NVIDIA's driver: https://www.nvidia.com/drivers (on a Jetson: the JetPack that brings this TensorRT)"
# Operators that NVIDIA's parser refuses, and what it takes in their place
# (https://github.com/onnx/onnx-tensorrt/blob/main/docs/operators.md).
FORMS = {
    "AffineGrid": "MatMul of a constant grid",
    "BitShift": "Mul or Div by a power of two",
    "Col2Im": "ConvTranspose with constant one-hot weights",
    "Compress": "Gather with constant indices",
    "ConvInteger": "Conv between QuantizeLinear and DequantizeLinear",
    "DeformConv": "GridSample and Conv",
    "DFT": "MatMul with a constant DFT matrix",
    "DynamicQuantizeLinear": "QuantizeLinear with a calibrated scale",
    "MatMulInteger": "MatMul between QuantizeLinear and DequantizeLinear",
    "MaxRoiPool": "RoiAlign",
    "MaxUnpool": "Resize, or ScatterND with constant indices",
    "QLinearConv": "Conv between QuantizeLinear and DequantizeLinear",
    "QLinearMatMul": "MatMul between QuantizeLinear and DequantizeLinear",
}
_MEMORY = re.compile(r"out of memory|outofmemory|insufficient (workspace|memory)|memory allocation|workspace", re.I)
_NO_KERNEL = re.compile(r"could not find any implementation for node (.+?)(?:\.?(?:\)|$)|\.\s| In |,)", re.I)
_OLD_DRIVER = re.compile(
    r"driver version is insufficient|cuda initialization failure with error:? ?35|cudaError 35", re.I
)
_NO_DEVICE = re.compile(
    r"no CUDA-capable device|cudaError 100|error: ?100\b|CHECK\(status == CUDA_SUCCESS\) failed", re.I
)
_DYNAMIC_DLA = re.compile(r"dla.{0,200}(dynamic|shape profile|min.{0,20}max)|dynamic.{0,200}dla", re.I | re.S)
_LIBRARY = re.compile(r"unable to load library: ?(\S+?):", re.I)
_PROFILE = re.compile(r"optimization profile|and profile \d+", re.I)


@dataclass(frozen=True)
class Refusal:
    """One error of the parser; ``node`` and ``op`` are empty when it is not about a node."""

    text: str
    node: str = ""
    op: str = ""


def install_line() -> str:
    """How TensorRT is installed on this platform."""
    if JETSON.exists():
        return "sudo apt-get install nvidia-jetpack python3-libnvinfer (and a venv with --system-site-packages)"
    if platform.machine().lower() in ("aarch64", "arm64"):
        return "sudo apt-get install tensorrt python3-libnvinfer (NVIDIA's SBSA repository)"
    return "pip install tensorrt (or tensorrt-rtx-cu13-libs and tensorrt-rtx-cu13-bindings for a GeForce or RTX GPU)"


def refusals(parser: Any) -> list[Refusal]:
    """Every error that the parser keeps."""
    found = []
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        found.append(Refusal(error.desc(), error.node_name() or "", error.node_operator() or ""))
    return found


def unparsable(source: Path, model: bytes, found: Sequence[Refusal]) -> ModelError:
    """The parser's first error, with the node, the opset and the nearest form that it takes."""
    first = next((refusal for refusal in found if refusal.op), None)
    if first is None:
        text = found[0].text if found else "no reason given"
        return ModelError(f"{source}: TensorRT cannot read it as an ONNX model: {text}")
    form = FORMS.get(first.op)
    fix = f"write it as {form}" if form else "write it with other operators, or leave that part outside the model"
    reason = "" if first.text in ("", "false") else f" ({first.text})"
    return ModelError(
        f"{source}: TensorRT does not take node {first.node!r}: operator {first.op} of opset "
        f"{opset(model)}{reason}; {fix}"
    )


def failed(source: Path, problems: Sequence[str], warnings: Sequence[str] = ()) -> EdgekitError:
    """The error that a build ended with; memory is told apart from a missing kernel by what came before it."""
    text = "\n".join(problems)
    kernel = _NO_KERNEL.search(text)
    if _OLD_DRIVER.search(text):
        return MissingRequirement("an NVIDIA driver new enough for this TensorRT", DRIVER)
    if library := _LIBRARY.search(text):
        return MissingRequirement(f"{library[1]}, which the chosen options need", install_line())
    if _NO_DEVICE.search(text):
        return MissingRequirement("an NVIDIA GPU, which the chosen options need at build time", DRIVER)
    if _DYNAMIC_DLA.search(text):
        return ModelError(
            f"{source}: the DLA runs fixed shapes only; export with fixed shapes, or remove dla_core: {problems[-1]}"
        )
    if _MEMORY.search("\n".join([text, *warnings])) and (kernel or "memory" in text.lower()):
        where = f" for node {kernel[1]}" if kernel else ""
        return EnvironmentFault(
            f"{source}: the build ran out of device memory{where}, although TensorRT may say that it finds no "
            "implementation; stop other programs on the device, set workspace_mib to less than what is free (or more, "
            "when it is set low), or lower optimization_level"
        )
    if kernel:
        return ModelError(
            f"{source}: TensorRT has no kernel for node {kernel[1]} in the types that the model gives it; leave the "
            "node in float (the technique's exclude), or build with a newer TensorRT"
        )
    if _PROFILE.search(text):
        return ModelError(f"{source}: the profiles of the target do not fit the model's inputs: {problems[-1]}")
    return ModelError(f"{source}: TensorRT cannot build it: {problems[-1] if problems else 'no reason given'}")


def opset(model: bytes) -> int | str:
    """Version of the ONNX operator set; ``unknown`` when the file does not say."""
    try:
        for number, _, body in fields_of(model):
            if number == _OPSET_IMPORT:
                parts = {n: (field, text) for n, field, text in fields_of(body)}
                if parts.get(_DOMAIN, (b"", b""))[1] in (b"", b"ai.onnx") and _VERSION in parts:
                    field = parts[_VERSION][0]
                    return varint(field, varint(field, 0)[1])[0]
    except IndexError:
        return "unknown"
    return "unknown"


# Field numbers of onnx.proto: ModelProto.opset_import, OperatorSetIdProto.domain and .version.
_OPSET_IMPORT, _DOMAIN, _VERSION = 8, 1, 2
