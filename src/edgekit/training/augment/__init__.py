"""Random changes of training frames that their truth follows: mirrored, cut out, recoloured, blurred, noisy.

What is drawn for a frame follows from the seed, the step and the frame's place in it, so that a run that was killed
sees the same frames, and so do a network and its teacher, whatever size each takes them at.  The frame changes before
preprocessing, in its own pixels.  Why this is written here: docs/decisions/0031-augmentation.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import Self

from edgekit.core.errors import DataError
from edgekit.core.tensors import Array
from edgekit.data import Sample
from edgekit.training.augment import _colour, _truth
from edgekit.training.augment._window import Window

__all__ = ["Augmentation", "Variation"]

_STREAM = 31  # apart from the order of frames, which is drawn from the same seed


class Augmentation(BaseModel):
    """What may happen to a training frame; every part is off unless it is given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    flip: float = Field(0.0, ge=0, le=1, description="share of the frames that are mirrored, left to right")
    crop: float = Field(
        1.0, gt=0, le=1,
        description="least share of a frame's width and height that is cut out, anywhere, and brought back to its "
        "size; 1 cuts nothing",
    )  # fmt: skip
    brightness: float = Field(0.0, ge=0, lt=1, description="0.2: times 0.8 to 1.2")
    contrast: float = Field(0.0, ge=0, lt=1, description="0.2: distances from the mean grey times 0.8 to 1.2")
    saturation: float = Field(0.0, ge=0, lt=1, description="0.2: distances from each pixel's grey times 0.8 to 1.2")
    hue: float = Field(0.0, ge=0, le=0.5, description="largest turn of the colour circle; 0.5 is half of it")
    blur: float = Field(0.0, ge=0, le=20, description="largest sigma of a Gaussian blur, in pixels of the frame")
    noise: float = Field(0.0, ge=0, lt=1, description="largest sigma of Gaussian noise, as a share of white")
    swap: tuple[tuple[str, str], ...] = Field(
        (), description="keypoints that change places in a mirror; by default those named left and right"
    )

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        changes = (self.brightness, self.contrast, self.saturation, self.hue, self.blur, self.noise)
        if not (self.moves or any(changes)):
            raise ValueError("augment changes nothing; give flip, crop, brightness, contrast or another of its keys")
        return self

    @property
    def moves(self) -> bool:
        """Whether things change their place in the frame."""
        return self.flip > 0 or self.crop < 1

    def drawn(self, seed: int, step: int, place: int) -> Variation:
        """What happens to the frame at ``place`` (0, 1, ...) of a step.

        Every part is drawn whether it is on or not, so that switching one on leaves the others as they were.
        """
        rng = np.random.default_rng([_STREAM, seed, step, place])
        mirrored, share, left, top = rng.random(4)
        gains = 2 * rng.random(4) - 1
        blur, noise = rng.random(2)
        window = Window(bool(mirrored < self.flip), 1 - (1 - self.crop) * float(share), float(left), float(top))
        brightness, contrast, saturation, hue = (
            float(gain * limit)
            for gain, limit in zip(gains, (self.brightness, self.contrast, self.saturation, self.hue), strict=True)
        )
        colour = _colour.Colour(1 + brightness, 1 + contrast, 1 + saturation, hue)
        noisy = _colour.Noise(float(noise) * self.noise, int(rng.integers(2**63)))
        return Variation(window, colour, float(blur) * self.blur, noisy, self.moves, self.swap)


@dataclass(frozen=True)
class Variation:
    """One change of a frame and of its truth: :meth:`Augmentation.drawn` makes it."""

    window: Window
    colour: _colour.Colour
    blur: float
    noise: _colour.Noise
    moves: bool
    swap: tuple[tuple[str, str], ...] = ()

    def __call__(self, sample: Sample, keypoints: Sequence[str] | None = None) -> Sample:
        """The frame after the change, in the sizes and types that it had.

        Masks and depth maps move with the image.  Boxes are cut at the border of the frame; an object of which less
        than a quarter is left becomes a ``crowd``, which counts nowhere, and one of which nothing is left goes.
        Class ids and texts stay.

        Args:
            sample: ``images`` as :class:`edgekit.data.Sample` has them.
            keypoints: names of the points of objects.

        Raises:
            DataError: something moves, and the frame has an array that is no image, or a truth of which it is not
                known how it follows; or noise is to be put on an image whose white is not known.
        """
        images = {name: self._image(name, image, sample.id) for name, image in sample.images.items()}
        if not self.moves or sample.truth is None:
            return replace(sample, images=images)
        size = next((image.shape[:2] for image in sample.images.values()), None)
        if size is None:
            raise DataError(f"frame {sample.id!r} has no image to augment; leave training.augment out")
        follows = _truth.Follows(self.window, (size[0], size[1]), keypoints, self.swap, sample.id)
        return replace(sample, images=images, truth=follows(sample.truth))

    def _image(self, name: str, image: Array, frame: str) -> Array:
        if image.ndim != 3 or image.shape[2] != 3:
            if self.moves:
                raise DataError(
                    f"frame {frame!r}: {name!r} is {image.dtype}{list(image.shape)}, no image, and cannot follow when "
                    "the frame is mirrored or cut; leave augment.flip and augment.crop out"
                )
            return image
        try:
            return self.noise(self.colour(_colour.blurred(self.window.image(image), self.blur)))
        except DataError as error:
            raise DataError(f"frame {frame!r}: {name!r}: {error}") from error
