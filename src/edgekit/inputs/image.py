"""A model input that is one or several of the frame's images, resized and normalised.

The steps, in this order: grey (when the model takes one channel), resize, channel order, ``* scale``,
``- mean``, ``/ std``, layout.  ``mean`` and ``std`` follow the channels of the model, so they are
in B, G, R order when ``color`` is ``bgr``.  docs/preprocess.md writes the arithmetic down.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from typing_extensions import Self

from edgekit.core.spec import Dtype, TensorShape
from edgekit.core.tensors import TensorSpec
from edgekit.inputs import InputConfig, Misfit
from edgekit.inputs._resize import Antialias, Interpolation, can_antialias
from edgekit.inputs._tensor import Images, Normalised, Part, Placing

_LARGEST = {"uint8": 255, "uint16": 65535}
_ALWAYS = ("source", "resize", "mode", "color", "scale", "mean", "std", "pad_value", "layout")
_FLOAT16 = 65504.0
_NORMALISING = {"scale": 1.0, "mean": 0.0, "std": 1.0}


def _pair(value: Any) -> Any:
    return (value, value) if isinstance(value, int) else value


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, int | float) else value


def _one_name(value: Any) -> Any:
    return value[0] if isinstance(value, list | tuple) and len(value) == 1 else value


_Side = Annotated[int, Field(ge=1)]
_Size = tuple[_Side, _Side]
_Sources = Annotated[tuple[str, ...], Field(min_length=2)]
_PerChannel = BeforeValidator(_listed)


class Config(InputConfig):
    """How images become one model input; keys that are not given and not the default are the model input's own."""

    kind: Literal["image"] = "image"
    source: Annotated[str | _Sources, BeforeValidator(_one_name)] = Field(
        "image", description="which image of the sample; of several, in order, the channels follow each other"
    )
    resize: Annotated[_Size, BeforeValidator(_pair)] = Field(description="(height, width) of the input in pixels")
    mode: Literal["stretch", "letterbox", "letterbox-topleft", "crop"] = "stretch"
    before_crop: _Side | _Size | None = Field(
        None, description="mode crop: the shorter side, or (height, width), of the resized frame; none: as it is"
    )
    interpolation: Interpolation = Field("bilinear", description="OpenCV's, or with antialias Pillow's")
    antialias: Antialias = Field(False, description="the filter grows with the reduction, as in Pillow and torchvision")
    color: Literal["rgb", "bgr", "grey"] = Field("rgb", description="default: grey when the model takes one channel")
    pixels: Literal["uint8", "uint16", "float32"] = Field(
        "uint8", description="type of the frames' pixels; their values are taken as they are"
    )
    scale: float = Field(1.0, gt=0, description="multiplies the pixel values first")
    mean: Annotated[tuple[float, ...], _PerChannel] = (0.0, 0.0, 0.0)
    std: Annotated[tuple[Annotated[float, Field(gt=0)], ...], _PerChannel] = (1.0, 1.0, 1.0)
    pad_value: int | float = Field(114, description="grey of the letterbox border, before scale")
    layout: Literal["nchw", "nhwc"] = "nchw"
    dtype: Dtype = Field("float32", description="default: that of the model input")

    @model_validator(mode="before")
    @classmethod
    def _grey_has_one(cls, keys: Any) -> Any:
        """The default of three numbers is not meant for one channel."""
        if isinstance(keys, dict) and keys.get("color") == "grey":
            return {"mean": (0.0,), "std": (1.0,), **keys}
        return keys

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.antialias and not can_antialias(self.interpolation):
            why = "averages already" if self.interpolation == "area" else "takes one pixel"
            raise ValueError(
                f"antialias: interpolation {self.interpolation} {why}; leave antialias out, or take bilinear, bicubic "
                "or lanczos"
            )
        if self.before_crop is not None and self.mode != "crop":
            raise ValueError(f"before_crop: belongs to mode: crop; mode is {self.mode}")
        largest = _LARGEST.get(self.pixels)
        if largest is not None and (not isinstance(self.pad_value, int) or not 0 <= self.pad_value <= largest):
            raise ValueError(f"pad_value: expected a whole number from 0 to {largest}; found {self.pad_value}")
        for key in ("mean", "std"):
            problem = self._miscounted(key)
            if problem:
                raise ValueError(f"{key}: {problem}")
        return self

    def _miscounted(self, key: str) -> str:
        """What is wrong with the number of ``mean`` or ``std``; empty: nothing, or not the user's."""
        allowed, count = {1, self._channels_of_one, self.channels}, len(getattr(self, key))
        if key not in self.model_fields_set or count in allowed:
            return ""
        return f"expected {' or '.join(map(str, sorted(allowed)))} numbers with color: {self.color}; found {count}"

    @model_serializer(mode="wrap")
    def _compact(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Keys that came later are written only where they say something: hashes and older readers see no others."""
        dumped: dict[str, Any] = handler(self)
        fields = type(self).model_fields
        return {k: v for k, v in dumped.items() if k in _ALWAYS or getattr(self, k) != fields[k].default}

    @property
    def sources(self) -> tuple[str, ...]:
        """The images of the frame that fill the input, in the order of its channels."""
        return (self.source,) if isinstance(self.source, str) else self.source

    @property
    def _channels_of_one(self) -> int:
        return 1 if self.color == "grey" else 3

    @property
    def channels(self) -> int:
        """Of the model input."""
        return self._channels_of_one * len(self.sources)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the model input."""
        return (1, self.channels, *self.resize) if self.layout == "nchw" else (1, *self.resize, self.channels)

    def fitted(self, tensor: TensorShape) -> Self:
        """With colour and dtype of the model input.

        Raises:
            Misfit: the input has another shape, or a type that cannot hold what is made.
        """
        found: dict[str, Any] = {"dtype": tensor.dtype}
        axis = 1 if self.layout == "nchw" else -1
        if "color" not in self.model_fields_set and len(tensor.shape) == 4 and tensor.shape[axis] == len(self.sources):
            found["color"] = "grey"
        if "dtype" in self.model_fields_set and self.dtype != tensor.dtype:
            raise Misfit("dtype", f"is {self.dtype}, but model.inputs.{{input}}.dtype is {tensor.dtype}; leave it out")
        if found.get("color", self.color) == "grey":  # one mean; the default of three is not the user's
            found |= {k: (getattr(self, k)[0],) for k in ("mean", "std") if k not in self.model_fields_set}
        made = self.model_copy(update=found)
        if made.shape != tensor.shape:
            raise Misfit("resize", made._other_shape(tensor.shape))
        for key in ("mean", "std"):
            problem = made._miscounted(key)
            if problem:
                raise Misfit(key, f"{problem}; the model input has {made.channels} channels")
        made._check_dtype()
        return made

    def _check_dtype(self) -> None:
        if self.dtype == "bool":
            raise Misfit("kind", "the model input is bool, and an image is not; take kind: array or kind: constant")
        if self.dtype == "float16" and self._largest() > _FLOAT16:
            raise Misfit("scale", f"{self.pixels} pixels become {self._largest():g}, beyond what float16 can hold")
        if self.dtype in ("float32", "float16"):
            return
        given = [key for key, plain in _NORMALISING.items() if set(np.ravel(getattr(self, key))) != {plain}]
        if given:
            raise Misfit(
                given[0],
                f"the model input is {self.dtype} and takes pixel values as they are: leave {', '.join(given)} out "
                "when the network normalises inside, else export it with a float32 input",
            )
        if self.pixels == "float32" or (self.pixels == "uint16" and self.dtype == "uint8"):
            raise Misfit("pixels", f"{self.pixels} values do not fit in the model input, which is {self.dtype}")

    def _largest(self) -> float:
        """The largest magnitude that a pixel of 8 or 16 bits becomes."""
        ends = (0, _LARGEST.get(self.pixels, 0))
        mean, std = _spread(self.mean, self.channels), _spread(self.std, self.channels)
        return max(abs((v * self.scale - m) / s) for v in ends for m, s in zip(mean, std, strict=True))

    def _other_shape(self, wanted: tuple[int, ...]) -> str:
        (height, width), shape = self.resize, list(self.shape)
        text = f"{height}x{width} in {self.layout} makes {shape}, but model.inputs.{{input}}.shape is {list(wanted)}"
        if len(wanted) != 4 or wanted[0] != 1:
            return f"{text}; kind: array takes what is no image, and a factory can reshape it"
        swapped = (1, *self.resize, self.channels) if self.layout == "nchw" else (1, self.channels, *self.resize)
        if wanted == swapped:
            return f"{text}; set layout: {'nhwc' if self.layout == 'nchw' else 'nchw'}"
        channels = wanted[1] if self.layout == "nchw" else wanted[3]
        if channels == len(self.sources) != self.channels:
            return f"{text}; set color: grey"
        if channels != self.channels and channels % self._channels_of_one == 0:
            count = channels // self._channels_of_one
            return f"{text}; {channels} channels are {count} images: name them, source: [first, ...]"
        if channels != self.channels:
            return f"{text}; an image makes 3 channels (grey: 1), and what is no image comes with kind: array"
        return text

    def create(self, name: str) -> Images:
        one = self._channels_of_one
        mean, std = _spread(self.mean, self.channels), _spread(self.std, self.channels)
        parts = tuple(
            Part(
                source=source,
                pixels=self.pixels,
                grey=self.color == "grey",
                placing=Placing(self.resize, self.mode, self.before_crop, self.interpolation, self.antialias),
                normalised=Normalised(
                    self.scale, mean[i * one : (i + 1) * one], std[i * one : (i + 1) * one], self.dtype
                ),
                pad_value=self.pad_value,
                backwards=self.color == "bgr",
                chosen="antialias" in self.model_fields_set,
            )
            for i, source in enumerate(self.sources)
        )
        return Images(TensorSpec(name, self.shape, self.dtype), parts, self.layout == "nchw")


def _spread(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    return values * (channels // len(values))
