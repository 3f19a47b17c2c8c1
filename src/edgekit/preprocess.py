"""A frame's images and arrays to model inputs: one implementation behind calibration, evaluation, profiling and run.

What an input is made of is a file of :mod:`edgekit.inputs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgekit.core.errors import DataError, SpecError
from edgekit.core.predictions import Geometry
from edgekit.core.tensors import Array, TensorSpec
from edgekit.inputs import InputConfig, place

__all__ = ["Prepared", "Preprocess", "place"]


@dataclass(frozen=True)
class Prepared:
    """Model inputs of one frame.

    ``feeds`` maps each model input to a contiguous array of batch 1 and the input's type, owned by the caller;
    ``geometry`` says how the image went into the first input that is an image.  Without such an input it is that
    of the frame's first image, left as it is (of a frame without images: of a single pixel).
    """

    feeds: dict[str, Array]
    geometry: Geometry


class Preprocess:
    """Callable that makes the model inputs of one frame.

    Args:
        configs: model input name to what it is made of, in the order of the model's inputs.

    Raises:
        SpecError: ``configs`` is empty.
    """

    def __init__(self, configs: Mapping[str, InputConfig]) -> None:
        if not configs:
            raise SpecError("preprocess: no input is described; expected one entry for each model input")
        self._inputs = {name: config.create(name) for name, config in configs.items()}
        # An input that holds the frame's size needs to know where the image went.
        self._order = sorted(self._inputs, key=lambda name: not self._inputs[name].places)

    def __call__(self, images: Mapping[str, Array], frame: str = "") -> Prepared:
        """Model inputs of ``images``, which maps source names to RGB ``(H, W, 3)`` images, or arrays of any shape.

        ``frame`` names it in errors.

        Raises:
            DataError: an image or array that an input reads is not there, or does not fit.
            TensorError: an image has another type, shape or dtype.
        """
        made: dict[str, Array] = {}
        geometry: Geometry | None = None
        for name in self._order:
            try:
                one = self._inputs[name](images, geometry)
            except DataError as error:
                raise DataError(f"frame {frame!r}: {error}" if frame else str(error)) from error
            made[name], geometry = one.array, geometry or one.geometry
        return Prepared({name: made[name] for name in self._inputs}, geometry or _as_it_is(images))

    def aliasing(self, images: Mapping[str, Array]) -> tuple[str, ...]:
        """What resizing this frame loses although the spec did not ask for it: a sentence per input, with a fix."""
        return tuple(text for one in self._inputs.values() if (text := one.aliasing(images)))

    def tensor_specs(self) -> tuple[TensorSpec, ...]:
        """Name, shape and dtype of every array in ``Prepared.feeds``, in order."""
        return tuple(one.spec for one in self._inputs.values())


def _as_it_is(images: Mapping[str, Array]) -> Geometry:
    sizes = (image.shape[:2] for image in images.values() if image.ndim == 3 and image.shape[2] == 3)
    height, width = next(sizes, (1, 1))
    return Geometry((height, width), (height, width), (0, 0, height, width))
