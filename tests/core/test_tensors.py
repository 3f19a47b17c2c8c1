"""The one place where arrays are checked against what a model takes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.core.errors import TensorError
from edgekit.core.predictions import LabelMap
from edgekit.core.tensors import TensorSpec, check_feeds

SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)
DTYPES = st.sampled_from(["float32", "float16", "uint8", "int32", "int64", "bool"])


@given(SHAPES, DTYPES, st.data())
def test_an_array_of_the_described_shape_passes(shape: tuple[int, ...], dtype: str, data: st.DataObject) -> None:
    dynamic = data.draw(st.lists(st.booleans(), min_size=len(shape), max_size=len(shape)))
    declared = tuple(None if free else size for free, size in zip(dynamic, shape, strict=True))
    TensorSpec("x", declared, dtype).check(np.zeros(shape, dtype))


@given(SHAPES, SHAPES)
def test_any_other_shape_is_refused_naming_both(wanted: tuple[int, ...], given_shape: tuple[int, ...]) -> None:
    spec = TensorSpec("x", wanted)
    if wanted == given_shape:
        spec.check(np.zeros(given_shape, np.float32))
        return
    with pytest.raises(TensorError) as caught:
        spec.check(np.zeros(given_shape, np.float32))
    assert str(caught.value) == f"input 'x' has shape {list(given_shape)}; expected x: float32{list(wanted)}"


@given(DTYPES, DTYPES)
def test_any_other_dtype_is_refused_with_the_conversion(wanted: str, found: str) -> None:
    spec, array = TensorSpec("x", (2,), wanted), np.zeros(2, found)
    if wanted == found:
        spec.check(array)
        return
    with pytest.raises(TensorError) as caught:
        spec.check(array)
    assert str(caught.value) == (
        f"input 'x' has dtype {found}; expected {wanted}: make an array of {wanted}, or set model.inputs.x.dtype"
    )


@pytest.mark.parametrize("value", [[1.0, 2.0], 3, None, "x"])
def test_only_arrays_are_taken(value: object) -> None:
    with pytest.raises(TensorError, match=f"input 'x' is {type(value).__name__}; expected a numpy array x: float32"):
        TensorSpec("x", (2,)).check(value)


def test_the_text_of_a_spec() -> None:
    assert str(TensorSpec("image", (1, 3, None, None), "uint8")) == "image: uint8[1, 3, ?, ?]"


def test_impossible_specs_are_refused() -> None:
    with pytest.raises(TensorError, match=r"'x'.*negative size"):
        TensorSpec("x", (1, -1))
    with pytest.raises(TypeError):
        TensorSpec("x", (1,), "float31")


def test_feeds_must_be_exactly_the_inputs() -> None:
    specs = (TensorSpec("a", (1,)), TensorSpec("b", (2,), "uint8"))
    feeds = {"a": np.zeros(1, np.float32), "b": np.zeros(2, np.uint8)}
    check_feeds(feeds, specs)
    with pytest.raises(TensorError) as caught:
        check_feeds({"a": feeds["a"], "c": feeds["b"]}, specs)
    assert str(caught.value) == "missing input 'b', unknown input 'c'; expected a: float32[1], b: uint8[2]"
    with pytest.raises(TensorError, match=r"input 'b' has shape \[1\]; expected b: uint8\[2\]"):
        check_feeds({**feeds, "b": np.zeros(1, np.uint8)}, specs)


@pytest.mark.parametrize("labels", [np.zeros((2, 2), np.int32), np.zeros((1, 2, 2), np.uint8)])
def test_a_label_map_is_one_byte_a_pixel(labels: np.ndarray) -> None:
    with pytest.raises(TensorError, match=r"expected uint8\[H, W\]"):
        LabelMap(labels)
