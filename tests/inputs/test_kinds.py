"""Constants, arrays and sizes: model inputs that are no image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from edgekit.core.errors import DataError
from edgekit.core.spec import InputSection, Misfit, TensorShape
from edgekit.core.tensors import Array
from edgekit.preprocess import Preprocess

SECTION: TypeAdapter[Any] = TypeAdapter(InputSection)
FRAME = {"image": np.zeros((90, 160, 3), np.uint8)}


def feed(keys: dict[str, Any], shape: tuple[int, ...], dtype: str, frame: dict[str, Array], **others: Any) -> Array:
    config = SECTION.validate_python(keys).fitted(TensorShape(shape=shape, dtype=dtype))  # type: ignore[arg-type]
    sections = {"x": config, **{name: SECTION.validate_python(section) for name, section in others.items()}}
    return Preprocess(sections)(frame).feeds["x"]


def test_a_number_fills_the_whole_input() -> None:
    assert feed({"kind": "constant", "value": 0.5}, (1, 2, 3), "float16", FRAME).tolist() == [[[0.5] * 3] * 2]
    assert feed({"kind": "constant", "value": [[640, 640]]}, (1, 2), "int64", FRAME).tolist() == [[640, 640]]
    assert feed({"kind": "constant", "value": True}, (1,), "bool", FRAME).tolist() == [True]


@pytest.mark.parametrize("value", ["text", [[1, 2], [3]], [], None, [float("nan")], {"a": 1}])
def test_what_is_no_constant(value: Any) -> None:
    with pytest.raises(ValidationError, match="expected"):
        SECTION.validate_python({"kind": "constant", "value": value})


@pytest.mark.parametrize(
    ("value", "dtype"), [(0.5, "int64"), (300, "uint8"), (-1, "uint8"), (1e6, "float16"), (2, "bool")]
)
def test_a_constant_that_the_type_cannot_hold(value: Any, dtype: str) -> None:
    with pytest.raises(Misfit, match=f"{dtype}, the input's type, cannot hold"):
        feed({"kind": "constant", "value": value}, (1,), dtype, FRAME)


@pytest.mark.parametrize(
    ("of", "order", "expected"),
    [
        ("frame", "height_width", [90, 160]),
        ("frame", "width_height", [160, 90]),
        ("resized", "height_width", [36, 64]),
        ("ratio", "width_height", [0.4, 0.4]),
    ],
)
def test_the_size_of_the_frame(of: str, order: str, expected: list[float]) -> None:
    image = {"resize": [64, 64], "mode": "letterbox"}
    keys = {"kind": "frame_size", "of": of, "order": order}
    np.testing.assert_allclose(feed(keys, (1, 2), "float32", FRAME, image=image), [expected], rtol=1e-6)


def test_a_size_needs_an_image() -> None:
    with pytest.raises(DataError, match="no input of kind image says how large the frame is"):
        feed({"kind": "frame_size", "order": "height_width"}, (1, 2), "int64", FRAME)


@pytest.mark.parametrize(
    ("shape", "dtype", "of"), [((1, 3), "int64", "frame"), ((1, 2), "uint8", "frame"), ((1, 2), "int64", "ratio")]
)
def test_inputs_that_hold_no_size(shape: tuple[int, ...], dtype: str, of: str) -> None:
    with pytest.raises(Misfit):
        feed({"kind": "frame_size", "of": of, "order": "height_width"}, shape, dtype, FRAME)


def test_an_array_with_and_without_the_batch_axis() -> None:
    points = np.arange(6, dtype=np.float64).reshape(2, 3)
    for given in (points, points[None]):
        found = feed({"kind": "array", "source": "points"}, (1, 2, 3), "float32", {"points": given})
        np.testing.assert_array_equal(found, points[None])
        assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("given", "dtype", "said"),
    [
        (np.zeros((3, 2)), "float32", r"the frame's 'p' has the shape \[3, 2\]; the model input takes \[1, 2, 3\]"),
        (np.full((2, 3), 0.5), "int64", "is float64 and holds values that int64"),
        (np.full((2, 3), -1), "uint8", "holds values that uint8"),
        (np.full((2, 3), 1e6), "float16", "holds values beyond what float16"),
        (np.full((2, 3), "a"), "float32", "is <U1"),
    ],
)
def test_arrays_that_do_not_fit(given: Array, dtype: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        feed({"kind": "array", "source": "p"}, (1, 2, 3), dtype, {"p": given})


def test_a_frame_of_arrays_has_a_geometry() -> None:
    config = SECTION.validate_python({"kind": "constant", "value": 1, "shape": [1]})
    assert Preprocess({"x": config})({"vector": np.zeros(4)}).geometry.original == (1, 1)
    assert Preprocess({"x": config})(FRAME).geometry.content == (0, 0, 90, 160)
