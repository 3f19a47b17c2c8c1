"""From the outputs of a detector to its best candidates, whatever the family of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.core import suggest
from edgekit.core.errors import SpecError, TensorError
from edgekit.core.tensors import Array, Arrays, TensorSpec
from edgekit.tasks.detection.families import (
    CODINGS,
    FAMILIES,
    Family,
    Prior,
    Size,
    grids,
    points,
    priors,
    sigmoid,
    softmax,
    to_pixels,
)

_ROUNDING = 1e-6  # of a probability in float32
_PROBABLE = (-0.01, 1.01)  # quantized probabilities may leave 0..1 by a step
_EXACT = {"scores": "float32", "boxes": "float32", "head": "float32", "objectness": "float32"}


@dataclass(frozen=True)
class Candidates:
    """``boxes`` float64 ``(M, 4)`` left, top, right, bottom in pixels of the input; ``scores`` float32, falling."""

    boxes: Array
    scores: Array
    labels: Array


class Head:
    """Reads the outputs of one kind of model.

    Args:
        family: what the numbers mean.
        classes: how many.
        parts: names of the outputs: of ``head``, which holds everything in one row, or of ``boxes``,
            ``scores`` and, where there are any, ``objectness``, ``labels``, ``count``; one name, or one per stride.
        anchors: reference boxes (centre x, y, width, height) in shares of the input, in the order of the
            candidates; none: they are made from the strides of the family.
    """

    def __init__(
        self, family: Family, classes: int, parts: Mapping[str, Sequence[str]], anchors: tuple[Prior, ...] = ()
    ) -> None:
        self.family = family
        self.classes = classes
        self.parts = {part: tuple(names) for part, names in parts.items()}
        self.anchors = anchors
        self._points: tuple[Size, Array] | None = None

    def check(self, outputs: Sequence[TensorSpec]) -> None:
        """Raise :class:`SpecError` unless the model's outputs have the shapes and dtypes of the family."""
        known = {spec.name: spec for spec in outputs}
        for part, names in self.parts.items():
            for name in names:
                if name not in known:
                    hint = suggest.allowed(name, tuple(known))
                    raise SpecError(f"task.output: the model has no output {name!r}; {hint}")
                spec = known[name]
                expected = self._misfit(part, spec.shape)
                if expected:
                    raise SpecError(
                        f"task.output: expected {part} {expected}; the model gives {spec}: {self._fix(spec.shape)}"
                    )
                if spec.dtype not in _dtypes(part):
                    wanted = " or ".join(_dtypes(part))
                    raise SpecError(f"task.output: the model gives {spec}; expected {wanted}: cast it in the model")

    def best(self, outputs: Arrays, size: Size, least: float, most: int) -> Candidates:
        """The ``most`` surest candidates with a score of at least ``least``; equal ones in the model's order.

        Args:
            outputs: of one frame, by name.
            size: height and width of the model's input.
            least: probability.
            most: how many.

        Raises:
            TensorError: an output is missing, has another shape or dtype, or holds NaN; the number of
                candidates is not that of the strides or anchors; scores are no probabilities.
        """
        arrays = {part: [self._read(outputs, part, name) for name in names] for part, names in self.parts.items()}
        found = self._final(arrays, size, least) if self.family.layout == "final" else None
        return _cut(found, most) if found is not None else self._raw(arrays, size, least, most)

    def _read(self, outputs: Arrays, part: str, name: str) -> Array:
        if name not in outputs:
            raise TensorError(f"no output {name!r}; {suggest.allowed(name, tuple(outputs))}")
        value = outputs[name]
        expected = self._misfit(part, value.shape)
        if expected:
            raise TensorError(f"output {name!r} has shape {list(value.shape)}; expected {expected}")
        if value.dtype.name not in _dtypes(part):
            raise TensorError(f"output {name!r} is {value.dtype}; expected {' or '.join(_dtypes(part))}")
        if value.size and np.isnan(value.max()):
            raise TensorError(f"output {name!r} holds NaN, so its boxes and scores mean nothing; run: edgekit verify")
        return value

    def _width(self, part: str) -> int:
        """Numbers of one candidate in an output."""
        family = self.family
        if family.layout == "final":
            return {"head": 6, "boxes": 4}.get(part, 1)
        widths = {"boxes": family.box_columns, "scores": family.score_columns(self.classes), "objectness": 1}
        return widths.get(part, family.columns(self.classes))

    def _misfit(self, part: str, shape: Sequence[int | None]) -> str:
        """The shape that was expected, or nothing when this one will do."""
        width, family = self._width(part), self.family
        return misfit(part, family.layout, width, family.per_cell, shape)

    def _fix(self, shape: Sequence[int | None]) -> str:
        """What to change in the spec for outputs of another shape."""
        others = [
            name
            for name, other in FAMILIES.items()
            if other.layout != "final"
            and not misfit("head", other.layout, other.columns(self.classes), other.per_cell, shape)
        ]
        if "head" in self.parts and others:
            return f"set task.family to one that has this shape ({', '.join(others)}), or correct task.classes"
        return f"correct task.classes (now {self.classes}), task.family or its layout"

    def _raw(self, arrays: Mapping[str, list[Array]], size: Size, least: float, most: int) -> Candidates:
        """Candidates of a head that leaves grid, anchors or suppression to us."""
        family, head = self.family, "head" in self.parts
        blocks = {part: self._blocks(part, values) for part, values in arrays.items()}
        boxes = blocks["head" if head else "boxes"]
        reference = self._reference(sum(map(len, boxes)), size, arrays)
        start, chosen = 0, []
        before = int(head and family.objectness and family.column_order == "objectness-first")
        box = slice(before, before + family.box_columns)
        for i, block in enumerate(boxes):
            rest = _beside(block, box) if head else blocks["scores"][i]
            if len(rest) != len(block):
                raise TensorError(f"outputs differ: {len(block)} boxes, but {len(rest)} scores; correct task.output")
            sure = None
            if family.objectness:
                sure = rest[:, 0] if head else blocks["objectness"][i][:, 0]
                if len(sure) != len(block):
                    raise TensorError(
                        f"outputs differ: {len(block)} boxes, but {len(sure)} objectness scores; correct task.output"
                    )
            rows, labels, scores = select(rest[:, int(head and family.objectness) :], sure, family, least)
            chosen.append((rows + start, labels, scores))
            start += len(block)
        rows, labels, scores = (np.concatenate(columns) for columns in zip(*chosen, strict=True))
        kept = surest(scores, most)
        rows = rows[kept]
        raw = np.empty((len(rows), family.box_columns), np.float32)
        start = 0
        for block in boxes:
            here = (rows >= start) & (rows < start + len(block))
            raw[here] = block[rows[here] - start, box if head else slice(family.box_columns)]
            start += len(block)
        return Candidates(to_pixels(raw, reference[rows], family, size), scores[kept], labels[kept])

    def _blocks(self, part: str, values: Sequence[Array]) -> list[Array]:
        """Views ``(n, K)`` of candidates, in the order of the reference points."""
        if self.family.layout == "rows":
            return [values[0][0]]
        if self.family.layout == "columns":
            return [values[0][0].T]
        count, width = self.family.per_cell, self._width(part)
        blocks = []
        for value in values:
            planes = value[0].reshape(count, width, -1).swapaxes(1, 2) if value.ndim == 4 else value[0]
            blocks += [plane.reshape(-1, width) if value.ndim == 5 else plane for plane in planes]
        return blocks

    def _reference(self, count: int, size: Size, arrays: Mapping[str, list[Array]]) -> Array:
        """The reference points of all candidates.

        Raises:
            TensorError: the model has another number of candidates, or grids of another size.
        """
        if CODINGS[self.family.box_coding].needs == "nothing":
            return np.empty((count, 0), np.float32)
        if self._points is None or self._points[0] != size:
            self._points = size, priors(size, self.anchors) if self.anchors else points(size, self.family)
        reference = self._points[1]
        strides, shape = list(self.family.strides), f"{size[0]}x{size[1]}"
        made = f"{len(self.anchors)} priors" if self.anchors else f"strides {strides} on an input of {shape}"
        if len(reference) != count:
            raise TensorError(
                f"output {self._first()!r} has {count} candidates, but {made} make {len(reference)}; correct "
                "task.strides, task.anchors or task.priors, or the size under preprocess"
            )
        if self.family.layout == "maps":
            for values in arrays.values():
                found = [value.shape[2:4] for value in values]
                if found != grids(size, self.family.strides):
                    raise TensorError(
                        f"output {self._first()!r} and the next have grids {found}, but {made} make "
                        f"{grids(size, self.family.strides)}; list the outputs in the order of task.strides"
                    )
        return reference

    def _first(self) -> str:
        return next(iter(self.parts.values()))[0]

    def _final(self, arrays: Mapping[str, list[Array]], size: Size, least: float) -> Candidates:
        """Objects of a model that suppresses inside; rows that pad the list are dropped."""
        if "head" in arrays:
            head = arrays["head"][0].reshape(-1, 6)
            boxes, scores, labels = head[:, :4], head[:, 4], head[:, 5]
        else:
            boxes = arrays["boxes"][0].reshape(-1, 4)
            scores, labels = arrays["scores"][0].ravel(), arrays["labels"][0].ravel()
        if not len(boxes) == len(scores) == len(labels):
            counts = f"{len(boxes)} boxes, {len(scores)} scores, {len(labels)} labels"
            raise TensorError(f"outputs differ: {counts}; correct task.output")
        total = int(arrays["count"][0].ravel()[0]) if "count" in arrays else len(boxes)
        if not 0 <= total <= len(boxes):
            name = self.parts["count"][0]
            raise TensorError(
                f"output {name!r} counts {total} objects; expected 0 to {len(boxes)}, the length of the list"
            )
        labels = labels.astype(np.int64) - (self.family.background == "first")
        real = (labels >= 0) & (scores >= least) & (scores > 0) & (np.arange(len(boxes)) < total)
        boxes, scores, labels = boxes[real], scores[real], labels[real]
        check_probabilities(scores)
        if len(labels) and labels.max() >= self.classes:
            raise TensorError(
                f"the model found an object of class {labels.max()}; allowed: 0..{self.classes - 1}: correct "
                "task.classes, or set task.background to first when its classes count from 1"
            )
        pixels = to_pixels(boxes, np.empty((len(boxes), 0), np.float32), self.family, size)
        return Candidates(pixels, np.minimum(scores, np.float32(1)), labels)


