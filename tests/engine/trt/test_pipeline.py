"""``edgekit build`` for a GPU that is not here: built, not verified, and nothing claims otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.projects import SPEC, write_project

from edgekit import pipeline
from edgekit.bundle import open_bundle
from edgekit.core.errors import BundleError, EnvironmentFault, MissingRequirement
from edgekit.engine import trt
from edgekit.engine.trt import bindings, guard

CPU = "  cpu: {engine: ort, threads: 1}"
GPU = "  gpu: {engine: trt, device: rtx-40}"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        trt.Backend(trt.Config(engine="trt", device="rtx-40")).require()
    except EnvironmentFault as fault:
        pytest.skip(str(fault))
    if not trt.Backend(trt.Config(engine="trt", device="rtx-40")).runs_elsewhere():
        pytest.skip("this machine has the GPU")
    spec = write_project(tmp_path_factory.mktemp("trt"), SPEC.replace(CPU, GPU))
    return pipeline.build(spec, "gpu").path


def test_no_parity_is_claimed(bundle: Path) -> None:
    reports = json.loads((bundle / "parity.json").read_text())
    assert [(r["engine"], r["verdict"]) for r in reports] == [("int8", "not run"), ("fp16", "not run")]
    assert "to run an engine for compute capability 8.9" in open_bundle(bundle).unverified


def test_the_control_of_int8_is_fp16(bundle: Path) -> None:
    contents = open_bundle(bundle).contents
    assert (contents.candidate.precision, contents.control and contents.control.precision) == ("int8", "fp16")
    assert [spec.name for spec in contents.inputs] == ["image"]
    assert contents.outputs[0].shape == (1, 3, 32, 48)
    golden = open_bundle(bundle).golden()
    assert set(golden.references) == {"fp16", "fp32", "int8"}


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_the_facts_travel_with_the_engine(bundle: Path, precision: str) -> None:
    facts = guard.read(bundle / "engines" / f"{precision}.engine")
    assert (facts.compute_capability, facts.device) == ("8.9", None)
    assert facts.tensorrt == bindings.load().version


def test_it_does_not_run_here(bundle: Path) -> None:
    with pytest.raises((BundleError, MissingRequirement), match="no GPU"):
        pipeline.verify(bundle)


def test_a_board_that_this_library_cannot_build_for(tmp_path: Path) -> None:
    try:
        api = bindings.load()
    except MissingRequirement as missing:
        pytest.skip(str(missing))
    if "8.7" in api.capabilities() or guard.this_machine(api).compute_capability == "8.7":
        pytest.skip("this machine builds for Orin")
    board = GPU.replace("rtx-40", "orin-agx-64gb")
    spec = write_project(tmp_path, SPEC.replace(CPU, board))
    with pytest.raises(EnvironmentFault, match=r"has 8\.7; build where it runs: host: user@board"):
        pipeline.build(spec, "gpu")
    assert not (tmp_path / ".edgekit").exists(), "refused before any work"
