"""Command lines for trtexec, spelt for the versions whose flags tests/golden/trtexec/flags.json records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.core.errors import EnvironmentFault, InputError
from edgekit.engine import trt
from edgekit.remote import trtexec
from edgekit.remote.trtexec import Files, Tool
from tests.support.graphs import node, write

FLAGS: dict[str, list[str]] = json.loads((Path(__file__).parents[1] / "golden" / "trtexec" / "flags.json").read_text())[
    "flags"
]
VERSIONS = tuple(FLAGS)
PRECISIONS = {"--int8", "--fp16", "--bf16", "--best", "--stronglyTyped"}
ALL = frozenset({"int8", "float16", "bfloat16"})
EVERYTHING = {
    "workspace_mib": 1024,
    "optimization_level": 4,
    "max_aux_streams": 0,
    "version_compatible": True,
    "hardware_compatible": True,
    "sparse_weights": True,
}


def tool(version: str) -> Tool:
    major, minor, patch = map(int, version.split("."))
    return Tool("/usr/src/tensorrt/bin/trtexec", (major, minor, patch), frozenset(FLAGS[version]))


def words(version: str, types: frozenset[str] = ALL, **keys: Any) -> list[str]:
    target = trt.Config.model_validate({"engine": "trt"} | keys)
    return trtexec.build_arguments(tool(version), target, types, Files())


@pytest.mark.parametrize("version", VERSIONS)
class TestEveryVersion:
    @pytest.mark.parametrize("keys", [{}, EVERYTHING, {"dla_core": 1, "precision": "int8"}, {"weight_stripped": True}])
    def test_no_flag_that_it_does_not_know(self, version: str, keys: dict[str, Any]) -> None:
        assert {word.split("=")[0] for word in words(version, **keys)} <= set(FLAGS[version])

    def test_options(self, version: str) -> None:
        assert {
            "--memPoolSize=workspace:1024",
            "--builderOptimizationLevel=4",
            "--maxAuxStreams=0",
            "--versionCompatible",
            "--hardwareCompatibilityLevel=ampere+",
            "--sparsity=enable",
            "--noTF32",
        } <= set(words(version, **EVERYTHING))
        assert {"--useDLACore=1", "--allowGPUFallback"} <= set(words(version, dla_core=1))
        assert "--allowGPUFallback" not in words(version, dla_core=1, gpu_fallback=False)
        assert "--allowGPUFallback" not in words(version)

    def test_what_it_leaves(self, version: str) -> None:
        names = Files()
        expected = {
            f"--saveEngine={names.engine}",
            f"--timingCacheFile={names.cache}",
            f"--exportLayerInfo={names.layers}",
            f"--exportProfile={names.profile}",
            "--separateProfileRun",
            "--profilingVerbosity=detailed",
        }
        assert expected <= set(words(version))

    def test_an_engine_without_weights_is_not_measured(self, version: str) -> None:
        found = words(version, weight_stripped=True)
        assert {"--stripWeights", "--skipInference"} <= set(found)
        assert not [word for word in found if word.startswith("--exportProfile")]

    def test_the_shapes_of_a_profile_stand_behind_its_number(self, version: str) -> None:
        profiles = [
            {"x": {"min": [1, 3], "opt": [2, 3], "max": [4, 3]}},
            {"x": {"min": [5, 3], "opt": [6, 3], "max": [8, 3]}},
        ]
        found = words(version, profiles=profiles)
        at = found.index("--profile=0")
        assert found[at : at + 8] == [
            "--profile=0", "--minShapes=x:1x3", "--optShapes=x:2x3", "--maxShapes=x:4x3",
            "--profile=1", "--minShapes=x:5x3", "--optShapes=x:6x3", "--maxShapes=x:8x3",
        ]  # fmt: skip

    def test_a_run(self, version: str) -> None:
        target = trt.Config(engine="trt")
        found = trtexec.run_arguments(tool(version), target, "e", {"a": "a.raw", "b:0": "b.raw"}, ["a:1x2"])
        assert "--loadInputs=a:a.raw,'b:0':b.raw" in found
        assert "--shapes=a:1x2" in found
        # 11.x would leave outputs on the device.
        assert ("--includeDataTransfers" in found) == (version >= "11")
        assert {word.split("=")[0] for word in found} <= set(FLAGS[version])


class TestTyping:
    def test_before_10_12_the_flags_allow_what_the_model_holds(self) -> None:
        assert PRECISIONS & set(words("10.3.0", frozenset())) == set()
        assert PRECISIONS & set(words("10.3.0", frozenset({"int8"}))) == {"--int8"}
        assert PRECISIONS & set(words("10.3.0", ALL)) == {"--int8", "--fp16", "--bf16"}

    def test_later_10_is_told_to_be_strongly_typed(self) -> None:
        assert PRECISIONS & set(words("10.16.0")) == {"--stronglyTyped"}

    def test_11_always_is(self) -> None:
        assert PRECISIONS & set(words("11.1.0")) == set()

    @pytest.mark.parametrize(
        ("version", "on", "off"), [("10.3.0", "--useCudaGraph", None), ("11.1.0", None, "--noCudaGraph")]
    )
    def test_cuda_graphs(self, version: str, on: str | None, off: str | None) -> None:
        flags = {"--useCudaGraph", "--noCudaGraph"}
        assert flags & set(words(version)) == {on} - {None}
        assert flags & set(words(version, cuda_graph=False)) == {off} - {None}

    def test_types_of_a_model(self, tmp_path: Path) -> None:
        quantized = [node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z", "y")]
        weights = {"s": np.float32(0.1), "z": np.int8(0)}
        ends = ([("x", (1, 4), "float32")], [("y", (1, 4), "float32")])
        assert trtexec.types_of(write(tmp_path / "q.onnx", quantized, *ends, weights)) == {"int8"}
        cast = [node("Cast", "x", "h", to=10), node("Cast", "h", "y", to=1)]
        assert trtexec.types_of(write(tmp_path / "h.onnx", cast, *ends)) == {"float16"}
        assert trtexec.types_of(write(tmp_path / "f.onnx", [node("Relu", "x", "y")], *ends)) == frozenset()


class TestTool:
    def test_help_page(self) -> None:
        page = "&&&& RUNNING TensorRT.trtexec [TensorRT v101602] [b10] # trtexec --help\n  --onnx=<file>  --fp16\n"
        found = trtexec.tool("trtexec", page)
        assert (found.version, found.version_text) == ((10, 16, 2), "10.16.2.10")
        assert {"--onnx", "--fp16"} <= found.flags

    def test_too_old(self) -> None:
        with pytest.raises(EnvironmentFault, match=r"TensorRT 8\.6\.1 is too old"):
            trtexec.tool("t", "&&&& RUNNING TensorRT.trtexec [TensorRT v8601] # trtexec --help")

    def test_not_trtexec(self) -> None:
        with pytest.raises(EnvironmentFault, match="is it trtexec"):
            trtexec.tool("t", "hello")

    def test_an_option_that_is_not_there(self) -> None:
        old = Tool("t", (10, 0, 0), frozenset(FLAGS["10.3.0"]) - {"--stripWeights"})
        target = trt.Config(engine="trt", weight_stripped=True)
        with pytest.raises(InputError, match=r"trtexec of TensorRT 10\.0\.0 has no --stripWeights"):
            trtexec.build_arguments(old, target, ALL, Files())

    @given(st.integers(10, 99), st.integers(0, 99), st.integers(0, 99))
    def test_version_digits(self, major: int, minor: int, patch: int) -> None:
        assert trtexec.version_of(f"{major}{minor:02}{patch:02}") == (major, minor, patch)