def _beside(block: Array, box: slice) -> Array:
    """The columns that are no box: objectness, where there is one, then the scores."""
    return block[:, box.stop :] if box.start == 0 else np.concatenate([block[:, : box.start], block[:, box.stop :]], 1)


def _dtypes(part: str) -> tuple[str, ...]:
    return ("float32",) if part in _EXACT else ("int64", "int32", "float32")


def misfit(part: str, layout: str, width: int, per_cell: int, shape: Sequence[int | None]) -> str:
    """The shape expected of an output, or nothing when ``shape`` fits; None in it fits any size."""
    maps = layout == "maps"
    if part == "count":
        return "" if len(shape) <= 2 and all(d in (None, 1) for d in shape) else "[1] or [1, 1]"
    if layout == "final":
        narrow = part in ("scores", "labels")
        allowed: list[tuple[int | None, ...]] = [(None,), (1, None)] if narrow else [(None, width), (1, None, width)]
        shown = "[1, N]" if narrow else f"[1, N, {width}]"
    elif maps:
        allowed = [(1, per_cell * width, None, None), (1, per_cell, None, None, width)]
        shown = f"[1, {per_cell * width}, h, w]"
    else:
        allowed = [(1, None, width) if layout == "rows" else (1, width, None)]
        shown = f"[1, N, {width}]" if layout == "rows" else f"[1, {width}, N]"
    fits = any(
        len(shape) == len(form) and all(None in (a, b) or a == b for a, b in zip(shape, form, strict=True))
        for form in allowed
    )
    return "" if fits else shown


