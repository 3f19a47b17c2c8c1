"""A model input that is the same for every frame: the size that a network's own decoding scales boxes to, a prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import field_validator

from edgekit.core.predictions import Geometry
from edgekit.core.spec import TensorShape
from edgekit.core.tensors import Array, TensorSpec
from edgekit.inputs import Input, Made, Misfit, ShapedConfig


class Config(ShapedConfig):
    """``value``: a number for the whole input, or nested lists of the input's shape."""

    kind: Literal["constant"]
    value: Any

    @field_validator("value")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        _array(value)
        return value

    def fitted(self, tensor: TensorShape) -> Config:
        """With shape and dtype of the model input.

        Raises:
            Misfit: the value has another shape, or numbers that the dtype cannot hold.
        """
        array = _array(self.value)
        if array.ndim and array.shape != tensor.shape:
            raise Misfit("value", f"has the shape {list(array.shape)}; the model input has {list(tensor.shape)}")
        if not _holds(array, tensor.dtype):
            raise Misfit("value", f"{self.value!r} holds a number that {tensor.dtype}, the input's type, cannot hold")
        return super().fitted(tensor)

    def create(self, name: str) -> Constant:
        return Constant(TensorSpec(name, self.shape, self.dtype), _array(self.value))


class Constant(Input):
    """The one array, a copy for every frame."""

    def __init__(self, spec: TensorSpec, value: Array) -> None:
        self.spec = spec
        self.value: Array = np.broadcast_to(value, spec.shape).astype(spec.dtype)  # type: ignore[arg-type]

    def __call__(self, images: Mapping[str, Array], geometry: Geometry | None) -> Made:
        return Made(self.value.copy())


def _array(value: Any) -> Array:
    try:
        array = np.array(value)
    except ValueError:
        raise ValueError("the lists have different lengths; expected nested lists of the model input's shape") from None
    if array.dtype.kind not in "biuf" or array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"expected a finite number, true or false, or nested lists of them; found {value!r}")
    return array


def _holds(array: Array, dtype: str) -> bool:
    """Whether nothing is lost but the last digits of a float."""
    with np.errstate(all="ignore"):
        cast = array.astype(dtype)
    if np.dtype(dtype).kind == "f":
        return bool(np.isfinite(cast).all())
    return bool((cast == array).all())
