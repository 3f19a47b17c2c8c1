"""A model input that tells the network how large the frame is, or how it was resized.

RT-DETR's exports call it ``orig_target_sizes`` ``[1, 2]`` (width, height), PaddleDetection's ``im_shape``
(``of: resized``) and ``scale_factor`` (``of: ratio``), both (height, width).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from edgekit.core.errors import DataError
from edgekit.core.predictions import Geometry
from edgekit.core.spec import TensorShape
from edgekit.core.tensors import Array, TensorSpec
from edgekit.inputs import Input, Made, Misfit, ShapedConfig


class Config(ShapedConfig):
    """``of``: the ``frame``, the part of the tensor that it fills (``resized``), or the second over the first."""

    kind: Literal["frame_size"]
    of: Literal["frame", "resized", "ratio"] = "frame"
    order: Literal["height_width", "width_height"]

    def fitted(self, tensor: TensorShape) -> Config:
        """With shape and dtype of the model input.

        Raises:
            Misfit: the input does not hold two numbers, or not numbers of this kind.
        """
        if np.prod(tensor.shape) != 2:
            raise Misfit("kind", f"a size is two numbers, [1, 2]; the model input has the shape {list(tensor.shape)}")
        if tensor.dtype in ("bool", "uint8"):
            raise Misfit("kind", f"a size does not fit in {tensor.dtype}, the type of the model input")
        if self.of == "ratio" and tensor.dtype not in ("float32", "float16"):
            raise Misfit("of", f"a ratio is no whole number, and the model input is {tensor.dtype}")
        return super().fitted(tensor)

    def create(self, name: str) -> FrameSize:
        return FrameSize(TensorSpec(name, self.shape, self.dtype), self.of, self.order)


class FrameSize(Input):
    """Two numbers of the first input that places an image."""

    def __init__(self, spec: TensorSpec, of: str, order: str) -> None:
        self.spec, self.of, self.order = spec, of, order

    def __call__(self, images: Mapping[str, Array], geometry: Geometry | None) -> Made:
        if geometry is None:
            raise DataError(f"preprocess.{self.spec.name}: no input of kind image says how large the frame is; add one")
        frame, resized = geometry.original, geometry.content[2:]
        size = {
            "frame": frame,
            "resized": resized,
            "ratio": (resized[0] / frame[0], resized[1] / frame[1]),
        }[self.of]
        ordered = size if self.order == "height_width" else size[::-1]
        return Made(np.array(ordered, self.spec.dtype).reshape(self.spec.shape))  # type: ignore[arg-type]
