"""What a model input is made of, one file per kind.

A kind is a module with a frozen ``Config`` (the keys of ``preprocess.<input>``) whose ``create()``
returns an :class:`Input`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import Self

from edgekit.core.errors import DataError
from edgekit.core.predictions import Geometry
from edgekit.core.spec import Dtype, Misfit, Section, TensorShape
from edgekit.core.tensors import Array, TensorSpec
from edgekit.inputs._place import place

__all__ = ["Input", "InputConfig", "Made", "Misfit", "ShapedConfig", "place", "take"]


@dataclass(frozen=True)
class Made:
    """One model input: a contiguous array of batch 1, owned by the caller, and where the image went in it."""

    array: Array
    geometry: Geometry | None = None


class Input(ABC):
    """Makes one model input of each frame.

    ``spec`` is what it makes; ``places`` says that an image is placed in it, so that it has a geometry, which the
    inputs without one are given.
    """

    spec: TensorSpec
    places: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, images: Mapping[str, Array], geometry: Geometry | None) -> Made:
        """The input of one frame.

        Args:
            images: source name to the frame's image or array.
            geometry: of the first input that places an image; None: there is none, or it is not made yet.

        Raises:
            DataError: what it is made of is not there, or does not fit.
            TensorError: an image has another type, shape or dtype.
        """

    def aliasing(self, images: Mapping[str, Array]) -> str:
        """What resizing this frame loses although the spec did not choose it, with the way out; empty: nothing."""
        return ""


class InputConfig(Section):
    """Base of every kind's ``Config``."""

    kind: str

    def fitted(self, tensor: TensorShape) -> Self:
        """The same, with what the model input alone decides filled in.

        Raises:
            Misfit: it cannot fill this input; names the key and the fix.
        """
        raise TypeError(f"{type(self).__module__}.Config does not define fitted()")

    def create(self, name: str) -> Input:
        """What makes the model input ``name``."""
        raise TypeError(f"{type(self).__module__}.Config does not define create()")


class ShapedConfig(InputConfig):
    """Base of the kinds that take shape and dtype from the model input; the bundle has them written out."""

    shape: tuple[int, ...] = ()
    dtype: Dtype = "float32"

    def fitted(self, tensor: TensorShape) -> Self:
        """With shape and dtype of the model input.

        Raises:
            Misfit: others are given.
        """
        for key in ("shape", "dtype"):
            given, wanted = getattr(self, key), getattr(tensor, key)
            if key in self.model_fields_set and given != wanted:
                raise Misfit(key, f"is {given}, but model.inputs has {wanted} for this input; leave the key out")
        return self.model_copy(update={"shape": tensor.shape, "dtype": tensor.dtype})


def take(images: Mapping[str, Array], source: str, name: str) -> Array:
    """The image or array ``source`` of a frame, for the model input ``name``.

    Raises:
        DataError: the frame has none.
    """
    if source not in images:
        given = ", ".join(map(repr, images)) or "no image"
        raise DataError(
            f"preprocess.{name}: the sample has no image {source!r}, it has {given}; "
            f"set preprocess.{name}.source to one of its images, or bring more with data of format: joined"
        )
    return images[source]
