"""What a build finds out about its engines, over the simulated device."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgekit.core.golden import Golden
from edgekit.core.progress import Silent
from edgekit.engine import layers_path, trt
from edgekit.stages import prove as proving
from tests.support.fake_trt import VERSIONS
from tests.support.graphs import node, write
from tests.support.trt_bench import Bench, machine

X = np.arange(4, dtype=np.float32).reshape(1, 4)
GOLDEN = Golden(({"x": X},), {name: ({"y": 2 * X + 1},) for name in ("fp32", "int8", "fp16")})
CONFIG = trt.Config(engine="trt")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return machine(VERSIONS[0], tmp_path, monkeypatch)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """One matrix product, named as the simulated engine names its layer."""
    product = node("MatMul", "x w", "y")
    product.name = "conv"
    value = [("x", (1, 4), "float32")], [("y", (1, 4), "float32")]
    return write(tmp_path / "fp32.onnx", [product], *value, {"w": np.eye(4, dtype=np.float16).astype(np.float32)})


def engine_of(bench: Bench, precision: str) -> Path:
    made = bench.engine().path
    for file in (made, made.with_name(f"{made.name}.json")):
        file.rename(file.with_name(file.name.replace("model", precision)))
    return made.with_name(f"{precision}.engine")


def prove(files: tuple[Path, Path], config: trt.Config = CONFIG, unrunnable: str = "") -> dict[str, object]:
    return proving.prove(trt.Backend(config), files, "int8", GOLDEN, unrunnable, Silent()).to_dict()


def test_the_layer_list_is_kept_and_judged(bench: Bench, model: Path) -> None:
    engine = engine_of(bench, "int8")
    report = prove((engine, model))
    assert report["verdict"] == "pass"
    found = report["achieved"]
    assert isinstance(found, dict)
    assert (found["verdict"], found["missed"], found["numbers"]["missed_layers"]) == ("pass", (), 0)
    assert json.loads(layers_path(engine).read_text())["Layers"][0]["Name"] == "conv"


def test_names_alone_are_no_list(bench: Bench, model: Path) -> None:
    engine = engine_of(bench, "int8")
    assert prove((engine, model), trt.Config(engine="trt", detailed_profiling=False))["achieved"] is None
    assert not layers_path(engine).exists()


def test_what_does_not_run_claims_nothing(model: Path) -> None:
    report = prove((model.with_name("int8.engine"), model), unrunnable="no GPU")
    claimed = {key: value for key, value in report.items() if value not in (None, (), "", 0)}
    assert claimed == {"engine": "int8", "verdict": "not run", "reason": "no GPU", "schema_version": 1}
