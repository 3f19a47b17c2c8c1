"""What a prediction holds, in one line for a person and as numbers by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from edgekit.core.predictions import ClassScores, Detections, Embedding, LabelMap, Tensors, Values
from edgekit.core.tensors import Array

What = Literal["boxes", "pixels", "probabilities", "values", "length", "elements", "parts", "unknown"]
_LISTED = 5


@dataclass(frozen=True)
class Found:
    """``numbers`` by the name of a class, a value or an output; ``what`` they are.

    ``boxes``: how many of each class.  ``pixels``: each class's share of the image, 0..1.  ``probabilities``: of the
    surest classes.  ``values``: in the unit of the labels.  ``length``: of an embedding.  ``elements``: of each output.
    ``parts``: those of several tasks, as ``task/name``.
    """

    what: What
    text: str
    numbers: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As it stands in ``--json``."""
        return {"what": self.what, "text": self.text, "numbers": dict(self.numbers)}


def boxes(found: Detections, classes: Sequence[str], confidence: float) -> Found:
    """Boxes with a score of at least ``confidence``, those that are drawn; how many have less is said."""
    sure = found.scores >= confidence
    numbers = _by_class(found.labels[sure], classes)
    total, rest = int(sure.sum()), int((~sure).sum())
    listed = ", ".join(f"{count} {name}" for name, count in numbers.items())
    text = f"{total or 'no'} {'box' if total == 1 else 'boxes'}{f': {listed}' if listed else ''}"
    return Found("boxes", f"{text} ({rest} below confidence {confidence:g})" if rest else text, numbers)


def pixels(found: LabelMap, classes: Sequence[str]) -> Found:
    """The share of the image that each class has, the largest first."""
    shares = {name: count / found.labels.size for name, count in _by_class(found.labels, classes).items()}
    return Found("pixels", _shortened([f"{name} {share:.1%}" for name, share in shares.items()]), shares)


def probabilities(found: ClassScores, classes: Sequence[str], count: int = _LISTED) -> Found:
    """The surest classes, the surest first."""
    order = np.argsort(-found.probabilities, kind="stable")[:count].tolist()
    numbers = {classes[i]: float(found.probabilities[i]) for i in order}
    return Found("probabilities", ", ".join(f"{name} {share:.2f}" for name, share in numbers.items()), numbers)


def parts(found: Mapping[str, Found]) -> Found:
    """What several tasks found on one frame."""
    numbers = {f"{task}/{name}": value for task, one in found.items() for name, value in one.numbers.items()}
    return Found("parts", "; ".join(f"{task}: {one.text}" for task, one in found.items()), numbers)


def plain(prediction: Any, classes: Sequence[str] | None) -> Found:
    """Of a prediction of any kind that :mod:`edgekit.core.predictions` has; what else there is names its class."""
    if isinstance(prediction, LabelMap) and classes is not None:
        return pixels(prediction, classes)
    if isinstance(prediction, ClassScores) and classes is not None:
        return probabilities(prediction, classes)
    if isinstance(prediction, Detections) and classes is not None:
        return boxes(prediction, classes, 0.0)
    if isinstance(prediction, Values):
        values = dict(zip(prediction.names, prediction.values.tolist(), strict=True))
        return Found("values", _shortened([f"{name} {value:.4g}" for name, value in values.items()]), values)
    if isinstance(prediction, Embedding):
        length = float(np.linalg.norm(prediction.vector))
        return Found("length", f"{prediction.vector.size} values of length {length:.4g}", {"length": length})
    if isinstance(prediction, Tensors):
        sizes = {name: int(value.size) for name, value in prediction.values.items()}
        shapes = [f"{name} {list(value.shape)}" for name, value in prediction.values.items()]
        return Found("elements", _shortened(shapes), sizes)
    return Found("unknown", f"a {type(prediction).__name__}")


def _by_class(labels: Array, classes: Sequence[str]) -> dict[str, int]:
    """How often each class is there, the most frequent first; an id without a name goes by its number."""
    counts = np.bincount(labels.reshape(-1))
    present = [i for i in np.argsort(-counts, kind="stable").tolist() if counts[i]]
    return {classes[i] if i < len(classes) else f"class {i}": int(counts[i]) for i in present}


def _shortened(listed: Sequence[str]) -> str:
    more = len(listed) - _LISTED
    return ", ".join(listed[:_LISTED]) + (f" and {more} more" if more > 0 else "")
