"""A model input that a frame brings along and that is no image: points, a vector of the vehicle, a mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from edgekit.core.errors import DataError
from edgekit.core.predictions import Geometry
from edgekit.core.tensors import Array, TensorSpec
from edgekit.inputs import Input, Made, ShapedConfig, take


class Config(ShapedConfig):
    """The frame's array ``source``, as it is; a missing batch axis is put before it."""

    kind: Literal["array"]
    source: str

    def create(self, name: str) -> FrameArray:
        return FrameArray(TensorSpec(name, self.shape, self.dtype), self.source)


class FrameArray(Input):
    """Checks that each frame's array has the shape, and that its numbers fit the type."""

    def __init__(self, spec: TensorSpec, source: str) -> None:
        self.spec, self.source = spec, source

    def __call__(self, images: Mapping[str, Array], geometry: Geometry | None) -> Made:
        given = take(images, self.source, self.spec.name)
        shape = tuple(size or 0 for size in self.spec.shape)
        if given.shape not in (shape, shape[1:]):
            raise DataError(
                f"preprocess.{self.spec.name}: the frame's {self.source!r} has the shape {list(given.shape)}; "
                f"the model input takes {list(self.spec.shape)}, with or without its first axis: write the files so"
            )
        if given.dtype.kind not in "biuf":
            raise DataError(
                f"preprocess.{self.spec.name}: the frame's {self.source!r} is {given.dtype}; expected numbers: write "
                f"the files in {self.spec.dtype}"
            )
        with np.errstate(all="ignore"):
            made = np.array(given.reshape(shape), self.spec.dtype, order="C")
        floats = made.dtype.kind == "f"
        if not floats and not (made == given.reshape(shape)).all():
            raise DataError(
                f"preprocess.{self.spec.name}: the frame's {self.source!r} is {given.dtype} and holds values that "
                f"{self.spec.dtype}, the type of the model input, cannot hold: write the files in {self.spec.dtype}"
            )
        if floats and np.isinf(made).sum() != np.isinf(given).sum():
            raise DataError(
                f"preprocess.{self.spec.name}: the frame's {self.source!r} holds values beyond what "
                f"{self.spec.dtype}, the type of the model input, can hold: scale them before"
            )
        return Made(made)
