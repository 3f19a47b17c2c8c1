"""What every quantization technique promises."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args, get_origin

import numpy as np
import onnx
import pytest
from pydantic import ValidationError
from tests.graphs import convnet, normal, relative_l2

from edgekit.core import plugins
from edgekit.core.errors import DataError, ModelError
from edgekit.engine import ort
from edgekit.quantize import Quantized, TechniqueConfig

# The smallest compress step for each technique; a new technique adds a line.
EXAMPLES: dict[str, dict[str, Any]] = {"ptq": {"method": "ptq"}}
LIMIT = json.loads((Path(__file__).parents[1] / "golden" / "contract.json").read_text())["technique_relative_l2"]


def feeds(count: int = 8) -> Iterator[dict[str, np.ndarray]]:
    return ({"x": normal(seed, 1, 3, 16, 16)} for seed in range(count))


def run(model: Path, feed: dict[str, np.ndarray]) -> np.ndarray:
    with ort.open(model, ort.Config(engine="ort"), optimised=False) as engine:
        return engine.infer(feed)["y"]


@pytest.fixture(scope="module", params=plugins.names("quantize"))
def name(request: pytest.FixtureRequest) -> str:
    if request.param not in EXAMPLES:
        pytest.fail(f"the technique {request.param!r} has no example; add one to EXAMPLES in {__file__}")
    return str(request.param)


@pytest.fixture(scope="module")
def module(name: str) -> ModuleType:
    return plugins.load("quantize", name)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convnet(tmp_path_factory.mktemp("technique") / "fp32.onnx")


@pytest.fixture(scope="module")
def applied(name: str, module: ModuleType, source: Path) -> Quantized:
    found = module.apply(source, feeds(), module.Config.model_validate(EXAMPLES[name]))
    assert isinstance(found, Quantized)
    return found


class TestTechnique:
    def test_config(self, name: str, module: ModuleType) -> None:
        assert issubclass(module.Config, TechniqueConfig)
        field = module.Config.model_fields["method"].annotation
        assert get_origin(field) is Literal
        assert get_args(field) == (name,)
        config = module.Config.model_validate(EXAMPLES[name])
        with pytest.raises(ValidationError, match="frozen"):
            config.method = "other"
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            module.Config.model_validate(EXAMPLES[name] | {"no_such_key": 1})
        assert module.Config.model_validate(json.loads(config.model_dump_json())) == config

    def test_signature(self, module: ModuleType) -> None:
        assert list(inspect.signature(module.apply).parameters) == ["source", "feeds", "config", "advance"]

    def test_model_is_valid_and_keeps_its_interface(self, applied: Quantized, source: Path) -> None:
        before, after = onnx.load(source), onnx.load_from_string(applied.model)
        onnx.checker.check_model(after, full_check=True)
        assert list(after.graph.input) == list(before.graph.input)
        assert [(v.name, v.type) for v in after.graph.output] == [(v.name, v.type) for v in before.graph.output]
        types = {t.data_type for t in after.graph.initializer}
        assert types & {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}

    def test_weights_take_a_quarter(self, applied: Quantized, source: Path) -> None:
        def kernels(model: onnx.ModelProto) -> int:
            return sum(len(t.raw_data) for t in model.graph.initializer if len(t.dims) == 4)

        assert kernels(onnx.load_from_string(applied.model)) * 4 == kernels(onnx.load(source))

    def test_close_to_fp32_on_a_new_frame(self, applied: Quantized, source: Path, tmp_path: Path) -> None:
        (tmp_path / "typed.onnx").write_bytes(applied.model)
        feed = {"x": normal(77, 1, 3, 16, 16)}
        assert 0 < relative_l2(run(tmp_path / "typed.onnx", feed), run(source, feed)) < LIMIT

    def test_same_frames_same_bytes(self, name: str, module: ModuleType, applied: Quantized, source: Path) -> None:
        steps: list[None] = []
        again = module.apply(source, feeds(), module.Config.model_validate(EXAMPLES[name]), lambda: steps.append(None))
        assert again.model == applied.model
        assert again.record == applied.record
        assert len(steps) == 8

    def test_record_is_json_and_counts_frames(self, name: str, applied: Quantized) -> None:
        assert json.loads(json.dumps(applied.record)) == applied.record
        assert applied.record["method"] == name
        assert applied.record["frames"] == 8

    def test_source_is_not_changed(self, applied: Quantized, source: Path, tmp_path: Path) -> None:
        assert source.read_bytes() == convnet(tmp_path / "fresh.onnx").read_bytes()
        assert [p.name for p in source.parent.iterdir()] == ["fp32.onnx"]

    def test_no_frame(self, name: str, module: ModuleType, source: Path) -> None:
        with pytest.raises(DataError, match="calibration set is empty"):
            module.apply(source, iter(()), module.Config.model_validate(EXAMPLES[name]))

    def test_nan_in_a_frame(self, name: str, module: ModuleType, source: Path) -> None:
        bad = {"x": np.full((1, 3, 16, 16), np.nan, np.float32)}
        with pytest.raises(ModelError, match="NaN"):
            module.apply(source, [*feeds(2), bad], module.Config.model_validate(EXAMPLES[name]))
