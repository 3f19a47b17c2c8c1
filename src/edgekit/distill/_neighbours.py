"""What a teacher makes of a frame, with what it makes of the frames before and after: a mean along the optical flow.

A video shows the same things again, a little moved, and a teacher is wrong about them in other places each time.  Dense
class scores of both neighbours are brought to the places of the frame by optical flow (DIS: Kroeger et al., "Fast
optical flow using dense inverse search", ECCV 2016, by OpenCV), and their probabilities are averaged with the frame's
own.  A neighbour counts at a place only where the flows there and back agree (Sundaram, Brox and Keutzer, "Dense point
trajectories by GPU-accelerated large displacement optical flow", ECCV 2010, equation 5): what was hidden, has left the
picture or moved too far teaches nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import DataError, SpecError
from edgekit.core.tensors import Array
from edgekit.technique import Examples, Job

_SMALLEST = 12
"""Pixels along the longer side of a picture that the flow needs."""
_LOOKED_AT = 64
"""Places of the data set at which it is asked whether two frames follow each other, before any work."""
_KEPT = 3
"""Frames whose outputs are in memory."""

Floats = NDArray[np.float32]
Given = Callable[[int], Mapping[str, Array]]
"""What a teacher gives on the frame of an index, batch first."""


@dataclass
class Neighbours:
    """A teacher's outputs on a frame, averaged over it and its neighbours in time.

    Args:
        given: the teacher's outputs on one frame, all of them dense class scores ``(1, C, h, w)``.
        examples: the frames as they go into the student; the outputs cover what these show.
        picture: name of the input that the flow is taken from.
        planes: whether its channels come first.
        sequence: what a frame belongs to; None: to nothing.
    """

    given: Given
    examples: Examples
    picture: str
    planes: bool
    sequence: Callable[[int], str | None]
    _seen: dict[int, tuple[Mapping[str, Array], Floats, str | None]] = field(default_factory=dict)

    def __call__(self, index: int) -> dict[str, Array]:
        """Logarithms of the mean probabilities, ``(1, C, h, w)`` by name."""
        own, grey, _ = self._of(index)
        moves = [(near, _flow(grey, self._of(near)[1])) for near in self.beside(index)]
        return {name: self._mean(name, output, moves) for name, output in own.items()}

    def beside(self, index: int) -> tuple[int, ...]:
        """The neighbours of a frame in its own sequence."""
        name = self._of(index)[2]
        if name is None:
            return ()
        near = (one for one in (index - 1, index + 1) if 0 <= one < len(self.examples))
        return tuple(one for one in near if self._of(one)[2] == name)

    def share(self, index: int) -> float:
        """The share of the places of a frame at which a neighbour counts."""
        grey = self._of(index)[1]
        weights = [_flow(grey, self._of(near)[1])[1] for near in self.beside(index)]
        return float(np.maximum.reduce(weights).mean()) if weights else 0.0

    def _of(self, index: int) -> tuple[Mapping[str, Array], Floats, str | None]:
        if index not in self._seen:
            while len(self._seen) >= _KEPT:
                del self._seen[max(self._seen, key=lambda one: abs(one - index))]
            feeds = self.examples[index][0][self.picture][0].astype(np.float32)
            grey = np.ascontiguousarray(feeds.mean(0 if self.planes else 2))
            self._seen[index] = (self.given(index), grey, self.sequence(index))
        return self._seen[index]

    def _mean(self, name: str, output: Array, moves: list[tuple[int, tuple[Floats, Floats]]]) -> Array:
        total, weight = _softmax(output[0]), np.ones(output.shape[2:], np.float32)
        for near, (flow, agrees) in moves:
            shifted, known = _moved(_softmax(self._of(near)[0][name][0]), flow, agrees)
            total += known * shifted
            weight += known
        return np.asarray(np.log(np.maximum(total / weight, 1e-12)), np.float32)[None]


def neighbours(job: Job, examples: Examples, scores: Collection[str], given: Given) -> Neighbours:
    """The teacher ``given`` with its neighbours in time.

    Args:
        job: of the step.
        examples: the training frames as they go into the student.
        scores: outputs that hold class scores on axis 1.
        given: the teacher.

    Raises:
        SpecError: an output of which it is not known how it moves, or no input shows the frame.
        DataError: the data set does not say which frames follow each other.
    """
    outputs = given(0)
    other = next((name for name in job.outputs if name not in scores or outputs[name].ndim != 4), None)
    if other is not None:
        raise SpecError(
            f"distill.offline.neighbours: output {other!r} {list(outputs[other].shape)} is no map of class scores "
            "(N, C, h, w), so how it moves with the picture is not known; leave neighbours out"
        )
    images = {name: section for name, section in job.preprocess.items() if section.get("kind", "image") == "image"}
    name = next(iter(images), "")
    planes = not images or images[name].get("layout", "nchw") == "nchw"
    shape = examples[0][0][name].shape if images else ()
    if len(shape) != 4 or max(shape[2:] if planes else shape[1:3]) < _SMALLEST:
        found = f"{name!r} is {list(shape)}" if images else "there is none"
        raise SpecError(
            f"distill.offline.neighbours: optical flow needs an input that is an image of {_SMALLEST} pixels or more, "
            f"and {found}; leave neighbours out"
        )
    sequence = job.sequence or (lambda index: None)
    _require_order(examples, sequence)
    return Neighbours(given, examples, name, planes, sequence)


def _require_order(examples: Examples, sequence: Callable[[int], str | None]) -> None:
    last = len(examples) - 1
    for place in range(min(_LOOKED_AT, max(last, 0))):
        index = place * last // min(_LOOKED_AT, last)
        name = sequence(index)
        if name is not None and name == sequence(index + 1):
            return
    raise DataError(
        "distill.offline.neighbours: no two frames of data.training are said to follow each other; take a format that "
        "knows the sequence of a frame (video, mcap, bdd100k, nuscenes; rendered with sequence_length), "
        "or leave neighbours out"
    )


def described(teacher: Neighbours, indices: Collection[int]) -> dict[str, Any]:
    """For the record: the share of these frames that have a neighbour, and of their places at which one counts."""
    shares = {index: teacher.share(index) for index in indices if teacher.beside(index)}
    places = sum(shares.values()) / len(shares) if shares else 0.0
    return {"frames": len(shares) / max(len(indices), 1), "places": places}


def _flow(grey: Floats, other: Floats) -> tuple[Floats, Floats]:
    """Where each pixel of ``grey`` is in ``other``, as offsets (x, y) in pixels, and 1 where the way back agrees."""
    import cv2

    low, high = min(grey.min(), other.min()), max(grey.max(), other.max())
    one, two = (np.rint((x - low) * (255 / max(high - low, 1e-12))).astype(np.uint8) for x in (grey, other))
    dense = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    empty = np.zeros((*grey.shape, 2), np.float32)
    there, back = (np.asarray(dense.calc(*pair, empty.copy()), np.float32) for pair in ((one, two), (two, one)))
    x, y = _places(grey.shape)
    x, y = x + there[..., 0], y + there[..., 1]
    returned = cv2.remap(back, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    apart = np.square(there + returned).sum(2)
    far = np.square(there).sum(2) + np.square(returned).sum(2)
    inside = (x >= 0) & (y >= 0) & (x <= grey.shape[1] - 1) & (y <= grey.shape[0] - 1)
    return there, (inside & (apart < 0.01 * far + 0.5)).astype(np.float32)


def _moved(probabilities: Floats, flow: Floats, agrees: Floats) -> tuple[Floats, Floats]:
    """Probabilities ``(C, h, w)`` of the other frame at the places of this one, and the share of each that is known."""
    import cv2

    height, width = probabilities.shape[1:]
    scale = np.array([width / flow.shape[1], height / flow.shape[0]], np.float32)
    how = cv2.INTER_AREA if height < flow.shape[0] else cv2.INTER_LINEAR
    offsets = np.asarray(cv2.resize(flow, (width, height), interpolation=how)) * scale
    x, y = _places((height, width))
    x, y = x + offsets[..., 0], y + offsets[..., 1]
    planes = [cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for plane in probabilities]
    return np.stack(planes).astype(np.float32), np.asarray(cv2.resize(agrees, (width, height), interpolation=how))


def _places(shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return x, y


def _softmax(scores: Array) -> Floats:
    raised = np.exp(scores - scores.max(0, keepdims=True))
    return np.asarray(raised / raised.sum(0, keepdims=True), np.float32)
