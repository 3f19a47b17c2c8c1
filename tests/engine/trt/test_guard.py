"""An engine is deserialised only where it was made for; both sides are named when it is refused."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgekit.core.errors import BundleError
from edgekit.engine.trt import guard
from edgekit.engine.trt.guard import Facts, Machine

ORIN = Machine("tensorrt", "10.3.0", "12.6", "8.7", "Orin", "540.4.0", 62841)
PLAN = b"the plan"


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    path = tmp_path / "int8.engine"
    write(path)
    return path


def write(path: Path, **changes: Any) -> None:
    facts = Facts(
        engine_sha256=hashlib.sha256(PLAN).hexdigest(),
        onnx_sha256="0" * 64,
        flavour="tensorrt",
        tensorrt="10.3.0",
        compute_capability="8.7",
        cuda="12.6",
        device="Orin",
        driver="540.4.0",
        options={"version_compatible": False, "hardware_compatible": False},
    )
    path.write_bytes(PLAN)
    guard.write(path, replace(facts, **changes))


def test_what_was_made_here_is_taken(engine: Path) -> None:
    facts = guard.check(engine, ORIN)
    assert facts.tensorrt == "10.3.0"
    assert json.loads(guard.guard_path(engine).read_text())["device"] == "Orin"


@pytest.mark.parametrize(
    ("here", "message"),
    [
        ({"tensorrt": "10.16.1"}, "TensorRT: the engine has 10.3.0, this machine 10.16.1"),
        ({"flavour": "tensorrt-rtx"}, "library: the engine has tensorrt 10.3.0, this machine tensorrt-rtx 10.3.0"),
        ({"compute_capability": "8.9"}, "compute capability: the engine has 8.7, this machine 8.9"),
        ({"compute_capability": None}, "compute capability: the engine has 8.7, this machine no GPU"),
        ({"device": "Orin NX"}, "device: the engine has Orin, this machine Orin NX"),
        ({"cuda": "12.2"}, "CUDA of the driver: the engine has 12.6 or later, this machine 12.2"),
        ({"cuda": None}, "CUDA of the driver: the engine has 12.6 or later, this machine none"),
    ],
)
def test_another_machine(engine: Path, here: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError) as caught:
        guard.check(engine, replace(ORIN, **here))
    assert message in str(caught.value)
    assert "edgekit build edgekit.yaml --target" in str(caught.value)


@pytest.mark.parametrize(
    ("made", "here", "works"),
    [
        ("10.16.2", "10.16.2.10", True),
        ("10.16.2.10", "10.16.2", True),
        ("10.16.2.10", "10.16.2.11", False),
        ("10.16.2", "10.16.20", False),
        ("10.3", "10.3.0", False),
        ("10.3.0", "10.3.0", True),
    ],
)
def test_a_version_with_and_without_its_build(engine: Path, made: str, here: str, works: bool) -> None:
    write(engine, tensorrt=made)
    taken(engine, replace(ORIN, tensorrt=here), works)


def test_a_newer_driver_is_taken(engine: Path) -> None:
    guard.check(engine, replace(ORIN, cuda="13.0", driver="580.1"))


@pytest.mark.parametrize(
    ("here", "works"), [("10.3.0", True), ("10.3.0.26", True), ("10.16.1", True), ("10.1.0", False), ("11.4", False)]
)
def test_version_compatible(engine: Path, here: str, works: bool) -> None:
    write(engine, options={"version_compatible": True})
    taken(engine, replace(ORIN, tensorrt=here), works)


@pytest.mark.parametrize(("here", "works"), [("8.9", True), ("12.0", True), ("7.5", False), (None, False)])
def test_hardware_compatible(engine: Path, here: str | None, works: bool) -> None:
    write(engine, options={"hardware_compatible": True})
    taken(engine, replace(ORIN, compute_capability=here, device="another"), works)


def test_rtx_engines_fit_every_model_of_their_capability(engine: Path) -> None:
    write(engine, flavour="tensorrt-rtx", compute_capability="8.9", device="RTX 4090")
    here = replace(ORIN, flavour="tensorrt-rtx", compute_capability="8.9", device="RTX 4060")
    taken(engine, here, True)
    taken(engine, replace(here, compute_capability="8.6"), False)


def taken(engine: Path, here: Machine, works: bool) -> None:
    if works:
        guard.check(engine, here)
        return
    with pytest.raises(BundleError, match="made for another machine"):
        guard.check(engine, here)


def test_foreign_engine(engine: Path) -> None:
    guard.guard_path(engine).unlink()
    with pytest.raises(BundleError, match=r"a foreign engine: int8\.engine\.json.* is not beside it"):
        guard.check(engine, ORIN)


@pytest.mark.parametrize("content", [b"", PLAN[:-1], PLAN + b"!"])
def test_changed_bytes(engine: Path, content: bytes) -> None:
    engine.write_bytes(content)
    with pytest.raises(BundleError, match="its bytes are not those"):
        guard.check(engine, ORIN)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"engine_sha256": "0"}', '{"schema_version": 9}'])
def test_damaged_facts(engine: Path, text: str) -> None:
    guard.guard_path(engine).write_text(text)
    with pytest.raises(BundleError, match=r"int8\.engine\.json"):
        guard.check(engine, ORIN)


class TestWeights:
    """Where a weight-stripped engine finds its weights."""

    MODEL = b"the model"

    @pytest.mark.parametrize("place", ["engines/int8.onnx", "models/int8.onnx"])
    def test_found(self, tmp_path: Path, place: str) -> None:
        engine, model = tmp_path / "engines" / "int8.engine", tmp_path / place
        for path in (engine, model):
            path.parent.mkdir(exist_ok=True)
        write(engine, onnx_sha256=hashlib.sha256(self.MODEL).hexdigest())
        model.write_bytes(self.MODEL)
        assert guard.weights_of(engine, guard.read(engine)) == model

    def test_another_model(self, engine: Path) -> None:
        engine.with_name("int8.onnx").write_bytes(self.MODEL)
        with pytest.raises(BundleError, match="holds no weights"):
            guard.weights_of(engine, guard.read(engine))
