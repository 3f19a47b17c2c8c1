"""The spec as data: defaults, shapes, immutability and its published schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edgekit.core.spec import CompressStep, Kpi, ModelConfig, Spec
from edgekit.core.specfile import read_spec
from edgekit.inputs.image import Config
from tests.support.projects import SPEC

MODEL: dict[str, Any] = {"factory": "m.py:build", "inputs": {"image": {"shape": [1, 3, 8, 8]}}, "outputs": ["logits"]}


def test_plugin_sections_become_the_plugins_own_configs(tmp_path: Path) -> None:
    from edgekit.data.image_mask import Config as Data
    from edgekit.engine.ort import Config as Engine
    from edgekit.quantize.ptq import Config as Technique
    from edgekit.tasks.segmentation import Config as Task

    (tmp_path / "edgekit.yaml").write_text(SPEC)
    spec = read_spec(tmp_path)
    assert isinstance(spec.task, Task)
    assert isinstance(spec.data.calibration, Data)
    assert isinstance(spec.compress[0], CompressStep)
    assert isinstance(spec.compress[0].quantize, Technique)
    assert isinstance(spec.targets["cpu"], Engine)
    assert spec.data.calibration.limit == 6
    assert spec.data.training is None
    assert spec.seed == 0
    assert spec.kpis["miou"] == Kpi(min=0.6, max_drop=0.05)


def test_a_spec_does_not_change(tmp_path: Path) -> None:
    (tmp_path / "edgekit.yaml").write_text(SPEC)
    spec = read_spec(tmp_path)
    with pytest.raises(ValidationError, match="frozen"):
        spec.name = "other"
    with pytest.raises(ValidationError, match="frozen"):
        spec.targets["cpu"].threads = 4


def test_one_size_means_a_square() -> None:
    assert Config(resize=64).resize == (64, 64)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [{"resize": [0, 8]}, {"resize": [8]}, {"resize": 8, "scale": 0}, {"resize": 8, "std": [1, 0, 1]}, {"mode": "x"}],
)
def test_transforms_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Config.model_validate(wrong)


@pytest.mark.parametrize("limit", ["min", "max", "max_drop"])
def test_one_limit_makes_a_kpi(limit: str) -> None:
    assert getattr(Kpi.model_validate({limit: 0.5}), limit) == 0.5


def test_a_drop_below_zero_is_no_limit() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        Kpi(max_drop=-0.1)


def test_a_model_has_one_source() -> None:
    assert ModelConfig.model_validate(MODEL).factory == "m.py:build"
    with pytest.raises(ValidationError, match="exactly one of factory, exported, onnx; found none"):
        ModelConfig.model_validate({**MODEL, "factory": None})
    with pytest.raises(ValidationError, match="found factory, exported"):
        ModelConfig.model_validate({**MODEL, "exported": "m.pt2"})


@pytest.mark.parametrize("shape", [[0, 3], [-1], ["n", 3]])
def test_shapes_are_fixed_and_positive(shape: list[Any]) -> None:
    with pytest.raises(ValidationError):
        ModelConfig.model_validate({**MODEL, "inputs": {"image": {"shape": shape}}})


def test_the_schema_knows_every_section_and_every_plugin() -> None:
    schema = Spec.model_json_schema()
    assert set(schema["properties"]) == set(Spec.model_fields)
    assert schema["additionalProperties"] is False
    formats = [
        option["properties"]["format"].get("const")
        for option in schema["$defs"]["DataSections"]["properties"]["calibration"]["oneOf"]
    ]
    assert {"camvid", "image_mask", "images", "rendered"} <= set(formats)
    assert "base" not in schema["$defs"]["ModelConfig"]["properties"]
