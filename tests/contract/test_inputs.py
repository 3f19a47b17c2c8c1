"""What every kind of model input promises, run over each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from edgekit.core import plugins
from edgekit.core.errors import EdgekitError
from edgekit.core.spec import InputSection, Misfit, TensorShape
from edgekit.core.tensors import Array
from edgekit.inputs import Input, InputConfig
from edgekit.preprocess import Preprocess

SECTION: TypeAdapter[InputConfig] = TypeAdapter(InputSection)
FRAME = {
    "image": np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8),
    "points": np.arange(6.0).reshape(3, 2),
}


@dataclass(frozen=True)
class Example:
    keys: dict[str, Any]
    tensor: dict[str, Any]
    unfit: dict[str, Any]
    """A model input that this section cannot fill."""
    beside: dict[str, Any] = field(default_factory=dict)


EXAMPLES = {
    "image": Example({"resize": [8, 8]}, {"shape": [1, 3, 8, 8]}, {"shape": [1, 3, 8, 9]}),
    "array": Example(
        {"source": "points", "dtype": "float16"}, {"shape": [1, 3, 2], "dtype": "float16"}, {"shape": [3]}
    ),
    "constant": Example({"value": [[4, 5]]}, {"shape": [1, 2], "dtype": "int64"}, {"shape": [1, 3]}),
    "frame_size": Example(
        {"order": "height_width"},
        {"shape": [1, 2], "dtype": "int64"},
        {"shape": [1, 3]},
        {"image": {"resize": [8, 8]}},
    ),
}


@pytest.fixture(params=plugins.names("inputs"))
def kind(request: pytest.FixtureRequest) -> str:
    assert request.param in EXAMPLES, "a new kind of input needs an example here"
    return str(request.param)


def fitted(kind: str) -> InputConfig:
    example = EXAMPLES[kind]
    config = SECTION.validate_python({"kind": kind, **example.keys})
    return config.fitted(TensorShape.model_validate(example.tensor))


def made(kind: str, config: InputConfig) -> Array:
    beside = {name: SECTION.validate_python(keys) for name, keys in EXAMPLES[kind].beside.items()}
    preprocess = Preprocess({"x": config, **beside})
    array = preprocess(FRAME).feeds["x"]
    preprocess.tensor_specs()[0].check(array)
    return array


def test_makes_what_the_model_takes(kind: str) -> None:
    array, tensor = made(kind, fitted(kind)), EXAMPLES[kind].tensor
    assert array.shape == tuple(tensor["shape"])
    assert array.dtype.name == tensor.get("dtype", "float32")
    assert array.flags.c_contiguous


def test_the_array_belongs_to_the_caller(kind: str) -> None:
    beside = {name: SECTION.validate_python(keys) for name, keys in EXAMPLES[kind].beside.items()}
    preprocess = Preprocess({"x": fitted(kind), **beside})
    first, second = preprocess(FRAME).feeds["x"], preprocess(FRAME).feeds["x"]
    np.testing.assert_array_equal(first, second)
    assert not np.shares_memory(first, second)
    assert not any(np.shares_memory(first, array) for array in FRAME.values())


def test_what_a_bundle_stores_makes_the_same(kind: str) -> None:
    config = fitted(kind)
    stored = SECTION.dump_python(config, mode="json")
    again = SECTION.validate_python(stored)
    assert SECTION.dump_python(again, mode="json") == stored
    np.testing.assert_array_equal(made(kind, again), made(kind, config))


def test_fitting_twice_changes_nothing(kind: str) -> None:
    config = fitted(kind)
    again = config.fitted(TensorShape.model_validate(EXAMPLES[kind].tensor))
    assert SECTION.dump_python(again, mode="json") == SECTION.dump_python(config, mode="json")


def test_refuses_a_model_input_that_it_cannot_fill(kind: str) -> None:
    example = EXAMPLES[kind]
    config = SECTION.validate_python(
        {"kind": kind, **{key: value for key, value in example.keys.items() if key != "dtype"}}
    )
    if kind == "array":  # any shape may come with a frame
        with pytest.raises(EdgekitError, match="has the shape"):
            Preprocess({"x": config.fitted(TensorShape.model_validate(example.unfit))})(FRAME)
        return
    with pytest.raises(Misfit) as caught:
        config.fitted(TensorShape.model_validate(example.unfit))
    assert caught.value.key in type(config).model_fields


def test_another_dtype_than_the_models_is_no_choice(kind: str) -> None:
    example = EXAMPLES[kind]
    config = SECTION.validate_python({"kind": kind, **example.keys, "dtype": "bool"})
    with pytest.raises(Misfit, match="leave"):
        config.fitted(TensorShape.model_validate(example.tensor))


def test_unknown_keys_are_refused(kind: str) -> None:
    with pytest.raises(ValidationError):
        SECTION.validate_python({"kind": kind, **EXAMPLES[kind].keys, "colour": "red"})


def test_names_the_input_that_is_missing_in_the_frame(kind: str) -> None:
    config = fitted(kind)
    assert isinstance(config.create("x"), Input)
    if kind == "constant":
        assert made(kind, config).size
        return
    with pytest.raises(EdgekitError, match=r"^frame '17': preprocess\.x: "):
        Preprocess({"x": config})({}, "17")
