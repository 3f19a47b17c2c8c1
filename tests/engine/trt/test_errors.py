"""Messages as TensorRT writes them become errors that say what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.graphs import convnet

from edgekit.core.errors import EnvironmentFault, MissingRequirement, ModelError
from edgekit.engine.trt import errors
from edgekit.engine.trt.errors import Refusal

SOURCE = Path("int8.onnx")
NO_KERNEL = (
    "IBuilder::buildSerializedNetwork: Error Code 10: Internal Error (Could not find any implementation for node "
    "{ForeignNode[/head/Cast.../head/Add]}. In computeCosts at /_src/optimizer/common/tactic/optimizer.cpp:4115)"
)
MEMORY = (
    "[virtualMemoryBuffer.cpp::resizePhysical::160] Error Code 2: OutOfMemory (Requested size was 4294967296 bytes.)"
)
SKIPPED = "Skipping tactic 3 due to insufficient memory on requested size of 4294967296 detected for tactic 0x4."
DRIVER = (
    "IBuilder::buildSerializedNetwork: Error Code 1: Cuda Runtime (In generateForCurrent at "
    "/_src/runtime/core/cudaDeviceProfile.cpp:221 (cudaError 35: CUDA driver version is insufficient for CUDA runtime "
    "version))"
)
OLD_DRIVER = "CUDA initialization failure with error: 35. Please check your CUDA installation"
LEAN = (
    "IBuilder::buildSerializedNetwork: Error Code 6: API Usage Error (Unable to load library: libnvinfer_lean.so.1: "
    "libnvinfer_lean.so.1: cannot open shared object file: No such file or directory In Impl at /_src/libLoader.cpp)"
)
PROFILE = (
    "IBuilder::buildSerializedNetwork: Error Code 4: API Usage Error (Network has dynamic or shape inputs, but no "
    "optimization profile has been defined. In validate at /_src/optimizer/api/network.cpp:4023)"
)
DLA = "DLA layer conv1 does not support dynamic shapes in any dimension."


@pytest.mark.parametrize(
    ("problems", "warnings", "kind", "parts"),
    [
        (
            [MEMORY, NO_KERNEL],
            [],
            EnvironmentFault,
            ["ran out of device memory for node {ForeignNode", "workspace_mib"],
        ),
        ([NO_KERNEL], [SKIPPED], EnvironmentFault, ["ran out of device memory for node {ForeignNode"]),
        ([NO_KERNEL], [], ModelError, ["no kernel for node {ForeignNode[/head/Cast.../head/Add]}", "exclude"]),
        ([DRIVER], [], MissingRequirement, ["driver new enough", "https://www.nvidia.com/drivers"]),
        ([OLD_DRIVER], [], MissingRequirement, ["driver new enough"]),
        ([LEAN], [], MissingRequirement, ["libnvinfer_lean.so.1", "pip install|apt-get install"]),
        ([PROFILE], [], ModelError, ["profiles of the target do not fit"]),
        ([DLA], [], ModelError, ["the DLA runs fixed shapes only"]),
        (["something new"], [], ModelError, ["something new"]),
        ([], [], ModelError, ["no reason given"]),
    ],
)
def test_failed_builds(problems: list[str], warnings: list[str], kind: type[Exception], parts: list[str]) -> None:
    error = errors.failed(SOURCE, problems, warnings)
    assert type(error) is kind
    for part in parts:
        assert any(choice in str(error) for choice in part.split("|"))


def test_unsupported_operator(tmp_path: Path) -> None:
    model = convnet(tmp_path / "m.onnx").read_bytes()
    error = errors.unparsable(SOURCE, model, [Refusal("false", "/head/q", "QLinearConv")])
    assert "node '/head/q': operator QLinearConv of opset 17" in str(error)
    assert "write it as Conv between QuantizeLinear and DequantizeLinear" in str(error)
    other = errors.unparsable(SOURCE, model, [Refusal("", "", ""), Refusal("bad axis", "n", "Unique")])
    assert "operator Unique of opset 17 (bad axis); write it with other operators" in str(other)


def test_no_model() -> None:
    error = errors.unparsable(SOURCE, b"text", [Refusal("Failed to parse the ONNX model.")])
    assert "cannot read it as an ONNX model: Failed to parse" in str(error)
    assert errors.opset(b"not a model") == "unknown"


@pytest.mark.parametrize(
    ("machine", "jetson", "line"),
    [("aarch64", True, "nvidia-jetpack"), ("aarch64", False, "SBSA"), ("x86_64", False, "pip install tensorrt")],
)
def test_install_line(machine: str, jetson: bool, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors.platform, "machine", lambda: machine)
    monkeypatch.setattr(errors, "JETSON", tmp_path if jetson else tmp_path / "absent")
    assert line in errors.install_line()


def test_the_forms_are_what_the_parser_says() -> None:
    """Every operator of the table is refused by a real parser, and every one that is named in its place is taken."""
    trt = pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")
    from edgekit.engine.trt import bindings

    log = bindings.logger(bindings.load())
    builder = trt.Builder(log)
    parser = trt.OnnxParser(builder.create_network(0), log)
    words = {word.strip(",") for form in errors.FORMS.values() for word in form.split() if word[0].isupper()}
    assert [op for op in errors.FORMS if parser.supports_operator(op)] == []
    assert [op for op in sorted(words - {"DFT"}) if not parser.supports_operator(op)] == []
