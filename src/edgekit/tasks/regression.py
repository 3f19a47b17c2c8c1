"""Regression: numbers of a frame, such as head angles, landmarks or any vector.

Errors are absolute differences from the labels, on a circle where a period says so; of landmarks they are distances
between points, over a size of the object where one is named: the normalised mean error of face alignment (Sagonas et
al., "300 Faces in-the-wild challenge", Image and Vision Computing 47, 2016).  Labels are found by name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, model_validator
from typing_extensions import Self

from edgekit.core import suggest
from edgekit.core.classes import ObjectNames
from edgekit.core.errors import DataError, SpecError, TensorError
from edgekit.core.predictions import Geometry, Values
from edgekit.core.reports import Metric
from edgekit.core.tensors import Array, Arrays, TensorSpec
from edgekit.tasks import Accumulator, Task, TaskConfig
from edgekit.tasks._captions import Line, captioned, check_image, tagged
from edgekit.tasks._drawing import dotted
from edgekit.tasks._weights import Records, checked, checked_rows, mean, quantile, ratio, single

_MOST = 4096
_SHOWN = 8
"""Values that are written on a picture."""
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
_AXES = ("x", "y")

Coordinates = Literal["original", "input-pixels", "input-share"]


def _counted(value: Any) -> Any:
    """``{name: count}`` are the names with a number from 0 behind them."""
    if not isinstance(value, dict):
        return value
    if not value or not all(isinstance(n, int) and not isinstance(n, bool) and 0 < n <= _MOST for n in value.values()):
        raise ValueError(f"expected a list of names, or how many of a name there are, such as {{param: 62}}: {value}")
    return [f"{name}{i}" for name, count in value.items() for i in range(count)]


Names = Annotated[ObjectNames, BeforeValidator(_counted, json_schema_input_type=str | list[str] | dict[str, int])]
Numbers = float | tuple[float, ...]


class Config(TaskConfig):
    """``output`` names the output, or several whose values stand one after another.

    ``components`` names the values, or ``points`` the landmarks, each of two values: a list, a JSON file with one, or
    ``{name: count}``.  A label has the component's name; those of a point are ``<point>_x`` and ``<point>_y``, in
    pixels of the original image.

    A value is ``output * scale + offset``, in the unit of the labels.  ``period`` makes a circle of a component: 360
    for degrees; one number for all, or by name.  ``coordinates`` says what landmarks are measured in, ``layout``
    whether x and y stand together (``pairs``) or all x before all y (``planes``).  ``normalise`` divides by a size: a
    number, the distance between two points of the label, or ``box``, the root of the area of the box around them.
    """

    kind: Literal["regression"] = "regression"
    output: str | Annotated[tuple[str, ...], Field(min_length=1)]
    components: Names | None = None
    points: Names | None = None
    scale: Numbers = 1.0
    offset: Numbers = 0.0
    period: Annotated[float, Field(gt=0)] | dict[str, Annotated[float, Field(gt=0)]] | None = None
    coordinates: Coordinates | None = None
    layout: Literal["pairs", "planes"] = "pairs"
    normalise: Annotated[float, Field(gt=0)] | Literal["box"] | tuple[str, str] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Components or points, in the order of the output."""
        return self.components or self.points or ()

    @property
    def width(self) -> int:
        """Values of a frame."""
        return len(self.names) * (len(_AXES) if self.points else 1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if problem := self._problem():
            raise ValueError(problem)
        return self

    def _problem(self) -> str:
        if (self.components is None) == (self.points is None):
            return "components, points: give one of the two, the names of values or of landmarks"
        for key in ("scale", "offset"):
            given = getattr(self, key)
            if isinstance(given, tuple) and len(given) != self.width:
                return f"{key}: found {len(given)} numbers for {self.width} values; give one for each, or one for all"
        if self.points is None and self.coordinates is not None:
            return "coordinates: belongs to points; remove it"
        if self.points is None and isinstance(self.normalise, str | tuple):
            return "normalise: components have a number as their size, not points; give the number"
        if self.points is not None and self.coordinates is None:
            return (
                "coordinates: is missing; expected what the landmarks are measured in: original (pixels of the frame), "
                "input-pixels (of the model's input), input-share (0..1 of it)"
            )
        if self.points is not None and self.period is not None:
            return "period: belongs to components; remove it"
        unknown = next((n for n in self.period if n not in self.names), None) if isinstance(self.period, dict) else None
        if unknown is not None:
            return f"period: no component {unknown!r}; {suggest.allowed(unknown, self.names)}"
        ends = self.normalise if isinstance(self.normalise, tuple) else ()
        unknown = next((name for name in ends if name not in self.names), None)
        if unknown is not None:
            return f"normalise: no point {unknown!r}; {suggest.allowed(unknown, self.names)}"
        return "normalise: the two points are one; name two" if ends and ends[0] == ends[1] else ""

    def create(self) -> Regression:
        return Regression(self)


class Regression(Task):
    """Outputs to :class:`~edgekit.core.predictions.Values`."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.output = (config.output,) if isinstance(config.output, str) else config.output
        self.names = config.names
        self.labels = tuple(f"{n}_{axis}" for n in config.names for axis in _AXES) if config.points else config.names
        given = config.period
        by_name = given if isinstance(given, dict) else {} if given is None else dict.fromkeys(self.names, given)
        self.period = np.array([by_name.get(name, np.inf) for name in self.names])

    @property
    def headline(self) -> str:
        """``nme`` of normalised landmarks, else ``mae``."""
        return "nme" if self.config.points and self.config.normalise is not None else "mae"

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The mean error, its root of squares, quantiles of the frames' errors; mean, root and p90 of each name."""
        whole = (self.headline, "rmse", *(f"error_{tail}" for tail in _QUANTILES))
        each = (f"{what}/{name}" for name in self.names for what in (self.headline, "rmse", "error_p90"))
        return tuple(Metric(name, higher=False, share=False) for name in (*whole, *each))

    def check_outputs(self, outputs: Sequence[TensorSpec]) -> None:
        """Raise :class:`SpecError` unless the outputs are float32 and hold a value per component."""
        known, sizes = {spec.name: spec for spec in outputs}, []
        for name in self.output:
            if name not in known:
                raise SpecError(f"task.output: the model has no output {name!r}; {suggest.allowed(name, tuple(known))}")
            spec = known[name]
            if spec.dtype != "float32":
                raise SpecError(f"task.output: the model gives {spec}; expected float32: cast the output to float32")
            sizes.append(None if None in spec.shape else int(np.prod([d for d in spec.shape if d is not None])))
        found = None if None in sizes else sum(size for size in sizes if size is not None)
        if found not in (None, self.config.width):
            given = ", ".join(str(known[name]) for name in self.output)
            key = "points" if self.config.points else "components"
            raise SpecError(
                f"task.output: expected {self.config.width} values, those of task.{key}; the model gives {given}: "
                f"correct task.{key}"
            )

    def decode(self, outputs: Arrays, geometry: Geometry) -> Values:
        """The values in the unit of the labels; landmarks in pixels of the original image.

        Raises:
            TensorError: an output is missing, has another size or dtype, or holds NaN or infinity.
        """
        parts = []
        for name in self.output:
            if name not in outputs:
                raise TensorError(f"no output {name!r}; {suggest.allowed(name, tuple(outputs))}")
            if outputs[name].dtype != np.float32:
                raise TensorError(f"output {name!r} is {outputs[name].dtype}; expected float32")
            if not np.isfinite(outputs[name]).all():
                raise TensorError(f"output {name!r} holds NaN or infinity; check the model with: edgekit verify")
            parts.append(outputs[name].astype(np.float64).ravel())
        values, config = np.concatenate(parts), self.config
        if len(values) != config.width:
            what = " and ".join(repr(name) for name in self.output)
            raise TensorError(f"output {what} has {len(values)} values; expected {config.width}")
        values = values * np.array(config.scale) + np.array(config.offset)
        if config.points:
            pairs = values.reshape(2, -1).T if config.layout == "planes" else values.reshape(-1, 2)
            values = _to_original(pairs, geometry, config.coordinates).ravel()
        return Values(self.labels, values)

    def accumulator(self) -> Errors:
        return Errors(self)

    def errors(self, prediction: Values, truth: Mapping[str, Any], sample_id: str) -> NDArray[np.float64]:
        """The error of each component or point, float64 ``(C,)``; NaN where the label is missing (None or NaN).

        Raises:
            DataError: the truth lacks a name, a label is no number, or the size to divide by is zero or not labelled.
        """
        true = self._labels(truth, sample_id)
        gap = self._gap(prediction.values, true)
        if self.config.points:
            far = np.hypot(gap[0::2], gap[1::2])
            return far if self.config.normalise is None else far / self._size(true.reshape(-1, 2), sample_id)
        far = np.abs(gap)
        return far / self.config.normalise if isinstance(self.config.normalise, float) else far

    def _gap(self, values: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
        """Differences, the shorter way round where a value goes in a circle."""
        gap = values - other
        circles = np.flatnonzero(np.isfinite(self.period))
        half = self.period[circles] / 2
        gap[circles] = (gap[circles] + half) % (2 * half) - half
        return gap

    def check_truth(self, truth: Any, sample_id: str) -> None:
        """Raise :class:`DataError` as :meth:`errors` does."""
        true = self._labels(truth, sample_id)
        if self.config.points and self.config.normalise is not None:
            self._size(true.reshape(-1, 2), sample_id)

    disagreement_of = "of the values' length differs"

    def disagreement(self, one: Values, other: Values) -> float:
        """The length of the difference over that of ``one``, at most 1; angles the shorter way round."""
        gap, norm = np.linalg.norm(self._gap(other.values, one.values)), np.linalg.norm(one.values)
        return min(1.0, float(gap / norm)) if norm > 0 else float(gap > 0)

    def _labels(self, truth: Any, sample_id: str) -> NDArray[np.float64]:
        if not isinstance(truth, Mapping):
            found = "nothing" if truth is None else type(truth).__name__
            raise DataError(
                f"sample {sample_id!r}: truth is {found}; expected values by name: evaluate on a dataset with such "
                "truth, for example the format image_values"
            )
        values = []
        for name in self.labels:
            if name not in truth:
                hint = suggest.allowed(name, tuple(map(str, truth)))
                key = "points" if self.config.points else "components"
                raise DataError(f"sample {sample_id!r}: no label {name!r}, which task.{key} needs; {hint}")
            value = truth[name]
            if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating | None):
                raise DataError(f"sample {sample_id!r}: label {name!r} is {value!r}; expected a number")
            values.append(np.nan if value is None else float(value))
        made = np.array(values)
        if np.isinf(made).any():
            raise DataError(f"sample {sample_id!r}: label {self.labels[int(np.isinf(made).argmax())]!r} is infinite")
        return made

    def _size(self, points: NDArray[np.float64], sample_id: str) -> float:
        """What errors are divided by; ``points`` are the labels ``(P, 2)``."""
        how = self.config.normalise
        if isinstance(how, float):
            return how
        if isinstance(how, tuple):
            first, second = (points[self.names.index(name)] for name in how)
            size = float(np.hypot(*(first - second)))
        else:
            known = points[~np.isnan(points).any(axis=1)]
            size = float(np.sqrt(np.prod(np.ptp(known, axis=0)))) if len(known) else np.nan
        if not size > 0:
            what = f"the distance of {how[0]!r} and {how[1]!r}" if isinstance(how, tuple) else "the box of the labels"
            raise DataError(
                f"sample {sample_id!r}: {what} is {size:g}, and errors are divided by it; correct the labels, or "
                "set task.normalise to another size"
            )
        return size

    def paint(self, image: Array, shown: Any) -> Array:
        """Landmarks as dots, other values as text on the upper left corner.

        Raises:
            DataError: the image is not uint8 ``(H, W, 3)``, or truth holds no such values.
        """
        check_image(image)
        values = shown.values if isinstance(shown, Values) else self._labels(shown, "shown")
        if self.config.points:
            return dotted(image, values.reshape(-1, 2))
        lines = [Line(f"{name}: {value:.4g}") for name, value in zip(self.names, values.tolist(), strict=True)]
        return tagged(image, lines[:_SHOWN])

    def draw(self, image: Array, prediction: Values, truth: Any = None) -> Array:
        """As :meth:`Task.draw`; other values than landmarks stand below the image, the label beside each."""
        if self.config.points:
            return super().draw(image, prediction, truth)
        true = None if truth is None else self._labels(truth, "shown")
        lines = []
        for place, name in enumerate(self.names[:_SHOWN]):
            label = "" if true is None else f" (truth: {true[place]:.4g})"
            lines.append(Line(f"{name}: {prediction.values[place]:.4g}{label}"))
        return captioned(image, lines)


def _to_original(points: NDArray[np.float64], geometry: Geometry, unit: Coordinates | None) -> NDArray[np.float64]:
    """Landmarks ``(P, 2)`` as x, y in pixels of the original image."""
    if unit == "original":
        return points
    if unit == "input-share":
        points = points * [geometry.tensor[1], geometry.tensor[0]]
    top, left, rows, columns = geometry.content
    return (points - [left, top]) * [geometry.original[1] / columns, geometry.original[0] / rows]


class Errors(Accumulator):
    """The error of each component or point, one number per frame."""

    def __init__(self, task: Regression) -> None:
        self.task = task
        self.records = Records(np.float64, (len(task.names),))

    def __len__(self) -> int:
        return len(self.records)

    def update(self, prediction: Values, truth: Any, sample_id: str) -> None:
        """Add a frame: ``truth`` maps names to numbers; see :meth:`Regression.errors`."""
        self.records.add(self.task.errors(prediction, truth, sample_id))

    def compute(self, weights: Array | None = None) -> dict[str, float]:
        """Every metric that was measured over all frames so far; a name without labels has none.

        Raises:
            DataError: no label was added; or as :meth:`Accumulator.compute`.
        """
        found = self.compute_many(checked(weights, len(self))[None])
        return single(found, self.task.headline, "no label to score; evaluate a dataset that is not empty")

    def compute_many(self, weights: Array, names: Collection[str] | None = None) -> dict[str, Array]:
        """As :meth:`Accumulator.compute_many`; the mean of all is that of the names, each of the same weight."""
        rows, kept, lead = checked_rows(weights, len(self)), self.records.all(), self.task.headline
        known = ~np.isnan(kept)
        filled, often = np.where(known, kept, 0), rows @ known
        means, squares = ratio(rows @ filled, often), ratio(rows @ filled**2, often)
        found = {lead: mean(means), "rmse": np.sqrt(mean(squares))}
        frames = mean(kept)
        for tail, share in _QUANTILES.items():
            found[f"error_{tail}"] = quantile(frames, rows, share)
        for place, name in enumerate(self.task.names):
            found[f"{lead}/{name}"] = means[:, place]
            found[f"rmse/{name}"] = np.sqrt(squares[:, place])
            if names is None or f"error_p90/{name}" in names:
                found[f"error_p90/{name}"] = quantile(kept[:, place], rows, 0.9)
        return found