def check_probabilities(values: Array) -> None:
    """Raise :class:`TensorError` unless all values lie in 0..1, but for rounding."""
    low, high = _PROBABLE
    if len(values) and (values.min() < low or values.max() > high):
        raise TensorError(
            f"scores reach from {values.min():.3g} to {values.max():.3g}; expected probabilities, 0..1: "
            "set task.score_coding to sigmoid or softmax"
        )


def select(scores: Array, objectness: Array | None, family: Family, least: float) -> tuple[Array, Array, Array]:
    """Row, label and probability of the candidates that reach ``least``, in the order of the rows.

    Args:
        scores: ``(N, C)``, with the background's column where the family has one.
        objectness: ``(N,)`` or None.
    """
    rows = np.arange(len(scores))
    of_object, of_class = family.score_powers
    if objectness is not None:
        objectness = _raised(_activated(objectness, family), of_object)
        sure = np.flatnonzero(objectness >= least - _ROUNDING)  # no class is surer than its object
        if len(sure) < len(rows):
            rows, scores, objectness = rows[sure], scores[sure], objectness[sure]
    real = {"none": slice(None), "first": slice(1, None), "last": slice(None, -1)}[family.background]
    top = scores[:, real].max(axis=1)
    if family.score_coding != "softmax":
        bound = _activated(top, family)
    elif family.background == "none":
        bound = np.ones_like(top)
    else:  # the share among the best class and the background alone
        bound = sigmoid(top - scores[:, 0 if family.background == "first" else -1])
    bound = _raised(bound, of_class)
    if objectness is not None:
        bound = bound * objectness
    kept = np.flatnonzero(bound >= least - _ROUNDING)
    rows, scores = rows[kept], scores[kept]
    share = softmax(scores) if family.score_coding == "softmax" else _activated(scores, family, checked=True)
    share = _raised(np.minimum(share[:, real], np.float32(1)), of_class)
    if objectness is not None:
        share = share * np.minimum(objectness[kept], np.float32(1))[:, None]
    if family.multi_label:
        places, labels = np.nonzero(share >= max(least, np.finfo(np.float32).tiny))
        return rows[places], labels, share[places, labels]
    labels = share.argmax(axis=1)
    share = share[np.arange(len(share)), labels]
    kept = np.flatnonzero(share >= least)
    return rows[kept], labels[kept], share[kept]


def _raised(values: Array, power: float) -> Array:
    """Probabilities to a power; one that rounding made negative is 0."""
    return values if power == 1 else np.maximum(values, np.float32(0)) ** np.float32(power)


def _activated(values: Array, family: Family, checked: bool = False) -> Array:
    if family.score_coding == "sigmoid":
        return sigmoid(values)
    if not checked:
        check_probabilities(values)
    return values


def surest(scores: Array, most: int) -> Array:
    """Indices of the ``most`` highest scores, falling; equal ones in their order."""
    if len(scores) > most:
        bar = np.partition(scores, len(scores) - most)[len(scores) - most]
        chosen = np.flatnonzero(scores >= bar)
    else:
        chosen = np.arange(len(scores))
    return np.asarray(chosen[np.argsort(-scores[chosen], kind="stable")][:most])


def _cut(found: Candidates, most: int) -> Candidates:
    kept = surest(found.scores, most)
    return Candidates(found.boxes[kept], found.scores[kept], found.labels[kept])
